//! `percept fill RUN TEXT`: what an encoder says of masked tokens.

use clap::Args;
use percept::Result;
use percept::generate::{Filled, fill};
use serde::Serialize;

use crate::arguments::Global;
use crate::arguments::run::RunArgs;
use crate::human;

/// Arguments of `percept fill`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept fill runs/my-encoder 'It was a [MASK] day.'")]
pub(crate) struct Fill {
    #[command(flatten)]
    run: RunArgs,
    /// Text with [MASK] in place of each token to be told
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    text: String,
    /// How many tokens to tell for each mask, the likeliest first
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    #[serde(flatten)]
    filled: Filled,
}

impl Fill {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let run = self.run.load_encoder(global)?;
        let filled = fill(&run.model, &run.tokenizer, &self.text, self.top as usize)?;
        terminal.text(human::printable(&filled.text))?;
        for (index, candidates) in filled.masks.iter().enumerate() {
            let shown = candidates.iter().map(|one| format!("{:?} {:.3}", one.text, one.probability));
            terminal.text(format!("mask {}: {}", index + 1, shown.collect::<Vec<_>>().join(", ")))?;
        }
        terminal.json(&Report { model: self.run.name(run.step), filled })
    }
}
