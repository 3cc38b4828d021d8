//! Suites: what a model does with its context.
//!
//! - [`Suite::Position`]: loss by the place of the target in its document.
//! - [`Suite::Context`]: loss of the same targets given more and more context.
//! - [`Suite::Recall`]: values of keys that were shown before (MQAR, arXiv 2312.04927).
//! - [`Suite::Copy`]: random symbols again, straight and backwards.
//! - [`Suite::Needle`]: a sentence at some depth of a long text.
//!
//! Everything that is drawn depends on the seed alone, so that every model gets the same questions. Answers are choices: the
//! candidate with the highest likelihood counts, which suits models that follow no instructions and has a known chance level.

mod answers;
mod clusters;
mod context;
mod copy;
mod haystack;
mod needle;
mod position;
mod recall;
mod result;
mod statistics;
mod student;
mod table;

use std::str::FromStr;
use std::time::Instant;

use percept_data::{Task, Tokenizer};
use percept_fault::{Fault, Result, nearest};

use crate::{Limits, Protocol, Scorer, Texts};

/// The longest context that a configuration may have.
const LONGEST: usize = 1 << 28;
pub use position::PositionTally;
pub use result::*;

/// One of the suites.
///
/// ```
/// use percept_score::suites::Suite;
/// assert_eq!("needle".parse::<Suite>()?, Suite::Needle);
/// let fault = "needles".parse::<Suite>().unwrap_err();
/// assert_eq!(fault.hint_text(), Some("did you mean `needle`?"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Loss by position; needs a text.
    Position,
    /// Gain of context; needs a text.
    Context,
    /// Associative recall.
    Recall,
    /// Copying, straight and backwards.
    Copy,
    /// Needle in a haystack.
    Needle,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 5] = [Self::Position, Self::Context, Self::Recall, Self::Copy, Self::Needle];

    /// Its name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Position => "position",
            Self::Context => "context",
            Self::Recall => "recall",
            Self::Copy => "copy",
            Self::Needle => "needle",
        }
    }

    /// Whether it measures on a text.
    pub fn needs_text(self) -> bool {
        matches!(self, Self::Position | Self::Context)
    }
}

impl FromStr for Suite {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        let names = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|suite| suite.name() == name).ok_or_else(|| {
            let hint = match nearest(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}, all", names.join(", ")),
            };
            Fault::usage(format!("unknown suite `{name}`")).hint(hint)
        })
    }
}

/// What is examined, and on which text.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The model.
    pub scorer: &'a dyn Scorer,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The evaluation text; without one, haystacks are made up.
    pub texts: Option<&'a dyn Texts>,
    /// How [`Suite::Position`] scores the text.
    pub protocol: Protocol,
    /// Which part of the text [`Suite::Position`] scores.
    pub limits: Limits,
}

impl<'a> Subject<'a> {
    fn text(&self, suite: Suite) -> Result<&'a dyn Texts> {
        self.texts.ok_or_else(|| needs_text(suite))
    }
}

/// The fault of a suite that needs a text and has none.
pub fn needs_text(suite: Suite) -> Fault {
    Fault::usage(format!("the suite `{}` measures on a text, and there is none", suite.name()))
        .hint("give one with --data")
}

/// Sizes, and the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Everything that is drawn depends on it.
    pub seed: u64,
    /// Targets of [`Suite::Context`], documents per size of [`Suite::Copy`] and [`Suite::Recall`], needles per cell;
    /// by default 256, 32, 32 and 16.
    pub samples: Option<usize>,
    /// The longest context, in tokens: usually the context that the model was trained with.
    pub length: usize,
    /// Tasks that the model was trained on. Their alphabets are used, and their sizes are among those asked for.
    pub trained_on: Vec<Task>,
}

impl Options {
    fn samples(&self, default: usize) -> usize {
        self.samples.unwrap_or(default)
    }

    /// The seed of the documents of a task: another sequence than that of training data with the same seed.
    fn documents_seed(&self) -> u64 {
        percept_random::hash(&[self.seed, 0x7375_6974_6573])
    }
}

/// How far a suite has got, in tokens that the model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuiteProgress {
    /// Done.
    pub done: u64,
    /// To do in all.
    pub total: u64,
}

/// Shows progress, piece by piece.
struct Meter<'a> {
    progress: SuiteProgress,
    show: &'a mut dyn FnMut(SuiteProgress),
}

impl Meter<'_> {
    fn add(&mut self, tokens: usize) {
        self.progress.done += tokens as u64;
        (self.show)(self.progress);
    }
}

/// Runs one suite.
///
/// # Errors
/// A usage fault where the suite needs a text, or a longer one, or sizes are 0; a check fault where the model gives no
/// probabilities; and whatever the model or the text meets.
///
/// ```
/// use percept_data::Tokenizer;
/// use percept_score::suites::{Findings, Options, Subject, Suite, run};
/// use percept_score::{Limits, ModelScorer, Protocol};
/// # use percept_model::{LanguageModel, ModelConfig};
/// # let layers = "llp(segment=8)".into();
/// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model = LanguageModel::new(&config, 7, &Default::default())?;
/// let (scorer, tokenizer) = (ModelScorer::new("untrained", &model), Tokenizer::bytes());
/// let subject = Subject {
///     scorer: &scorer,
///     tokenizer: &tokenizer,
///     texts: None,
///     protocol: Protocol::Stream,
///     limits: Limits::default(),
/// };
/// let options = Options { seed: 1, samples: Some(4), length: 32, trained_on: vec![] };
/// let result = run(Suite::Copy, &subject, &options, &mut |_| ())?;
/// let Findings::Copy(found) = result.findings else { panic!("another suite") };
/// // Four texts of eight symbols, which are one of sixteen each.
/// let eight = &found.copy.by_size[0];
/// assert_eq!((eight.size, eight.accuracy.trials, found.chance), (8, 32, 1.0 / 16.0));
/// // Who has learned nothing guesses.
/// assert!(eight.accuracy.low < 0.5);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn run(
    suite: Suite,
    subject: &Subject<'_>,
    options: &Options,
    progress: &mut dyn FnMut(SuiteProgress),
) -> Result<SuiteResult> {
    if options.length > LONGEST {
        return Err(Fault::usage(format!("a suite of {} tokens is too long", options.length))
            .hint(format!("at most {LONGEST}, as a model's context")));
    }
    if options.samples == Some(0) || options.length == 0 {
        return Err(Fault::usage("a suite of no samples, or of length 0, measures nothing").hint("use at least 1"));
    }
    let begin = Instant::now();
    let mut meter = Meter { progress: SuiteProgress { done: 0, total: 0 }, show: progress };
    let (protocol, findings) = match suite {
        Suite::Position => position::run(subject, &mut meter)?,
        Suite::Context => context::run(subject, options, &mut meter)?,
        Suite::Recall => recall::run(subject, options, &mut meter)?,
        Suite::Copy => copy::run(subject, options, &mut meter)?,
        Suite::Needle => needle::run(subject, options, &mut meter)?,
    };
    let seconds = begin.elapsed().as_secs_f64();
    Ok(SuiteResult { model: subject.scorer.name(), protocol, seed: options.seed, seconds, findings })
}

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
