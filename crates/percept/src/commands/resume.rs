//! `percept resume RUN`: goes on with a run, bit for bit.

use std::path::PathBuf;

use clap::Args;
use percept::Result;
use percept::train::{Override, RunFolder, resume};

use super::config_args::sets;
use crate::cli::Global;
use crate::fit::ForceArgs;
use crate::interrupt;
use crate::training::{Training, conclude};

/// Arguments of `percept resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Run folder
    run: PathBuf,
    /// Train up to this step instead of the configured one
    #[arg(long, value_name = "N")]
    steps: Option<u32>,
    /// Write the curves as TensorBoard event files too, those so far included
    #[arg(long)]
    tensorboard: bool,
    /// Change a key of [train] or [sample]; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    force: ForceArgs,
}

impl Resume {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let mut overrides = sets(&self.set)?;
        overrides.extend(self.steps.map(|steps| Override::flag(format!("--steps {steps}"), "train.steps", steps)));
        overrides.extend(self.tensorboard.then(|| Override::flag("--tensorboard", "train.tensorboard", true)));
        if let Some(device) = &global.device {
            overrides.push(Override::flag(format!("--device {device}"), "train.device", device.as_str()));
        }
        // What is wrong with the configuration, `resume` says.
        if let Ok(config) = RunFolder::existing(&self.run).and_then(|run| run.config_with(&overrides)) {
            self.force.check(&terminal, &config)?;
        }
        let mut training = Training::new(terminal);
        let outcome = resume(&self.run, &overrides, interrupt::save_first(), &mut |event| training.event(event));
        drop(training);
        conclude(&terminal, &outcome?)
    }
}
