//! `percept eval RUN --data PATH`: perplexities and bits per byte, and what the model does with its context.

mod masked;
mod suites;
mod tables;

use clap::Args;
use percept::data::Corpus;
use percept::model::{InferenceModel, KeyValuePrecision};
use percept::score::suites::{PositionTally, Suite, SuiteResult};
use percept::score::{CorpusTexts, Limits, ModelScorer, Progress, Protocol, Score, Scorer, score_each};
use percept::train::{LoadedRun, TaskKind};
use percept::{Fault, Result};
use serde::Serialize;

use self::suites::{LeftOut, SuiteArgs, Suites};
use crate::arguments::config::DataArgs;
use crate::arguments::run::RunArgs;
use crate::arguments::{Global, KeysValuesArgs, Weights};
use crate::human;
use crate::meter::Meter;
use crate::terminal::{Style, Terminal};
use crate::training::DataMeter;

/// Arguments of `percept eval`.
#[derive(Debug, Args)]
#[command(
    after_help = "For example: percept eval runs/my-run --data held-out.txt\n             percept eval runs/my-run --suite recall,copy,needle"
)]
pub(crate) struct Eval {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Score by sliding windows of this many tokens, instead of one pass with carried state
    #[arg(long, value_name = "TOKENS")]
    window: Option<usize>,
    /// Targets that each sliding window scores; by default half of it
    #[arg(long, value_name = "TOKENS")]
    stride: Option<usize>,
    /// Score at most this many targets
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Score at most this many targets of each document
    #[arg(long, value_name = "N")]
    document_limit: Option<usize>,
    /// Take this many tokens at the start of each document as context only
    #[arg(long, value_name = "N", default_value_t = 0)]
    context_only: usize,
    /// Encoders: mask each token alone, too, for the pseudo-log-likelihood, which takes a pass for each
    #[arg(long)]
    pseudo: bool,
    /// Words of the whole text as a benchmark counts them, for the word perplexity; by default runs between white space
    #[arg(long, value_name = "N", conflicts_with_all = ["limit", "document_limit", "context_only"])]
    words: Option<u64>,
    /// How exactly weights are kept; fewer bits are what `percept generate --weights` then writes with
    #[arg(long, value_name = "WEIGHTS", value_enum, default_value_t = Weights::F32)]
    weights: Weights,
    #[command(flatten)]
    keys_values: KeysValuesArgs,
    #[command(flatten)]
    suites: SuiteArgs,
}

/// What `--json` gives.
#[derive(Debug, Serialize)]
struct Evaluation {
    #[serde(flatten)]
    subject: Evaluated,
    /// How exactly the weights were kept.
    weights: &'static str,
    /// How exactly keys and values were kept.
    keys_values: &'static str,
    suites: Vec<SuiteResult>,
    /// Suites of `all` that this text or tokenizer does not suit, with the reason.
    left_out: Vec<LeftOut>,
}

/// The score of the text, or, without a text, just who was examined.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Evaluated {
    Text(Box<Score>),
    NoText { model: String },
}

impl Eval {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let mut found = Suites::default();
        let wanted = self.suites.wanted(&self.data, &terminal, &mut found)?;
        match (self.run.task()?, self.pseudo) {
            (TaskKind::Masked, _) => return self.run_encoder(global),
            (TaskKind::NextToken, true) => {
                return Err(Fault::usage("--pseudo is for encoders, and this run is a language model")
                    .hint("its perplexity needs no mask: leave --pseudo out"));
            }
            (TaskKind::NextToken, false) => {}
        }
        let run = self.run.load(global)?;
        let protocol = self.protocol(&run.config.model)?;
        let scorer = self.scorer(&run)?;
        let corpus = match self.data.is_given() || wanted.is_empty() {
            true => Some(self.corpus(&run, terminal)?),
            false => None,
        };
        let texts = corpus.as_ref().map(|corpus| CorpusTexts::of_corpus(&run.tokenizer, corpus));
        let subject = match (&texts, &corpus) {
            (Some(texts), Some(corpus)) => {
                let (score, by_position) =
                    self.score(&scorer, texts, protocol, corpus.statistics().tokens, terminal)?;
                if wanted.contains(&Suite::Position) {
                    let position = self.suites.position(&score, &by_position);
                    self.suites.keep(Suite::Position, position, &terminal, &mut found)?;
                }
                print(&terminal, &score)?;
                Evaluated::Text(Box::new(score))
            }
            _ => Evaluated::NoText { model: scorer.name() },
        };
        for &suite in wanted.iter().filter(|suite| **suite != Suite::Position) {
            let outcome = self.suites.run(suite, &run, &scorer, texts.as_ref(), terminal);
            self.suites.keep(suite, outcome, &terminal, &mut found)?;
        }
        let Suites { results, left_out } = found;
        results.iter().try_for_each(|result| tables::print(&terminal, result))?;
        let (weights, keys_values) = (self.weights.name(), self.keys_values.precision().name());
        terminal.json(&Evaluation { subject, weights, keys_values, suites: results, left_out })
    }

    /// The model with its weights rounded as the packed ones of the decoder are, which then score alike in any protocol.
    fn scorer(&self, run: &LoadedRun) -> Result<ModelScorer> {
        let model = InferenceModel::from(&run.model).with_weight_precision(self.weights.into())?;
        let model = model.with_key_value_precision(self.keys_values.precision())?;
        let mut name = self.run.name(run.step);
        if self.weights != Weights::F32 {
            name.push_str(&format!(", {} weights", self.weights.name()));
        }
        if self.keys_values.precision() == KeyValuePrecision::Bf16 {
            name.push_str(", keys and values in bf16");
        }
        Ok(ModelScorer::new(name, model))
    }

    fn corpus(&self, run: &LoadedRun, terminal: Terminal) -> Result<Corpus> {
        let config = self.data.config()?;
        let mut meter = DataMeter::new(terminal);
        Corpus::open(&config, &run.tokenizer, &mut meter)
    }

    fn score(
        &self,
        scorer: &ModelScorer,
        texts: &CorpusTexts<'_>,
        protocol: Protocol,
        tokens: u64,
        terminal: Terminal,
    ) -> Result<(Score, PositionTally)> {
        let limits = Limits {
            tokens: self.limit,
            tokens_per_document: self.document_limit,
            context_only: self.context_only,
            ..Limits::default()
        };
        let total = self.limit.map_or(tokens, |limit| tokens.min(limit as u64));
        let mut meter = Meter::new(terminal, "scoring", total);
        let mut show = |progress: Progress| {
            let rate = progress.tally.targets as f64 / progress.seconds.max(f64::MIN_POSITIVE);
            meter.set(progress.tally.targets, || format!("{} tokens/s", human::short(rate)));
        };
        let mut by_position = PositionTally::default();
        let score = score_each(scorer, texts, protocol, &limits, &mut show, &mut |scored| by_position.add(&scored))?;
        let score = match self.words {
            Some(words) => score.with_words(words)?,
            None => score,
        };
        Ok((score, by_position))
    }

    fn protocol(&self, model: &percept::model::ModelConfig) -> Result<Protocol> {
        let protocol = self.any_protocol(model)?;
        let exact = self.keys_values.precision() == KeyValuePrecision::F32;
        match exact || protocol == Protocol::Stream {
            true => Ok(protocol),
            false => Err(Fault::usage("--keys-values bf16 is for models that are scored with carried state")
                .hint("windows are scored from nothing, and keep no keys and values")),
        }
    }

    fn any_protocol(&self, model: &percept::model::ModelConfig) -> Result<Protocol> {
        match (self.window, self.stride) {
            (Some(window), stride) => {
                Ok(Protocol::SlidingWindow { window, stride: stride.unwrap_or(window.div_ceil(2)) })
            }
            (None, None) => Protocol::suited_to(model),
            (None, Some(_)) => {
                Err(Fault::usage("--stride without --window").hint("give both, e.g. --window 1024 --stride 512"))
            }
        }
    }
}

/// The figures of a score, one per line.
fn print(terminal: &Terminal, score: &Score) -> Result<()> {
    let row = |name: &str, value: String| terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<18}"))));
    row("model", score.model.clone())?;
    row("protocol", score.protocol.clone())?;
    row(
        "targets",
        format!("{} in {}", human::grouped(score.targets), human::plural(score.documents as u64, "document")),
    )?;
    if let Some(bits) = score.bits_per_byte {
        row("bits per byte", format!("{bits:.4}"))?;
    }
    row(
        "token perplexity",
        match score.token_perplexity.is_finite() {
            true => format!("{:.4}", score.token_perplexity),
            false => "too large for a number".into(),
        },
    )?;
    match (&score.word_perplexity, score.word_perplexity_undefined) {
        (Some(perplexity), _) => {
            let words = score.text.map_or(0, |text| text.words);
            row("word perplexity", format!("{perplexity:.2} over {}", human::plural(words, "word")))?;
        }
        (None, Some(reason)) => {
            row("word perplexity", format!("not defined: {reason}"))?;
            per_character(score, &row)?;
        }
        (None, None) => {
            row("tokenizer", "lossy: it drops some of the text, so there is no figure per byte or word".into())?;
        }
    }
    row("speed", format!("{} tokens/s", human::short(score.tokens_per_s)))
}

/// What stands in for the word perplexity where a text has no words.
fn per_character(score: &Score, row: &dyn Fn(&str, String) -> Result<()>) -> Result<()> {
    let characters = score.text.map_or(0, |text| text.characters);
    let over = format!("over {}", human::plural(characters, "character"));
    if let Some(bits) = score.bits_per_character {
        row("bits per character", format!("{bits:.4} {over}"))?;
    }
    match score.character_perplexity {
        Some(perplexity) => row("char. perplexity", format!("{perplexity:.4} {over}")),
        None => Ok(()),
    }
}
