//! `percept import FILE`: weights from elsewhere, as a folder that every command takes like a run.

use std::path::PathBuf;

use clap::Args;
use percept::data::Tokenizer;
use percept::files::json;
use percept::model::weights::{Names, WeightFile};
use percept::train::{DeviceChoice, RunConfig, is_padded, resolve_model};
use percept::{Fault, Result};
use serde::Serialize;

use super::export::write_folder;
use crate::arguments::Global;
use crate::arguments::config::{resolve_named, sets};
use crate::human;
use crate::terminal::Terminal;

/// Arguments of `percept import`.
#[derive(Debug, Args)]
#[command(
    after_help = "For example: percept import authors.pt --config llp-paper --tokenizer bert.json --out runs/authors, or\n\
                  percept import RWKV-4-World-0.1B.pth --tokenizer rwkv_vocab_v20230424.txt --out runs/rwkv"
)]
pub(crate) struct Import {
    /// A .pt or .pth checkpoint of the authors' code or of RWKV, or a .safetensors file (or the .index.json of several) under their names,
    /// Hugging Face's of RWKV, or ours
    file: PathBuf,
    /// The model's configuration: a preset or a file; not needed where the weights carry it, nor for RWKV, whose shapes tell it
    #[arg(long, value_name = "PRESET|FILE")]
    config: Option<String>,
    /// Set one key of the configuration, e.g. --set model.heads=6; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The tokenizer.json, or RWKV's World vocabulary, that the model was trained with; by default bytes, which needs a model of 257 tokens
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<String>,
    /// Folder to write
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Imported<'a> {
    #[serde(serialize_with = "json::path")]
    run: &'a PathBuf,
    parameters: usize,
    ignored: &'a [String],
}

impl Import {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let tokenizer = Tokenizer::open(self.tokenizer_name())?;
        let (config, file) = self.configuration(&tokenizer)?;
        self.check_vocabulary(&terminal, config.model.vocab, tokenizer.vocab_size())?;
        let (device, _) = "cpu".parse::<DeviceChoice>()?.open()?;
        let file = file.map_or_else(|| WeightFile::read(&self.file), Ok)?;
        let imported = file.into_model(&config.model, &device)?;
        write_folder(&self.out, &imported.model, Names::Percept, &config, &tokenizer)?;
        let report =
            Imported { run: &self.out, parameters: imported.model.parameter_count(), ignored: &imported.ignored };
        terminal.text(format!("{}: {} parameters", self.out.display(), human::grouped(report.parameters as u64)))?;
        if !report.ignored.is_empty() {
            terminal.say(format!("not used: {}", report.ignored.join(", ")));
        }
        terminal.json(&report)
    }

    /// The configuration, and the weights where it comes from them.
    fn configuration(&self, tokenizer: &Tokenizer) -> Result<(RunConfig, Option<WeightFile>)> {
        let (mut config, file) = match self.config.as_deref() {
            Some(name) => {
                let config = resolve_named(Some(name), &self.set, Vec::new())?;
                config.check_language_model()?;
                (config, None)
            }
            None => {
                let file = WeightFile::read(&self.file)?;
                (self.carried_configuration(&file)?, Some(file))
            }
        };
        config.data.tokenizer = self.tokenizer_name().to_string();
        if config.model.vocab == 0 {
            config.model.vocab = tokenizer.vocab_size();
        }
        Ok((config, file))
    }

    fn tokenizer_name(&self) -> &str {
        self.tokenizer.as_deref().unwrap_or("bytes")
    }

    /// The configuration that the weights carry, with `--set` on top.
    fn carried_configuration(&self, weights: &WeightFile) -> Result<RunConfig> {
        let file = self.file.display();
        let Some(model) = weights.config()? else {
            let hint = match self.set.is_empty() {
                true => "--config PRESET or FILE describes it; heads and segments are in no weight file",
                false => "--set changes single keys: --config PRESET or FILE describes the model",
            };
            return Err(Fault::usage(format!("{file} does not say what its model is")).hint(hint));
        };
        resolve_model(&model, &file.to_string(), sets(&self.set)?)
    }

    /// The tokenizer must be able to be the one that the model was trained with. Where none was named and the model has fewer
    /// tokens than bytes, it can still be verified and exported, but reads no text.
    fn check_vocabulary(&self, terminal: &Terminal, vocab: usize, tokens: usize) -> Result<()> {
        let what = format!("tokenizer mismatch: {} has {tokens} tokens, the model {vocab}", self.tokenizer_name());
        let hint = "--tokenizer names the tokenizer.json that the model was trained with";
        if vocab == tokens {
            return Ok(());
        }
        if is_padded(vocab, tokens) {
            terminal.say(format!("the model has {vocab} tokens, {}: the rest is padding", self.tokenizer_name()));
            return Ok(());
        }
        if vocab < tokens && self.tokenizer.is_none() {
            terminal.warn(format!("{what}; {hint}"));
            return Ok(());
        }
        let beside = self.file.with_file_name("tokenizer.json");
        Err(Fault::usage(what).hint(match beside.is_file() && self.tokenizer.is_none() {
            true => format!("{hint}: {} lies beside the weights", beside.display()),
            false => hint.into(),
        }))
    }
}
