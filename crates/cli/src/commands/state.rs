//! `percept state`: the running state of a model after a text, as a file.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use percept::Result;
use percept::files::json;
use percept::model::{InferenceModel, Session};
use serde::Serialize;

use crate::arguments::run::{PromptArgs, RunArgs};
use crate::arguments::{Global, KeysValuesArgs};
use crate::human;
use crate::terminal::Style;

/// Arguments of `percept state`.
#[derive(Debug, Args)]
pub(crate) struct State {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read a text and save the state after it; `percept generate RUN --from-state FILE` goes on from there
    Save(Save),
    /// Show what a state file holds
    Inspect(Inspect),
    /// Check that a state file fits a run, and show what the model expects next
    Load(Load),
}

#[derive(Debug, Args)]
struct Save {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    #[command(flatten)]
    keys_values: KeysValuesArgs,
    /// Go on from this state instead of the start of a document
    #[arg(long, value_name = "FILE")]
    from_state: Option<PathBuf>,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "state.safetensors")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Inspect {
    /// State file
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Load {
    #[command(flatten)]
    run: RunArgs,
    /// State file
    file: PathBuf,
    #[command(flatten)]
    keys_values: KeysValuesArgs,
}

impl State {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        match &self.action {
            Action::Save(save) => save.run(global),
            Action::Inspect(inspect) => inspect.run(global),
            Action::Load(load) => load.run(global),
        }
    }
}

/// What `--json` prints after saving.
#[derive(Debug, Serialize)]
struct Saved<'a> {
    #[serde(serialize_with = "json::path")]
    file: &'a PathBuf,
    position: usize,
    state_bytes: usize,
}

impl Save {
    fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let run = self.run.load(global)?;
        let tokens = self.prompt.some_tokens(&run.tokenizer)?;
        let model = InferenceModel::new(run.model).with_key_value_precision(self.keys_values.precision())?;
        let model = Arc::new(model);
        let mut session = match &self.from_state {
            Some(path) => Session::load(path, model)?,
            None => {
                let mut session = Session::new(model);
                session.feed(&[run.tokenizer.document_token()])?;
                session
            }
        };
        session.feed(&tokens)?;
        session.save(&self.out)?;
        let saved = Saved { file: &self.out, position: session.position(), state_bytes: session.state_bytes() };
        terminal.say(format!(
            "{}: state after {} ({})",
            self.out.display(),
            human::plural(saved.position as u64, "token"),
            human::bytes(saved.state_bytes as u64)
        ));
        terminal.json(&saved)
    }
}

impl Inspect {
    fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let summary = Session::inspect(&self.file)?;
        let row =
            |name: &str, value: &str| terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<10}"))));
        row("position", &human::plural(summary.position as u64, "token"))?;
        row("state", &human::bytes(summary.state_bytes as u64))?;
        row("model", &summary.model_fingerprint)?;
        for ((name, shape), format) in summary.tensors.iter().zip(&summary.formats) {
            let half = if format == "BF16" { " bf16" } else { "" };
            terminal.text(format!("  {name:<24} {shape:?}{half}"))?;
        }
        terminal.json(&summary)
    }
}

/// A token that the model expects next.
#[derive(Debug, Serialize)]
struct Expected {
    token: u32,
    text: String,
    probability: f32,
}

/// What `--json` prints after loading.
#[derive(Debug, Serialize)]
struct Loaded {
    position: usize,
    state_bytes: usize,
    expected: Vec<Expected>,
}

impl Load {
    fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let run = self.run.load(global)?;
        let model = InferenceModel::new(run.model).with_key_value_precision(self.keys_values.precision())?;
        let session = Session::load(&self.file, Arc::new(model))?;
        let log_probabilities = session.log_probabilities()?;
        let mut order: Vec<u32> = (0u32..).take(log_probabilities.len()).collect();
        order.sort_by(|&a, &b| log_probabilities[b as usize].total_cmp(&log_probabilities[a as usize]));
        let expected = order.into_iter().take(5).map(|token| Expected {
            token,
            text: String::from_utf8_lossy(&run.tokenizer.decode_after(session.recent_tokens(), &[token])).into_owned(),
            probability: log_probabilities[token as usize].exp(),
        });
        let loaded =
            Loaded { position: session.position(), state_bytes: session.state_bytes(), expected: expected.collect() };
        terminal.text(format!(
            "the state fits: {}, {}; expected next:",
            human::plural(loaded.position as u64, "token"),
            human::bytes(loaded.state_bytes as u64)
        ))?;
        for next in &loaded.expected {
            terminal.text(format!("  {:>5.1} %  {:?}", 100.0 * next.probability, next.text))?;
        }
        terminal.json(&loaded)
    }
}
