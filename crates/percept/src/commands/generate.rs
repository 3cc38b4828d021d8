//! `percept generate RUN`: text from a trained model, as it is decoded.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use percept::Result;
use percept::generation::{Generation, GenerationConfig, generate};
use percept::model::{Session, WeightPrecision};
use percept::sampling::SamplingConfig;
use percept::train::LoadedRun;
use serde::Serialize;

use super::run_args::{PromptArgs, RunArgs};
use crate::cli::Global;
use crate::human;
use crate::terminal::{Format, write_stdout};

/// Arguments of `percept generate`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept generate runs/my-run --prompt 'Once upon a time' --tokens 500")]
pub(crate) struct Generate {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Go on from a state that `percept state save` wrote; a prompt is then optional
    #[arg(long, value_name = "FILE")]
    from_state: Option<PathBuf>,
    /// At most this many tokens
    #[arg(long, value_name = "N", default_value_t = 256)]
    tokens: usize,
    /// End before this text appears; may be repeated
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// How exactly weights are kept; fewer bits read faster and change the text a little
    #[arg(long, value_name = "WEIGHTS", value_enum, default_value_t = Weights::F32)]
    weights: Weights,
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// Precisions of weights, as the user writes them.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Weights {
    /// As they were trained
    F32,
    /// 16 bits each
    Bf16,
    /// 8 bits each and a scale per output channel
    Int8,
}

impl From<Weights> for WeightPrecision {
    fn from(weights: Weights) -> Self {
        match weights {
            Weights::F32 => Self::F32,
            Weights::Bf16 => Self::Bf16,
            Weights::Int8 => Self::Int8,
        }
    }
}

/// How each token is chosen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
struct SamplingArgs {
    /// Below 1 sharper, above 1 flatter, 0 always the most probable token
    #[arg(long, value_name = "T", default_value_t = 0.8)]
    temperature: f32,
    /// Draw from the K most probable tokens
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the most probable tokens that together have probability P
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// Draw from tokens at least P times as probable as the most probable one
    #[arg(long, value_name = "P")]
    min_p: Option<f32>,
    /// Make tokens that came lately rarer; 1 changes nothing
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// How many of the latest tokens the penalty looks at
    #[arg(long, value_name = "N", default_value_t = 256)]
    repetition_window: usize,
    /// The same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    prompt_tokens: usize,
    tokens: usize,
    text: String,
    ms_per_token: f64,
    state_bytes: usize,
    stopped: bool,
}

impl Generate {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let config = self.config();
        config.sampling.validate()?;
        let run = self.run.load(global)?;
        let (session, prompt) = self.begin(&run)?;
        let mut session = session.with_weight_precision(self.weights.into())?;
        let fed = prompt.len() - usize::from(session.position() == 0);
        let mut emit = |text: &str| match terminal.format {
            Format::Text if std::io::stdout().is_terminal() => write_stdout(&human::printable(text)),
            Format::Text => write_stdout(text),
            Format::Json => Ok(()),
        };
        let generation = generate(&mut session, &run.tokenizer, &prompt, &config, &mut emit)?;
        // A pipe gets the text and nothing else; on a terminal the prompt starts on a line of its own.
        if terminal.format == Format::Text && !generation.text.ends_with('\n') {
            match std::io::stdout().is_terminal() {
                true => write_stdout("\n")?,
                false => terminal.say(""),
            }
        }
        let report = report(fed, generation, &session);
        terminal.say(format!(
            "{} in, {} out, {:.2} ms per token, {} of state",
            human::plural(report.prompt_tokens as u64, "token"),
            human::grouped(report.tokens as u64),
            report.ms_per_token,
            human::bytes(report.state_bytes as u64)
        ));
        terminal.json(&report)
    }

    fn config(&self) -> GenerationConfig {
        let s = &self.sampling;
        let sampling = SamplingConfig {
            temperature: s.temperature,
            top_k: s.top_k,
            top_p: s.top_p,
            min_p: s.min_p,
            repetition_penalty: s.repetition_penalty,
            repetition_window: s.repetition_window,
            seed: s.seed,
        };
        GenerationConfig { tokens: self.tokens, sampling, stop: self.stop.clone() }
    }

    /// The session and what is to be fed to it: the document token too, where the session is fresh.
    fn begin(&self, run: &LoadedRun) -> Result<(Session, Vec<u32>)> {
        let model = Arc::new(run.model.clone());
        match &self.from_state {
            Some(path) => {
                let session = Session::load(path, model)?;
                let prompt = if self.prompt.is_given() { self.prompt.tokens(&run.tokenizer)? } else { Vec::new() };
                Ok((session, prompt))
            }
            None => {
                let mut prompt = vec![run.tokenizer.document_token()];
                prompt.extend(self.prompt.tokens(&run.tokenizer)?);
                Ok((Session::new(model), prompt))
            }
        }
    }
}

fn report(prompt_tokens: usize, generation: Generation, session: &Session) -> Report {
    Report {
        prompt_tokens,
        tokens: generation.tokens,
        ms_per_token: generation.seconds * 1e3 / generation.tokens.max(1) as f64,
        text: generation.text,
        state_bytes: session.state_bytes(),
        stopped: generation.stopped,
    }
}
