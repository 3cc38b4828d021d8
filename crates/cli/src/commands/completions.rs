//! `percept completions SHELL`: a completion script.

use clap::Args;
use clap_complete::Shell;
use percept::Result;

use crate::terminal;

/// Arguments of `percept completions`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept completions bash > ~/.local/share/bash-completion/completions/percept")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, mut tree: clap::Command) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut tree, "percept", &mut script);
        terminal::write_stdout(&String::from_utf8_lossy(&script))
    }
}
