//! `percept eval RUN --data PATH`: perplexities and bits per byte.

use clap::Args;
use percept::data::Corpus;
use percept::eval::score::{CorpusTexts, Limits, ModelScorer, Progress, Protocol, Score, score};
use percept::{Fault, Result};

use super::config_args::DataArgs;
use super::run_args::RunArgs;
use crate::cli::Global;
use crate::human;
use crate::meter::Meter;
use crate::terminal::{Style, Terminal};
use crate::training::DataMeter;

/// Arguments of `percept eval`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept eval runs/my-run --data held-out.txt")]
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
}

impl Eval {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let run = self.run.load(global)?;
        let config = self.data.config()?;
        let corpus = {
            let mut meter = DataMeter::new(terminal);
            Corpus::open(&config, &run.tokenizer, &mut |progress| meter.show(progress))?
        };
        let protocol = self.protocol(&run.config.model)?;
        let texts = CorpusTexts::of_corpus(&run.tokenizer, &corpus);
        let limits = Limits {
            tokens: self.limit,
            tokens_per_document: self.document_limit,
            context_only: self.context_only,
            ..Limits::default()
        };
        let scorer = ModelScorer::new(self.run.name(run.step), &run.model);
        let total = self.limit.map_or(corpus.statistics().tokens, |limit| corpus.statistics().tokens.min(limit as u64));
        let mut meter = Meter::new(terminal, "scoring", total);
        let score = score(&scorer, &texts, protocol, &limits, &mut |progress: Progress| {
            let rate = progress.tally.targets as f64 / progress.seconds.max(f64::MIN_POSITIVE);
            meter.set(progress.tally.targets, || format!("{} tokens/s", human::short(rate)));
        })?;
        drop(meter);
        print(&terminal, &score)
    }

    fn protocol(&self, model: &percept::model::ModelConfig) -> Result<Protocol> {
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
pub(crate) fn print(terminal: &Terminal, score: &Score) -> Result<()> {
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
    row("token perplexity", format!("{:.4}", score.token_perplexity))?;
    match score.word_perplexity {
        Some(perplexity) => row("word perplexity", format!("{perplexity:.2}"))?,
        None if score.tokenizer == "lossy" => {
            row("tokenizer", "lossy: it drops some of the text, so there is no figure per byte or word".into())?;
        }
        None => {}
    }
    row("speed", format!("{} tokens/s", human::short(score.tokens_per_s)))?;
    terminal.json(score)
}
