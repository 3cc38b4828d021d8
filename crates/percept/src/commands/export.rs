//! `percept export RUN`: one folder with weights, configuration and tokenizer.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use percept::Fault;
use percept::Result;
use percept::data::{Made, Tokenizer, mark_folder};
use percept::fault::IoContext;
use percept::model::{LanguageModel, weights};
use percept::train::{RunConfig, RunFolder};
use serde::Serialize;

use super::run_args::RunArgs;
use crate::cli::Global;
use crate::files;

/// Arguments of `percept export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    run: RunArgs,
    /// Folder to write: model.safetensors, config.toml, tokenizer.json
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Whose names the weights get
    #[arg(long, value_name = "WHOSE", default_value = "percept")]
    names: Names,
}

/// Whose names the weights get.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Names {
    /// Ours, as documented; the folder can be used like a run
    Percept,
    /// Those of the authors' code, for models with the paper's options
    Paper,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    out: &'a PathBuf,
    step: u64,
    parameters: usize,
}

impl Export {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let run = self.run.load(global)?;
        write_folder(&self.out, &run.model, &run.config, &run.tokenizer)?;
        if let Names::Paper = self.names {
            let path = self.out.join(WEIGHTS);
            through_partial(&path, |partial| weights::export(&run.model, partial, weights::Names::Paper))?;
        }
        let report = Report { out: &self.out, step: run.step, parameters: run.model.parameter_count() };
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

/// Writes a folder that [`percept::train::load_run`] reads like a run; it must not hold one yet.
pub(super) fn write_folder(
    folder: &Path,
    model: &LanguageModel,
    config: &RunConfig,
    tokenizer: &Tokenizer,
) -> Result<()> {
    let out = RunFolder::new(folder);
    if out.holds_a_run() {
        return Err(Fault::usage(format!("{} already holds a run", folder.display())).hint("choose another folder"));
    }
    mark_folder(folder, Made::Weights)?;
    through_partial(&folder.join(WEIGHTS), |partial| weights::export(model, partial, weights::Names::Percept))?;
    tokenizer.save(out.tokenizer_path())?;
    // The configuration comes last: with it, the folder holds a run.
    files::write(&out.config_path(), config.to_toml()?.as_bytes())
}

fn through_partial(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let partial = path.with_extension("partial");
    let written = write(&partial).and_then(|()| std::fs::rename(&partial, path).at("write", path));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written
}
