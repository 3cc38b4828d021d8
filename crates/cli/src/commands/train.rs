//! `percept train`: a new run.

use std::path::{Path, PathBuf};

use clap::Args;
use percept::Result;
use percept::train::{Override, train};

use crate::arguments::Global;
use crate::arguments::config::{ConfigArgs, TrainingArgs};
use crate::arguments::run::unused_folder;
use crate::fit::ForceArgs;
use crate::interrupt;
use crate::training::{Training, conclude};

/// Arguments of `percept train`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept train llp-tiny --data my-texts/ --run runs/mine")]
pub(crate) struct Train {
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder of the run; by default runs/ and the configuration's name
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// Optimizer steps
    #[arg(long, value_name = "N")]
    steps: Option<u32>,
    /// Seed of weights, data order, dropout and samples
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// Start from the weights of this run: the same model and tokenizer, other data
    #[arg(long, value_name = "RUN")]
    init_from: Option<String>,
    /// Write the curves as TensorBoard event files too
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    training: TrainingArgs,
}

impl Train {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let config = self.config.resolve(self.overrides(global))?;
        self.force.check(&terminal, &config)?;
        let folder = match &self.run {
            Some(folder) => folder.clone(),
            None => unused_folder(Path::new("runs"), self.config.name()),
        };
        let mut training = Training::new(terminal);
        let outcome = train(&config, &folder, interrupt::save_first(), &mut |event| training.event(event));
        drop(training);
        conclude(&terminal, &outcome?)
    }

    fn overrides(&self, global: &Global) -> Vec<Override> {
        let mut overrides = self.training.overrides(global);
        let initial = self.init_from.as_deref();
        overrides.extend(initial.map(|run| Override::flag(format!("--init-from {run}"), "train.init_from", run)));
        overrides.extend(self.tensorboard.then(|| Override::flag("--tensorboard", "train.tensorboard", true)));
        let numbers = [("--steps", "train.steps", self.steps), ("--seed", "train.seed", self.seed)];
        for (flag, key, value) in numbers {
            overrides.extend(value.map(|value| Override::flag(format!("{flag} {value}"), key, value)));
        }
        overrides
    }
}
