//! `percept resume RUN`: goes on with a run, bit for bit.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use percept::Result;
use percept::train::{Changes, Override, RunFolder, ScheduleChoice, resume};

use crate::arguments::Global;
use crate::arguments::config::{list, sets};
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
    /// How the learning rate goes on; by default as configured, but where the schedule has ended the rate stays
    #[arg(long, value_name = "HOW", value_enum)]
    schedule: Option<Schedule>,
    /// Where the text of the run is now; it must be the same text
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = "Text")]
    data: Vec<String>,
    /// Where the validation text of the run is now, if it was named; it must be the same text
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = "Text")]
    validation: Vec<String>,
    /// Write the curves as TensorBoard event files too, those so far included
    #[arg(long)]
    tensorboard: bool,
    /// Change a key of [train] or [sample]; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    force: ForceArgs,
}

/// How the learning rate goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Schedule {
    /// As configured, over the present number of steps: with more steps the rate can rise again
    Keep,
    /// As it is now, to the end
    Constant,
    /// From what it is now down to train.final_fraction of that
    Decay,
}

impl From<Schedule> for ScheduleChoice {
    fn from(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Keep => Self::Keep,
            Schedule::Constant => Self::Constant,
            Schedule::Decay => Self::Decay,
        }
    }
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
        overrides.extend(list("--data", "data.sources", &self.data));
        overrides.extend(list("--validation", "data.validation", &self.validation));
        let changes = Changes { overrides, schedule: self.schedule.map(ScheduleChoice::from) };
        let mut training = Training::new(terminal);
        let outcome = resume(&self.run, &changes, interrupt::save_first(), &mut |event| training.event(event));
        drop(training);
        conclude(&terminal, &outcome?)
    }
}
