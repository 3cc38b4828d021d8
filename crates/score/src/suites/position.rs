//! Loss by the place of the target in its document.

use percept_fault::Fault;

use crate::{Score, Scored, score_each};

use super::clusters::Clusters;
use super::statistics::mean_loss;
use super::{Findings, MeanLoss, Meter, Position, PositionBucket, Result, Subject, Suite};

/// Buckets of equal width that are kept; there are between half of them and all of them in the end.
const LINEAR: usize = 32;
/// Stretches of a bucket, which stand for units where the text is a single document.
const STRETCHES: usize = 16;
/// Widths of linear buckets, 1, 2, 4, ...: more than any document needs.
const WIDTHS: usize = 48;

/// Losses by index, in little memory: for [`score_each`].
///
/// The targets of a document depend on each other, so documents are summed up one after the other. Which width the linear buckets
/// have is known only after the longest document: every width that may still be the last one is kept.
///
/// ```
/// use percept_score::suites::PositionTally;
/// # use percept_data::Tokenizer;
/// # use percept_model::{LanguageModel, ModelConfig};
/// # use percept_score::{Limits, MemoryTexts, ModelScorer, Protocol, score_each};
/// # let layers = "llp(segment=8)".into();
/// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let scorer = ModelScorer::new("untrained", &LanguageModel::new(&config, 7, &Default::default())?);
/// # let texts = MemoryTexts::new(Tokenizer::bytes(), vec![b"one text".to_vec(), b"and another".to_vec()]);
/// let mut tally = PositionTally::default();
/// let (protocol, limits) = (Protocol::Stream, Limits::default());
/// let score = score_each(&scorer, &texts, protocol, &limits, &mut |_| (), &mut |scored| tally.add(&scored))?;
/// // Texts of 8 and 11 bytes: two first bytes, two second ones, then places 2 to 3, 4 to 7, 8 to 15.
/// let targets: Vec<u64> = tally.position(&score).logarithmic.iter().map(|bucket| bucket.loss.targets).collect();
/// assert_eq!(targets, [2, 2, 4, 8, 3]);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PositionTally {
    /// Bucket 0 is index 0, bucket b is `2^(b - 1) .. 2^b`.
    logarithmic: Vec<Bucket>,
    /// By the logarithm of the width; those that are too narrow for the longest document are no longer kept up.
    linear: Vec<Vec<Bucket>>,
    /// Logarithm of the narrowest width that holds all documents so far.
    narrowest: usize,
    /// Documents counted.
    documents: u64,
    current: Document,
}

impl Default for PositionTally {
    fn default() -> Self {
        Self {
            logarithmic: Vec::new(),
            linear: vec![Vec::new(); WIDTHS],
            narrowest: 0,
            documents: 0,
            current: Document::default(),
        }
    }
}

/// Number and sum of some losses.
type Sum = (u64, f64);

/// The targets of a bucket by documents, and by stretches of documents.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bucket {
    documents: Clusters,
    stretches: Clusters,
}

impl Bucket {
    /// Adds what a document has in the bucket, in stretches.
    fn add(&mut self, stretches: &[Sum]) {
        let (count, sum) = stretches.iter().fold((0, 0.0), |all, own| (all.0 + own.0, all.1 + own.1));
        self.documents.add(count, sum);
        stretches.iter().for_each(|&(count, sum)| self.stretches.add(count, sum));
    }

    /// The loss in a text of so many documents. What only one of several reaches has no interval: others would differ.
    fn loss(&self, documents: u64, bytes_per_token: Option<f64>) -> MeanLoss {
        mean_loss(if documents == 1 { &self.stretches } else { &self.documents }, bytes_per_token)
    }
}

/// The document under way.
#[derive(Debug, Clone, Default, PartialEq)]
struct Document {
    index: usize,
    /// Stretches of each logarithmic bucket.
    logarithmic: Vec<Vec<Sum>>,
    /// Stretches of equal width, as many as linear buckets have at most.
    even: Vec<Sum>,
    /// Logarithm of their width.
    width: usize,
}

impl Document {
    fn add(&mut self, index: usize, nll: f64) {
        let doubling = (usize::BITS - index.leading_zeros()) as usize;
        // A bucket of fewer targets than stretches has one for each.
        let (first, size) = ((1 << doubling) >> 1, (1_usize << doubling).div_ceil(2));
        let stretch = if size <= STRETCHES { index - first } else { (index - first) / (size / STRETCHES) };
        count(grown(grown(&mut self.logarithmic, doubling), stretch), nll);
        while index >> self.width >= LINEAR * STRETCHES {
            self.even = halved(&self.even);
            self.width += 1;
        }
        count(grown(&mut self.even, index >> self.width), nll);
    }
}

fn count(sum: &mut Sum, nll: f64) {
    (sum.0, sum.1) = (sum.0 + 1, sum.1 + nll);
}

/// Two neighbours as one.
fn halved(sums: &[Sum]) -> Vec<Sum> {
    let both = |pair: &[Sum]| pair.iter().fold((0, 0.0), |all, own| (all.0 + own.0, all.1 + own.1));
    sums.chunks(2).map(both).collect()
}

impl PositionTally {
    /// Counts the targets of a piece of a document; documents come one after the other.
    pub fn add(&mut self, scored: &Scored<'_>) {
        if scored.document != self.current.index {
            self.finish_document();
            self.current.index = scored.document;
        }
        for (index, &nll) in scored.targets.clone().zip(scored.nll) {
            self.current.add(index, nll);
        }
    }

    /// Adds the document under way to all buckets.
    fn finish_document(&mut self) {
        let Document { logarithmic, mut even, mut width, .. } = std::mem::take(&mut self.current);
        self.documents += u64::from(!even.is_empty());
        for (at, stretches) in logarithmic.iter().enumerate() {
            grown(&mut self.logarithmic, at).add(stretches);
        }
        while !even.is_empty() && (even.len() - 1) << width >> self.narrowest >= LINEAR {
            self.narrowest += 1;
        }
        for (bucket, buckets) in self.linear.iter_mut().enumerate().skip(self.narrowest) {
            let stretch = (1_usize << bucket).div_ceil(STRETCHES).ilog2() as usize;
            while width < stretch {
                even = halved(&even);
                width += 1;
            }
            for (at, stretches) in even.chunks(1 << (bucket - width)).enumerate() {
                grown(buckets, at).add(stretches);
            }
        }
    }

    /// What was counted; `score` is the score of the same targets, whose bytes per token all buckets take.
    pub fn position(&self, score: &Score) -> Position {
        let mut whole = self.clone();
        whole.finish_document();
        let bytes_per_token = score.text.map(|units| units.bytes as f64 / score.targets as f64);
        let buckets = |buckets: &[Bucket], bounds: &dyn Fn(usize) -> (usize, usize)| {
            let shown = |(at, bucket): (usize, &Bucket)| {
                let (from, to) = bounds(at);
                PositionBucket { from: from as u64, to: to as u64, loss: bucket.loss(whole.documents, bytes_per_token) }
            };
            buckets.iter().enumerate().filter(|(_, bucket)| bucket.documents.count() > 0).map(shown).collect()
        };
        let narrowest = whole.narrowest;
        Position {
            logarithmic: buckets(&whole.logarithmic, &|at| ((1 << at) >> 1, 1 << at)),
            linear: buckets(&whole.linear[narrowest], &|at| (at << narrowest, (at + 1) << narrowest)),
        }
    }

    /// Sees that there is something to compare.
    ///
    /// # Errors
    /// A usage fault where all targets have the same place in their documents, such as those of a text of one byte.
    pub fn require_places(&self) -> Result<()> {
        let mut whole = self.clone();
        whole.finish_document();
        match whole.logarithmic.iter().filter(|bucket| bucket.documents.count() > 0).count() {
            0 | 1 => {
                Err(Fault::usage("all targets have the same place in their documents, so there is no loss by position")
                    .hint("give a longer text"))
            }
            _ => Ok(()),
        }
    }
}

fn grown<T: Default + Clone>(items: &mut Vec<T>, index: usize) -> &mut T {
    if items.len() <= index {
        items.resize(index + 1, T::default());
    }
    &mut items[index]
}

pub(super) fn run(subject: &Subject<'_>, meter: &mut Meter<'_>) -> Result<(String, Findings)> {
    let texts = subject.text(Suite::Position)?;
    let mut total = 0;
    for index in 0..subject.limits.documents.unwrap_or(usize::MAX).min(texts.len()) {
        total += texts.document(index)?.tokens.len();
    }
    meter.progress.total = total.min(subject.limits.tokens.unwrap_or(usize::MAX)) as u64;
    let mut tally = PositionTally::default();
    let mut visit = |scored: Scored<'_>| {
        tally.add(&scored);
        meter.add(scored.nll.len());
    };
    let score = score_each(subject.scorer, texts, subject.protocol, &subject.limits, &mut |_| (), &mut visit)?;
    tally.require_places()?;
    Ok((score.protocol.clone(), Findings::Position(tally.position(&score))))
}
