//! `percept export RUN`: one folder with weights, configuration and tokenizer.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use percept::Fault;
use percept::Result;
use percept::data::{Made, Tokenizer, holds_others, mark_folder};
use percept::files::json;
use percept::model::{LanguageModel, weights};
use percept::train::{RunConfig, RunFolder};
use serde::Serialize;

use crate::arguments::Global;
use crate::arguments::run::RunArgs;

/// Arguments of `percept export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    run: RunArgs,
    /// Folder to write: model.safetensors, config.toml, tokenizer.json
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Whose names the weights get
    #[arg(long, visible_alias = "format", value_name = "WHOSE", default_value = "percept")]
    names: Names,
}

/// Whose names the weights get.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Names {
    /// Ours, as documented; the folder can be used like a run
    Percept,
    /// Those of the authors' code, for models with the paper's options
    Paper,
    /// Those of RWKV's authors, for models of rwkv4 or rwkv7 alone
    Rwkv,
    /// Those of Hugging Face for the same models: transformers' of RWKV-4, flash-linear-attention's of RWKV-7
    Hf,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Exported<'a> {
    #[serde(serialize_with = "json::path")]
    out: &'a PathBuf,
    step: u64,
    parameters: usize,
}

impl Export {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let run = self.run.load(global)?;
        let names = match self.names {
            Names::Percept => weights::Names::Percept,
            Names::Paper => weights::Names::Paper,
            Names::Rwkv => weights::Names::Rwkv,
            Names::Hf => weights::Names::HuggingFace,
        };
        write_folder(&self.out, &run.model, names, &run.config, &run.tokenizer)?;
        let report = Exported { out: &self.out, step: run.step, parameters: run.model.parameter_count() };
        terminal.text(format!(
            "{}: {WEIGHTS}, config.toml, tokenizer.json of step {}",
            self.out.display(),
            run.step
        ))?;
        terminal.json(&report)
    }
}

/// Name of the weights in an exported folder.
const WEIGHTS: &str = "model.safetensors";

/// Name of the configuration in an exported folder: with it, the folder holds a run.
const CONFIG: &str = "config.toml";

/// Writes a folder that [`percept::train::load_run`] reads like a run, completely or not at all; it must not hold one yet.
pub(super) fn write_folder(
    folder: &Path,
    model: &LanguageModel,
    names: weights::Names,
    config: &RunConfig,
    tokenizer: &Tokenizer,
) -> Result<()> {
    if RunFolder::new(folder).holds_a_run() {
        return Err(Fault::usage(format!("{} already holds a run", folder.display())).hint("choose another folder"));
    }
    if holds_others(folder) {
        return Err(Fault::usage(format!("{} holds other files", folder.display()))
            .hint("choose a new folder: what lies beside weights is not read as text any more"));
    }
    percept::files::write_folder(folder, CONFIG, |folder| {
        mark_folder(folder, Made::Weights)?;
        weights::export(model, &folder.join(WEIGHTS), names)?;
        let out = RunFolder::new(folder);
        tokenizer.save(out.tokenizer_path())?;
        percept::files::write_with_folder(&out.config_path(), config.to_toml()?.as_bytes())
    })
}
