//! `percept generate RUN`: text from a trained model, as it is decoded.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use percept::data::Tokenizer;
use percept::generate::{Generation, GenerationConfig, SamplingConfig, generate_streams};
use percept::model::properties::Properties;
use percept::model::{InferenceModel, Session};
use percept::train::{LoadedRun, Memory};
use percept::{Fault, Result};
use serde::Serialize;

use crate::arguments::decoder::{DecoderArgs, Decoding, Rounds};
use crate::arguments::run::{PromptArgs, RunArgs};
use crate::arguments::{Global, KeysValuesArgs, Weights, keys_values};
use crate::human;
use crate::terminal::{Format, Terminal, write_stdout};

/// Arguments of `percept generate`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept generate runs/my-run --prompt 'Once upon a time' --tokens 500")]
pub(crate) struct Generate {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Go on from a state that `percept state save` wrote, with the prompt after it if one is given
    #[arg(long, value_name = "FILE")]
    from_state: Option<PathBuf>,
    /// At most this many tokens
    #[arg(long, value_name = "N", default_value_t = 256)]
    tokens: usize,
    /// End before this text appears; may be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// How exactly weights are kept; fewer bits read faster and change the text a little
    #[arg(long, value_name = "WEIGHTS", value_enum, default_value_t = Weights::F32)]
    weights: Weights,
    #[command(flatten)]
    keys_values: KeysValuesArgs,
    /// Write N texts at once; each is what its own seed gives: that of --seed, and one more for each further text
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    streams: Option<u32>,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    decoder: DecoderArgs,
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
struct Generated {
    prompt_tokens: usize,
    #[serde(flatten)]
    text: Text,
    #[serde(flatten)]
    rounds: Option<Rounds>,
}

/// One text.
#[derive(Debug, Serialize)]
struct Text {
    tokens: usize,
    text: String,
    ms_per_token: f64,
    state_bytes: usize,
    stopped: bool,
}

/// What `--json` prints of several texts.
#[derive(Debug, Serialize)]
struct GeneratedStreams {
    prompt_tokens: usize,
    /// Of all texts together.
    tokens: usize,
    /// Wall-clock time over all tokens.
    ms_per_token: f64,
    /// Of all texts together.
    state_bytes: usize,
    streams: Vec<SeededText>,
}

/// The text of a seed.
#[derive(Debug, Serialize)]
struct SeededText {
    seed: u64,
    #[serde(flatten)]
    text: Text,
}

impl Generate {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let config = self.config();
        config.sampling.validate()?;
        let decoding = self.decoder.decoding(config.sampling.seed)?;
        if self.streams.is_some() && !decoding.takes_streams() {
            return Err(Fault::usage("--streams writes texts token by token")
                .hint("leave --decoder out, or call once for each text"));
        }
        let run = self.run.load(global)?;
        let (session, prompt) = self.begin(&run)?;
        let session = session.with_weight_precision(self.weights.into())?;
        let fed = prompt.len() - usize::from(session.position() == 0);
        match self.streams {
            None => one(&terminal, (session, fed), &run.tokenizer, &prompt, (&config, decoding)),
            Some(count) => {
                let end = session.position() + prompt.len();
                let one = Properties::of(&run.config.model)?.state_bytes(end, self.keys_values.precision());
                Memory::check(
                    (one as u64).saturating_mul(count.into()),
                    &format!("the state of {count} streams"),
                    &run.model.device(),
                )?;
                let sessions = vec![session; count as usize];
                several(&terminal, (sessions, fed), &run.tokenizer, &prompt, &config)
            }
        }
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
            ..SamplingConfig::default()
        };
        GenerationConfig { tokens: self.tokens, sampling, stop: self.stop.clone(), ..GenerationConfig::default() }
    }

    /// The session and what is to be fed to it. A fresh session begins with the document token, so that no prompt is needed.
    fn begin(&self, run: &LoadedRun) -> Result<(Session, Vec<u32>)> {
        let model = InferenceModel::from(&run.model).with_key_value_precision(self.keys_values.precision())?;
        let model = Arc::new(model);
        match &self.from_state {
            Some(path) => {
                let session = Session::load(path, model)?;
                Ok((session, self.prompt.tokens(&run.tokenizer)?))
            }
            None => {
                let mut prompt = vec![run.tokenizer.document_token()];
                prompt.extend(self.prompt.tokens(&run.tokenizer)?);
                Ok((Session::new(model), prompt))
            }
        }
    }
}

/// A text, shown as it grows.
fn one(
    terminal: &Terminal,
    (mut session, fed): (Session, usize),
    tokenizer: &Tokenizer,
    prompt: &[u32],
    (config, decoding): (&GenerationConfig, Decoding),
) -> Result<()> {
    let mut emit = |text: &str| show(terminal, text);
    let (generation, rounds) = decoding.write(&mut session, tokenizer, prompt, config, &mut emit)?;
    // A pipe gets the text and nothing else; on a terminal the prompt starts on a line of its own.
    if terminal.format == Format::Text && !generation.text.ends_with('\n') {
        match std::io::stdout().is_terminal() {
            true => write_stdout("\n")?,
            false => terminal.say(""),
        }
    }
    let report = Generated { prompt_tokens: fed, text: Text::new(generation, &session), rounds };
    let state = state(report.text.state_bytes, &session)?;
    summarise(terminal, fed, report.text.tokens, report.text.ms_per_token, &state);
    if let Some(rounds) = &report.rounds {
        terminal.say(rounds.summary(report.text.tokens));
    }
    terminal.json(&report)
}

/// Several texts, each under a line with its seed: the first as it grows, the others when all are done.
fn several(
    terminal: &Terminal,
    (mut sessions, fed): (Vec<Session>, usize),
    tokenizer: &Tokenizer,
    prompt: &[u32],
    config: &GenerationConfig,
) -> Result<()> {
    let seeds: Vec<u64> = (0..sessions.len() as u64).map(|index| config.sampling.seed.wrapping_add(index)).collect();
    let head = |index: usize| format!("== text {} of {}, seed {} ==", index + 1, seeds.len(), seeds[index]);
    terminal.text(head(0))?;
    let mut emit = |index: usize, text: &str| if index == 0 { show(terminal, text) } else { Ok(()) };
    let generations = generate_streams(&mut sessions, tokenizer, prompt, config, &mut emit)?;
    for (index, generation) in generations.iter().enumerate() {
        if index > 0 {
            terminal.text(head(index))?;
            show(terminal, &generation.text)?;
        }
        if !generation.text.ends_with('\n') {
            terminal.text("")?;
        }
    }
    let tokens = generations.iter().map(|generation| generation.tokens).sum::<usize>();
    let seconds = generations.iter().map(|generation| generation.seconds).fold(0.0, f64::max);
    let texts = generations.into_iter().zip(&sessions).map(|(generation, session)| Text::new(generation, session));
    let report = GeneratedStreams {
        prompt_tokens: fed,
        tokens,
        ms_per_token: seconds * 1e3 / tokens.max(1) as f64,
        state_bytes: sessions.iter().map(Session::state_bytes).sum(),
        streams: seeds.iter().zip(texts).map(|(&seed, text)| SeededText { seed, text }).collect(),
    };
    let state = sessions.first().map_or(Ok(String::new()), |session| state(report.state_bytes, session))?;
    summarise(terminal, fed, tokens, report.ms_per_token, &state);
    terminal.json(&report)
}

/// New text on stdout, unless that takes JSON.
fn show(terminal: &Terminal, text: &str) -> Result<()> {
    match terminal.format {
        Format::Text if std::io::stdout().is_terminal() => write_stdout(&human::printable(text)),
        Format::Text => write_stdout(text),
        Format::Json => Ok(()),
    }
}

fn summarise(terminal: &Terminal, fed: usize, tokens: usize, ms_per_token: f64, state: &str) {
    terminal.say(format!(
        "{} in, {} out, {ms_per_token:.2} ms per token, {state}",
        human::plural(fed as u64, "token"),
        human::grouped(tokens as u64),
    ));
}

/// How large states are, and how exactly they are kept.
fn state(bytes: usize, session: &Session) -> Result<String> {
    Ok(format!("{} of state{}", human::bytes(bytes as u64), keys_values::note(session.model())?))
}

impl Text {
    fn new(generation: Generation, session: &Session) -> Self {
        Self {
            tokens: generation.tokens,
            ms_per_token: generation.seconds * 1e3 / generation.tokens.max(1) as f64,
            text: generation.text,
            state_bytes: session.state_bytes(),
            stopped: generation.stopped,
        }
    }
}
