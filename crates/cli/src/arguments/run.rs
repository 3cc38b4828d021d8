//! Arguments that several commands share: a trained run, and a prompt for it.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use percept::data::Tokenizer;
use percept::fault::IoContext;
use percept::model::encoder::Encoder;
use percept::train::{DeviceChoice, LoadedRun, TaskKind, Which, load_encoder, load_run, task_of};
use percept::{Fault, Result};

use crate::arguments::Global;

/// A trained run.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Run folder, e.g. runs/my-run, or one of its checkpoints
    run: PathBuf,
    /// Checkpoint: best (lowest validation loss), latest, or a step
    #[arg(long, value_name = "WHICH", default_value = "best")]
    checkpoint: Checkpoint,
}

/// Which checkpoint of a run, as the user wrote it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoint(Which);

impl FromStr for Checkpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "best" => Ok(Self(Which::Best)),
            "latest" => Ok(Self(Which::Latest)),
            step => step.parse().map(|step| Self(Which::Step(step))).map_err(|_| "use best, latest or a step".into()),
        }
    }
}

impl RunArgs {
    /// What reports call the model, e.g. `runs/mine at step 500`.
    pub(crate) fn name(&self, step: u64) -> String {
        format!("{} at step {step}", self.run.display())
    }

    /// The model, its configuration and its tokenizer.
    pub(crate) fn load(&self, global: &Global) -> Result<LoadedRun> {
        load(global, &self.run, self.checkpoint)
    }

    /// What was trained.
    pub(crate) fn task(&self) -> Result<TaskKind> {
        task_of(&self.run, self.checkpoint.0)
    }

    /// As [`RunArgs::load`], of a run that trained an encoder.
    pub(crate) fn load_encoder(&self, global: &Global) -> Result<LoadedRun<Encoder>> {
        let (device, _) = device(global)?.open()?;
        warned(global, load_encoder(&self.run, self.checkpoint.0, &device)?)
    }
}

/// A run's model, its configuration and its tokenizer, on the device that the user chose.
pub(crate) fn load(global: &Global, run: &Path, checkpoint: Checkpoint) -> Result<LoadedRun> {
    let (device, _) = device(global)?.open()?;
    warned(global, load_run(run, checkpoint.0, &device)?)
}

fn device(global: &Global) -> Result<DeviceChoice> {
    global.device.as_deref().unwrap_or("auto").parse()
}

/// The run, after what there is to say of it.
fn warned<M>(global: &Global, run: LoadedRun<M>) -> Result<LoadedRun<M>> {
    for warning in &run.warnings {
        global.terminal().warn(warning);
    }
    Ok(run)
}

/// A prompt: text, a file, or the standard input.
#[derive(Debug, Clone, Args)]
pub(crate) struct PromptArgs {
    /// Text to go on from; without it and without --file, what is piped in
    #[arg(long, value_name = "TEXT", conflicts_with = "file", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// File with the text to go on from
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl PromptArgs {
    /// The prompt's bytes; `None` where none was given and the standard input is a terminal.
    pub(crate) fn bytes(&self) -> Result<Option<Vec<u8>>> {
        match (&self.prompt, &self.file) {
            (Some(text), _) => Ok(Some(text.clone().into_bytes())),
            (None, Some(path)) => std::fs::read(path).at("read", path).map(Some),
            (None, None) if std::io::stdin().is_terminal() => Ok(None),
            (None, None) => {
                let mut bytes = Vec::new();
                std::io::stdin().lock().read_to_end(&mut bytes).at("read", "the standard input")?;
                Ok(Some(bytes))
            }
        }
    }

    /// The prompt's tokens, which may be none: where no text was given, or an empty one.
    pub(crate) fn tokens(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
        tokenizer.encode(&self.bytes()?.unwrap_or_default())
    }

    /// The prompt's tokens, at least one.
    pub(crate) fn some_tokens(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
        let bytes = self.bytes()?.ok_or_else(|| {
            Fault::usage("no prompt given").hint("--prompt TEXT, --file FILE, or pipe the text into the command")
        })?;
        match tokenizer.encode(&bytes)? {
            tokens if tokens.is_empty() => {
                Err(Fault::usage("the prompt has 0 tokens").hint("give at least one character to go on from"))
            }
            tokens => Ok(tokens),
        }
    }
}

/// `runs/NAME`, or `runs/NAME-2` and so on where that exists.
pub(crate) fn unused_folder(runs: &Path, name: &str) -> PathBuf {
    let plain = runs.join(name);
    std::iter::once(plain)
        .chain((2..).map(|number| runs.join(format!("{name}-{number}"))))
        .find(|path| !path.exists())
        .unwrap_or_default()
}
