//! `percept import FILE`: weights from elsewhere, as a folder that every command takes like a run.

use std::path::PathBuf;

use clap::Args;
use percept::data::Tokenizer;
use percept::model::weights;
use percept::train::{DeviceChoice, RunConfig, lossy};
use percept::{Fault, Result};
use serde::Serialize;

use super::config_args::resolve_named;
use super::export::write_folder;
use crate::cli::Global;
use crate::human;
use crate::terminal::Terminal;

/// Arguments of `percept import`.
#[derive(Debug, Args)]
#[command(
    after_help = "For example: percept import authors.pt --config llp-paper --tokenizer bert.json --out runs/authors"
)]
pub(crate) struct Import {
    /// A .pt checkpoint of the authors' code, or a .safetensors file under their names or ours
    file: PathBuf,
    /// The model's configuration: a preset or a file; not needed where the weights carry it
    #[arg(long, value_name = "PRESET|FILE")]
    config: Option<String>,
    /// Set one key of the configuration, e.g. --set model.heads=6; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The tokenizer.json that the model was trained with; by default bytes
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<String>,
    /// Folder to write
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(serialize_with = "lossy::path")]
    run: &'a PathBuf,
    parameters: usize,
    ignored: &'a [String],
}

impl Import {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let tokenizer = Tokenizer::open(self.tokenizer_name())?;
        let config = self.configuration(&tokenizer)?;
        let tokens = tokenizer.vocab_size();
        if config.model.vocab < tokens {
            self.mismatch(&terminal, tokens, config.model.vocab)?;
        }
        let (device, _) = "cpu".parse::<DeviceChoice>()?.open()?;
        let imported = weights::import(&self.file, &config.model, &device)?;
        write_folder(&self.out, &imported.model, &config, &tokenizer)?;
        let report =
            Report { run: &self.out, parameters: imported.model.parameter_count(), ignored: &imported.ignored };
        terminal.text(format!("{}: {} parameters", self.out.display(), human::grouped(report.parameters as u64)))?;
        if !report.ignored.is_empty() {
            terminal.say(format!("not used: {}", report.ignored.join(", ")));
        }
        terminal.json(&report)
    }

    fn configuration(&self, tokenizer: &Tokenizer) -> Result<RunConfig> {
        let carried = weights::read_config(&self.file).ok().filter(|_| self.config.is_none() && self.set.is_empty());
        let mut config = match carried {
            Some(model) => RunConfig { model, ..RunConfig::default() },
            None if self.config.is_none() => {
                return Err(Fault::usage(format!("{} does not say what its model is", self.file.display()))
                    .hint("--config PRESET or FILE describes it; heads and segments are in no weight file"));
            }
            None => resolve_named(self.config.as_deref(), &self.set, Vec::new())?,
        };
        config.data.tokenizer = self.tokenizer_name().to_string();
        if config.model.vocab == 0 {
            config.model.vocab = tokenizer.vocab_size();
        }
        Ok(config)
    }

    fn tokenizer_name(&self) -> &str {
        self.tokenizer.as_deref().unwrap_or("bytes")
    }

    /// A tokenizer that was named must fit. Without one the model can still be verified and exported, but reads no text.
    fn mismatch(&self, terminal: &Terminal, tokens: usize, vocab: usize) -> Result<()> {
        let what = format!("tokenizer mismatch: {} has {tokens} tokens, the model {vocab}", self.tokenizer_name());
        let hint = "--tokenizer names the tokenizer.json that the model was trained with";
        match self.tokenizer {
            Some(_) => Err(Fault::usage(what).hint(hint)),
            None => {
                terminal.warn(format!("{what}; {hint}"));
                Ok(())
            }
        }
    }
}
