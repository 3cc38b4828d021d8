//! `percept compare plan`, `run` and `assemble`: a comparison as tasks that machines share.

use clap::Args;
use percept::Result;
use percept::compare::Purpose;

use super::ComparisonArgs;
use crate::arguments::Global;
use crate::arguments::task::TaskArgs;
use crate::comparison::Comparing;
use crate::parts::{conclude_part, print_parts};
use crate::{interrupt, out_of_memory};

/// Arguments of `percept compare plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    comparison: ComparisonArgs,
}

/// Arguments of `percept compare run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    task: TaskArgs,
    #[command(flatten)]
    comparison: ComparisonArgs,
}

/// Arguments of `percept compare assemble`.
#[derive(Debug, Args)]
pub(crate) struct Assemble {
    #[command(flatten)]
    comparison: ComparisonArgs,
}

impl Plan {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let spec = self.comparison.specification(global)?;
        let name = spec.name.clone();
        let lineup = self.comparison.open(global.terminal(), spec, Purpose::Shared)?;
        print_parts(&global.terminal(), &name, &lineup.parts()?)
    }
}

impl Run {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let spec = self.comparison.specification(global)?;
        let (stage, number) = self.task.place(|stage| stage.parts(&spec))?;
        let lineup = self.comparison.open(terminal, spec, Purpose::Shared)?;
        let part = lineup.part(stage, number)?;
        if let Some(config) = part.config().filter(|_| !part.state.is_over()) {
            self.comparison.force.check(&terminal, config)?;
        }
        out_of_memory::hint_same_command();
        let after = {
            let mut comparing = Comparing::new(terminal, "comparing");
            lineup.run_part(&part, interrupt::save_first(), &mut |event| comparing.event(event))?
        };
        conclude_part(&terminal, &part, &after, "compare run")
    }
}

impl Assemble {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let spec = self.comparison.specification(global)?;
        let lineup = self.comparison.open(global.terminal(), spec, Purpose::Shared)?;
        lineup.check_finished()?;
        self.comparison.finish(global.terminal(), &lineup)
    }
}
