//! Whether a run fits into memory, before it starts.

use clap::Args;
use percept::plan::{Plan, plan};
use percept::train::{DeviceChoice, Memory, RunConfig};
use percept::{Fault, Result};

use crate::human;
use crate::terminal::Terminal;

/// How many times what training takes the plan may say, and more: tests hold it to a fifth.
const MARGIN: f64 = 1.25;

/// Whether to start where the plan says that it cannot end well.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct ForceArgs {
    /// Start even where the run needs more memory than there is
    #[arg(long)]
    force: bool,
}

impl ForceArgs {
    /// Warns where a run will probably need more memory than is free, and refuses one that cannot fit, unless forced.
    ///
    /// # Errors
    /// Environment: it cannot fit. Usage: the configuration is wrong.
    pub(crate) fn check(self, terminal: &Terminal, config: &RunConfig) -> Result<()> {
        self.check_plan(terminal, "training", config, plan(config)?)
    }

    /// As [`ForceArgs::check`], of a plan that is known; `what` begins the message.
    pub(crate) fn check_plan(self, terminal: &Terminal, what: &str, config: &RunConfig, plan: Plan) -> Result<()> {
        let (device, memory) = (config.train.device.parse::<DeviceChoice>()?, Memory::of_this_process());
        let Some(memory) = memory else { return Ok(()) };
        let needed = plan.peak_memory_bytes;
        // Another device has a memory of its own.
        let here = device.open().is_ok_and(|(_, name)| name == "cpu");
        if here && !self.force && is_hopeless(needed, &memory) {
            return Err(too_large(what, needed, &memory));
        }
        warn_if_too_large(terminal, what, &plan.against(memory.available));
        Ok(())
    }
}

/// Whether so much cannot fit, as far as the estimate may be wrong.
fn is_hopeless(needed: u64, memory: &Memory) -> bool {
    needed as f64 > MARGIN * memory.limit as f64
}

fn too_large(what: &str, needed: u64, memory: &Memory) -> Fault {
    memory.refusal(needed, what).hint(
        "a smaller train.batch (and train.accumulate for it), or train.recompute = \"blocks\", needs less; --force tries it all the same",
    )
}

/// Warns where a plan needs more memory than is free.
pub(crate) fn warn_if_too_large(terminal: &Terminal, what: &str, plan: &Plan) {
    if let (Some(false), Some(available)) = (plan.fits, plan.available_memory_bytes) {
        terminal.warn(format!(
            "{what} needs about {} and {} are free; a smaller train.batch, or train.recompute = \"blocks\", needs less",
            human::bytes(plan.peak_memory_bytes),
            human::bytes(available)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_clearly_more_than_all_memory_is_hopeless() {
        let memory = Memory { total: 1000, available: 100, limit: 2000 };
        assert!(!is_hopeless(2500, &memory) && is_hopeless(2501, &memory));
    }
}
