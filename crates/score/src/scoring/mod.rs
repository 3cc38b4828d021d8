//! Scoring: each target exactly once, under a stated protocol.
//!
//! A document of T tokens has T targets. The document token stands before them and is never one. Under
//! [`Protocol::Stream`] a document is read once with carried state; under [`Protocol::SlidingWindow`]
//! overlapping windows score their last targets. Documents never see each other.
//!
//! ```text
//! token perplexity exp(NLL / T)      word perplexity    exp(NLL / W)
//! bits per byte    NLL / (Y ln 2)    bits per character NLL / (C ln 2)
//! ```
//!
//! with W, Y and C counted on the original text. A tokenizer that loses any of it has no such figures but
//! the token perplexity, and the result says so.

mod letters;
mod model;
mod pass;
mod protocol;
mod scorer;
mod text;
mod units;
mod windows;

use std::ops::Range;
use std::time::Instant;

use percept_fault::{Fault, Result};
use serde::Serialize;

use letters::Letters;
pub use model::{ModelScorer, is_bounded};
use pass::Pass;
pub use protocol::Protocol;
pub use scorer::{Scorer, Stream};
pub use text::{CorpusTexts, Document, MemoryTexts, Texts, Tokens};
pub use units::{Tally, Units};
use units::{finite, per_word};
pub use windows::{Cut, LastWindow, ScoringWindow};

/// Tokens before some, from which a tokenizer can tell their text.
const CONTEXT: usize = 16;
/// Targets of a document by whose text its script is told.
const SAMPLED: usize = 4096;
/// Documents whose scores a result lists.
const LISTED: usize = 1000;

/// Which part of the text is scored. Everything by default; whatever is set is stated in the protocol of the result.
///
/// ```
/// use percept_score::{Limits, Protocol};
/// let limits = Limits { documents: Some(100), context_only: 64, ..Limits::default() };
/// // Whatever is not scored stands in the protocol that the result gives.
/// let protocol = format!("{}{limits}", Protocol::SlidingWindow { window: 1024, stride: 512 });
/// assert_eq!(
///     protocol,
///     "sliding window w = 1024, t = 512, first 100 documents, the first 64 tokens of each document as context only"
/// );
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Only the first documents.
    pub documents: Option<usize>,
    /// Only so many targets in total; the document in which they run out is cut.
    pub tokens: Option<usize>,
    /// Only so many targets of each document.
    pub tokens_per_document: Option<usize>,
    /// So many tokens at the start of each document are context only.
    pub context_only: usize,
}

impl std::fmt::Display for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(documents) = self.documents {
            write!(f, ", first {documents} documents")?;
        }
        if self.context_only > 0 {
            write!(f, ", the first {} tokens of each document as context only", self.context_only)?;
        }
        if let Some(tokens) = self.tokens_per_document {
            write!(f, ", at most {tokens} targets per document")?;
        }
        match self.tokens {
            Some(tokens) => write!(f, ", at most {tokens} targets"),
            None => Ok(()),
        }
    }
}

/// How far scoring has got.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Documents begun.
    pub documents: usize,
    /// Documents to score.
    pub documents_total: usize,
    /// The sum so far.
    pub tally: Tally,
    /// Since the start.
    pub seconds: f64,
}

/// The score of one document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentScore {
    /// What the text calls it.
    pub name: String,
    /// Its sum.
    #[serde(flatten)]
    pub tally: Tally,
    /// NLL / (Y ln 2); `None` for a lossy tokenizer.
    pub bits_per_byte: Option<f64>,
}

/// The score of a text. Serialized, its keys are those of `percept eval --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The model.
    pub model: String,
    /// In what context each target was scored, and which part of the text.
    pub protocol: String,
    /// Targets scored, each once.
    pub targets: u64,
    /// Sum of -ln p over the targets, in nats.
    pub nll: f64,
    /// exp(NLL / T).
    pub token_perplexity: f64,
    /// exp(NLL / W); `None` for a lossy tokenizer, and where it is not defined.
    pub word_perplexity: Option<f64>,
    /// Why a text whose bytes are all kept has no word perplexity: it has no words, or no spaces between them, or the figure is too large
    /// for a number, or to mean anything.
    pub word_perplexity_undefined: Option<&'static str>,
    /// exp(NLL / C); `None` for a lossy tokenizer.
    pub character_perplexity: Option<f64>,
    /// NLL / (Y ln 2); `None` for a lossy tokenizer.
    pub bits_per_byte: Option<f64>,
    /// NLL / (C ln 2); `None` for a lossy tokenizer.
    pub bits_per_character: Option<f64>,
    /// `lossless`, or `lossy` where the tokenizer does not keep every byte: then only token perplexities compare,
    /// and only between models with the same tokenizer.
    pub tokenizer: &'static str,
    /// Sizes of the text that was scored; `None` for a lossy tokenizer.
    pub text: Option<Units>,
    /// Documents scored.
    pub documents: usize,
    /// The first documents (at most a thousand) by themselves, in order.
    pub per_document: Vec<DocumentScore>,
    /// Wall-clock time.
    pub seconds: f64,
    /// Targets per second.
    pub tokens_per_s: f64,
}

impl Score {
    /// The same with another number of words: benchmarks have counts of their own (WikiText adds one per line end).
    ///
    /// # Errors
    /// usage: a lossy tokenizer, which has no figure per word, or no words.
    ///
    /// ```
    /// # use percept_data::Tokenizer;
    /// # use percept_model::{LanguageModel, ModelConfig};
    /// # use percept_score::{Limits, MemoryTexts, ModelScorer, Protocol, score};
    /// # let layers = "llp(segment=8)".into();
    /// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
    /// # let scorer = ModelScorer::new("untrained", &LanguageModel::new(&config, 7, &Default::default())?);
    /// # let texts = MemoryTexts::new(Tokenizer::bytes(), vec![b"a b\n".to_vec()]);
    /// # let score = score(&scorer, &texts, Protocol::Stream, &Limits::default(), &mut |_| ())?;
    /// // The text `a b` and a line end: two words, and WikiText counts the line end as a third.
    /// let of_two = score.word_perplexity.unwrap();
    /// let of_three = score.with_words(3)?.word_perplexity.unwrap();
    /// assert!((of_two.powf(2.0 / 3.0) - of_three).abs() < 1e-6 * of_three);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn with_words(mut self, words: u64) -> Result<Self> {
        let Some(text) = self.text.as_mut().filter(|_| words > 0) else {
            return Err(Fault::usage(match words {
                0 => "0 words: there is no figure per word",
                _ => "the tokenizer drops some of the text, so there is no figure per word",
            })
            .hint("leave the number of words out"));
        };
        text.words = words;
        let perplexity = Tally { nll: self.nll, targets: self.targets }.word_perplexity(*text);
        let defined = finite(perplexity);
        (self.word_perplexity, self.word_perplexity_undefined) = (defined.ok(), defined.err());
        Ok(self)
    }
}

/// The losses of some consecutive targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored<'a> {
    /// Index of the document.
    pub document: usize,
    /// Indices of the targets in the document.
    pub targets: Range<usize>,
    /// -ln p of each, in nats.
    pub nll: &'a [f64],
}

/// Scores texts under a protocol. `progress` is called after every piece of work.
///
/// # Errors
/// A usage fault for a protocol that scores nothing or leaves targets out, or a text without targets; a check
/// fault where the model gives a likelihood that is not a number; and whatever the model or the text meets.
///
/// ```
/// use percept_data::Tokenizer;
/// use percept_model::{LanguageModel, ModelConfig};
/// use percept_score::{Limits, MemoryTexts, ModelScorer, Protocol, score};
/// # let layers = "llp(segment=8)".into();
/// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model = LanguageModel::new(&config, 7, &Default::default())?;
/// let scorer = ModelScorer::new("untrained", &model);
/// let texts = MemoryTexts::new(Tokenizer::bytes(), vec!["Größe zählt".into(), "so does context".into()]);
/// let score = score(&scorer, &texts, Protocol::Stream, &Limits::default(), &mut |_| ())?;
/// // Each byte is a target once; figures per byte, character and word are of the original text.
/// let text = score.text.unwrap();
/// assert_eq!((score.targets, text.bytes, text.characters, text.words), (29, 29, 26, 5));
/// assert!((7.5..8.5).contains(&score.bits_per_byte.unwrap()));
/// assert_eq!(score.protocol, "one pass with carried state");
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn score(
    scorer: &dyn Scorer,
    texts: &dyn Texts,
    protocol: Protocol,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Score> {
    score_each(scorer, texts, protocol, limits, progress, &mut |_| ())
}

/// [`score`], which also shows `visit` the loss of every target, once, in order.
///
/// # Errors
/// As [`score`].
///
/// ```
/// # use percept_data::Tokenizer;
/// # use percept_model::{LanguageModel, ModelConfig};
/// # use percept_score::{Limits, MemoryTexts, ModelScorer, Protocol, score_each};
/// # let layers = "llp(segment=8)".into();
/// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model = LanguageModel::new(&config, 7, &Default::default())?;
/// # let scorer = ModelScorer::new("untrained", &model);
/// let texts = MemoryTexts::new(Tokenizer::bytes(), vec![b"to be or not to be".to_vec()]);
/// let mut worst = (0.0, 0);
/// let score = score_each(&scorer, &texts, Protocol::Stream, &Limits::default(), &mut |_| (), &mut |scored| {
///     for (target, &nll) in scored.targets.clone().zip(scored.nll) {
///         worst = if nll > worst.0 { (nll, target) } else { worst };
///     }
/// })?;
/// // The byte that the model expected least, of 18.
/// assert!(worst.1 < 18 && worst.0 >= score.nll / score.targets as f64);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn score_each(
    scorer: &dyn Scorer,
    texts: &dyn Texts,
    protocol: Protocol,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
    visit: &mut dyn FnMut(Scored<'_>),
) -> Result<Score> {
    let window = match protocol {
        Protocol::Stream => usize::MAX,
        Protocol::SlidingWindow { window, .. } => window,
    };
    protocol.validate(scorer.scorable(window))?;
    let begin = Instant::now();
    let documents_total = limits.documents.unwrap_or(usize::MAX).min(texts.len());
    let mut total = Total { units: Some(Units::default()), ..Total::default() };
    for index in 0..documents_total {
        let left = limits.tokens.map_or(usize::MAX, |most| most - total.tally.targets as usize);
        if left == 0 {
            break;
        }
        let document = texts.document(index)?;
        let targets = targets(&document, limits, left);
        if targets.is_empty() {
            continue;
        }
        let marked = document.targets;
        let pass = Pass { scorer, document_token: texts.document_token(), tokens: &document.tokens, marked };
        let mut tally = Tally::default();
        pass.run(protocol, targets.clone(), &mut |targets, nll| {
            tally += Tally { nll: nll.iter().sum(), targets: nll.len() as u64 };
            visit(Scored { document: index, targets, nll });
            let mut so_far = total.tally;
            so_far += tally;
            let seconds = begin.elapsed().as_secs_f64();
            progress(Progress { documents: index + 1, documents_total, tally: so_far, seconds });
        })?;
        let text = |targets: Range<usize>| {
            let before = document.tokens.range(targets.start.saturating_sub(CONTEXT)..targets.start);
            let tokens = document.tokens.range(targets.clone());
            let marked: Vec<u32> =
                targets.zip(tokens).filter(|(at, _)| marked.contains(*at)).map(|(_, token)| token).collect();
            texts.decode(&before, &marked)
        };
        let units = document.units.map(|all| match targets == (marked.from..document.tokens.len()) {
            true => all,
            false => Units::of(&text(targets.clone())),
        });
        if units.is_some() {
            let sample = targets.start..targets.end.min(targets.start + SAMPLED);
            total.letters += Letters::of(&text(sample));
        }
        total.add(document.name, tally, units)?;
    }
    total.report(scorer.name(), format!("{protocol}{limits}"), begin.elapsed().as_secs_f64())
}

/// The targets of a document that are scored, and what stands between them, where `left` may still be.
fn targets(document: &Document<'_>, limits: &Limits, left: usize) -> Range<usize> {
    let length = document.tokens.len();
    let start = document.targets.from.max(limits.context_only).min(length);
    let (before, all) = (document.targets.before(start), document.targets.before(length));
    match limits.tokens_per_document.unwrap_or(usize::MAX).min(left).min(all - before) {
        0 => start..start,
        count => start..document.targets.nth(before + count - 1) + 1,
    }
}

/// The sums over the documents so far.
#[derive(Default)]
struct Total {
    tally: Tally,
    units: Option<Units>,
    letters: Letters,
    documents: usize,
    per_document: Vec<DocumentScore>,
}

impl Total {
    fn add(&mut self, name: String, tally: Tally, units: Option<Units>) -> Result<()> {
        if !tally.nll.is_finite() {
            return Err(Fault::check(format!("the NLL of {name} is {}: the model gives no probabilities", tally.nll))
                .hint("the weights are broken or training diverged; use an earlier checkpoint"));
        }
        self.tally += tally;
        self.units = self.units.zip(units).map(|(mut sum, own)| {
            sum += own;
            sum
        });
        self.documents += 1;
        if self.documents <= LISTED {
            let bits_per_byte = units.map(|own| tally.bits_per_byte(own));
            self.per_document.push(DocumentScore { name, tally, bits_per_byte });
        }
        Ok(())
    }

    fn report(self, model: String, protocol: String, seconds: f64) -> Result<Score> {
        let Self { tally, units, letters, documents, per_document } = self;
        if tally.targets == 0 {
            return Err(Fault::usage("there is nothing to score: the text has no tokens")
                .hint("give a text that is not empty, and limits that leave some of it"));
        }
        let words = units.map(|units| per_word(tally, units, letters));
        let (word_perplexity, word_perplexity_undefined) =
            words.map_or((None, None), |words| (words.ok(), words.err()));
        Ok(Score {
            model,
            protocol,
            targets: tally.targets,
            nll: tally.nll,
            token_perplexity: tally.token_perplexity(),
            word_perplexity,
            word_perplexity_undefined,
            character_perplexity: units
                .map(|units| tally.character_perplexity(units))
                .filter(|value| value.is_finite()),
            bits_per_byte: units.map(|units| tally.bits_per_byte(units)),
            bits_per_character: units.map(|units| tally.bits_per_character(units)),
            tokenizer: if units.is_some() { "lossless" } else { "lossy" },
            text: units,
            documents,
            per_document,
            seconds,
            tokens_per_s: tally.targets as f64 / seconds.max(f64::EPSILON),
        })
    }
}

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod tests;
