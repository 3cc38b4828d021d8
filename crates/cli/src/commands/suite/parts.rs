//! `percept suite plan`, `run` and `assemble`: a suite as tasks that machines share.

use clap::Args;
use percept::Result;
use percept::compare::suite::Suite;

use super::{Showing, SuiteArgs, finish};
use crate::arguments::Global;
use crate::arguments::task::TaskArgs;
use crate::parts::{conclude_part, print_parts};
use crate::{interrupt, out_of_memory};

/// Arguments of `percept suite plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    suite: SuiteArgs,
}

/// Arguments of `percept suite run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    task: TaskArgs,
    #[command(flatten)]
    suite: SuiteArgs,
}

/// Arguments of `percept suite assemble`.
#[derive(Debug, Args)]
pub(crate) struct Assemble {
    #[command(flatten)]
    suite: SuiteArgs,
}

impl Plan {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let spec = self.suite.specification(global)?;
        let (name, folder) = (spec.name.clone(), self.suite.folder(&spec));
        print_parts(&global.terminal(), &name, &Suite::new(spec)?.parts(&folder)?)
    }
}

impl Run {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let spec = self.suite.specification(global)?;
        let folder = self.suite.folder(&spec);
        let suite = Suite::new(spec)?;
        let (stage, number) = self.task.place(|stage| suite.tasks(stage))?;
        let part = suite.part(&folder, stage, number)?;
        out_of_memory::hint_same_command();
        let after = {
            let mut showing = Showing::new(terminal);
            part.run(interrupt::save_first(), &mut |event| showing.event(event))?
        };
        conclude_part(&terminal, part.part(), &after, "suite run")
    }
}

impl Assemble {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let spec = self.suite.specification(global)?;
        let folder = self.suite.folder(&spec);
        let suite = Suite::new(spec)?;
        suite.check_finished(&folder)?;
        finish(global.terminal(), &suite, &folder)
    }
}
