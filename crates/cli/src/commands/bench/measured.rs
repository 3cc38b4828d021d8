//! What the tasks that time a model share: which model, and what it is compared with.

use clap::Args;
use percept::Result;
use percept::train::Override;

use super::against::AgainstArgs;
use super::report::Measurement;
use super::subject::{ModelArgs, Subject};
use crate::arguments::Global;

/// A task that times a model.
pub(super) trait Measure: Args {
    /// Flags of its own that change the configuration.
    fn flags(&self) -> Vec<Override> {
        Vec::new()
    }

    /// Measures it once, in this process.
    fn measure(&self, subject: &Subject, global: &Global) -> Result<Measurement>;
}

/// Arguments of such a task.
#[derive(Debug, Args)]
pub(super) struct Measured<T: Measure> {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    task: T,
    #[command(flatten)]
    against: AgainstArgs,
}

impl<T: Measure> Measured<T> {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        if let Some(other) = self.against.other() {
            return other.compare(global);
        }
        let subject = self.model.resolve(global, self.task.flags())?;
        self.task.measure(&subject, global)?.print(&global.terminal())
    }
}
