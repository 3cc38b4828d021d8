//! Loss by the place of the target in its document.

use crate::score::{Score, Scored, score_each};

use super::statistics::Moments;
use super::{Findings, Meter, Position, PositionBucket, Result, Subject, Suite};

/// Buckets of equal width that are kept; there are between half of them and all of them in the end.
const LINEAR: usize = 32;

/// Losses by index, in little memory: for [`score_each`].
#[derive(Debug, Clone, PartialEq)]
pub struct PositionTally {
    /// Bucket 0 is index 0, bucket b is `2^(b - 1) .. 2^b`.
    logarithmic: Vec<Moments>,
    /// Buckets of `width` indices.
    linear: Vec<Moments>,
    width: usize,
}

impl Default for PositionTally {
    fn default() -> Self {
        Self { logarithmic: Vec::new(), linear: Vec::new(), width: 1 }
    }
}

impl PositionTally {
    /// Counts the targets of a piece of a document.
    pub fn add(&mut self, scored: &Scored<'_>) {
        for (index, &nll) in scored.targets.clone().zip(scored.nll) {
            while index / self.width >= LINEAR {
                self.widen();
            }
            let doubling = (usize::BITS - index.leading_zeros()) as usize;
            grown(&mut self.logarithmic, doubling).add(nll);
            grown(&mut self.linear, index / self.width).add(nll);
        }
    }

    /// Doubles the width of the linear buckets.
    fn widen(&mut self) {
        self.width *= 2;
        self.linear = self
            .linear
            .chunks(2)
            .map(|pair| {
                let mut both = pair[0];
                pair[1..].iter().for_each(|second| both.merge(second));
                both
            })
            .collect();
    }

    /// What was counted; `score` is the score of the same targets, whose bytes per token all buckets take.
    pub fn position(&self, score: &Score) -> Position {
        let bytes_per_token = score.text.map(|units| units.bytes as f64 / score.targets as f64);
        let buckets = |moments: &[Moments], bounds: &dyn Fn(usize) -> (usize, usize)| {
            let bucket = |(at, moments): (usize, &Moments)| {
                let (from, to) = bounds(at);
                PositionBucket { from: from as u64, to: to as u64, loss: moments.loss(bytes_per_token) }
            };
            moments.iter().enumerate().filter(|(_, moments)| moments.count() > 0).map(bucket).collect()
        };
        Position {
            logarithmic: buckets(&self.logarithmic, &|at| ((1 << at) >> 1, 1 << at)),
            linear: buckets(&self.linear, &|at| (at * self.width, (at + 1) * self.width)),
        }
    }
}

fn grown(moments: &mut Vec<Moments>, index: usize) -> &mut Moments {
    if moments.len() <= index {
        moments.resize(index + 1, Moments::default());
    }
    &mut moments[index]
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
    Ok((score.protocol.clone(), Findings::Position(tally.position(&score))))
}
