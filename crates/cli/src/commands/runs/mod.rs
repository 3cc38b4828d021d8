//! `percept runs`: what lies in run folders.

mod diff;
mod list;
mod show;
mod view;
mod watch;

use clap::{Args, Subcommand};
use percept::Result;

use crate::arguments::Global;

/// Arguments of `percept runs`.
#[derive(Debug, Args)]
pub(crate) struct Runs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the runs in a folder
    List(list::List),
    /// Show one run: figures, curves, checkpoints
    Show(show::Show),
    /// Show what differs between runs: keys of the configuration, and results
    Diff(diff::Diff),
    /// Follow a run: its curves, redrawn as it goes on; a line per event where nobody watches
    Watch(watch::Watch),
}

impl Runs {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        match &self.action {
            Action::List(list) => list.run(global),
            Action::Show(show) => show.run(global),
            Action::Diff(diff) => diff.run(global),
            Action::Watch(watch) => watch.run(global),
        }
    }
}
