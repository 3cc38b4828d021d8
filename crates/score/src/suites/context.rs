//! Loss of the same targets given more and more context.
//!
//! A target with c tokens of context is predicted from exactly the c tokens before it, as a fresh stream or window would
//! be; with none, from the document token. What falls from one c to the next is what those further tokens are worth.

use percept_data::Targets;
use percept_fault::Fault;
use percept_model::{Batch, IGNORED};
use percept_random::Permutation;

use crate::Texts;

use super::clusters::Clusters;
use super::statistics::mean_loss;
use super::{Context, ContextPoint, Findings, Meter, Options, Result, Subject, Suite};

/// Targets by default.
const TARGETS: usize = 256;
/// The first step after no context.
const STEP: usize = 64;

pub(super) fn run(subject: &Subject<'_>, options: &Options, meter: &mut Meter<'_>) -> Result<(String, Findings)> {
    let texts = subject.text(Suite::Context)?;
    let lengths = Lengths::of(texts)?;
    let samples = options.samples(TARGETS);
    let longest = lengths.longest_context(options.length.min(subject.scorer.longest()), samples);
    if longest == 0 {
        let fault = Fault::usage("no document of the text has two tokens, so none has context");
        return Err(fault.hint("give a longer text"));
    }
    let contexts = contexts(longest);
    let targets = lengths.draw(longest, samples, options.seed);
    meter.progress.total = contexts.iter().map(|&context| (context.max(1) * targets.len()) as u64).sum();
    let mut losses = Vec::with_capacity(contexts.len());
    for &context in &contexts {
        losses.push(losses_given(context, subject, texts, &targets, meter)?);
    }
    let units = units(&targets, longest);
    let points = contexts.iter().zip(&losses).map(|(&context, own)| {
        let loss = in_units(&units, own.iter().copied());
        let gain = in_units(&units, own.iter().zip(&losses[0]).map(|(nll, without)| without - nll));
        let bits = |nats: f64| lengths.bytes_per_token.map(|bytes| nats / (bytes * std::f64::consts::LN_2));
        let interval = gain.interval();
        ContextPoint {
            context: context as u64,
            loss: mean_loss(&loss, lengths.bytes_per_token),
            gain: gain.mean(),
            gain_standard_error: gain.standard_error(),
            gain_low: interval.map(|(low, _)| low),
            gain_high: interval.map(|(_, high)| high),
            gain_bits_per_byte: bits(gain.mean()),
            gain_bits_per_byte_standard_error: gain.standard_error().and_then(bits),
        }
    });
    let protocol = format!(
        "the same {} targets, drawn from all that have {longest} tokens before them, each given exactly so many",
        targets.len()
    );
    Ok((protocol, Findings::Context(Context { points: points.collect() })))
}

/// How many of the targets, which are in order, stand in each unit: a document; of a single document, each window of `longest` tokens.
fn units(targets: &[(usize, usize)], longest: usize) -> Vec<usize> {
    let documents: Vec<usize> = targets.chunk_by(|a, b| a.0 == b.0).map(<[_]>::len).collect();
    match documents.len() {
        1 => targets.chunk_by(|a, b| a.1 / longest == b.1 / longest).map(<[_]>::len).collect(),
        _ => documents,
    }
}

/// Values of the targets by their units.
fn in_units(units: &[usize], mut values: impl Iterator<Item = f64>) -> Clusters {
    let mut clusters = Clusters::default();
    for &unit in units {
        clusters.add(unit as u64, values.by_ref().take(unit).sum());
    }
    clusters
}

/// 0, 64, 128, 256, ... `longest` (at least 1); smaller steps where that is short.
fn contexts(longest: usize) -> Vec<usize> {
    let first = STEP.min(longest.div_ceil(8));
    let doubled = std::iter::successors(Some(first), |context| context.checked_mul(2));
    std::iter::once(0).chain(doubled.take_while(|&context| context < longest)).chain([longest]).collect()
}

/// Targets of a document with at least `context` tokens before them.
fn targets_from((length, targets): (usize, Targets), context: usize) -> usize {
    targets.before(length).saturating_sub(targets.before(context))
}

/// What the documents of a text measure.
struct Lengths {
    /// Tokens of each document, and which of them are targets.
    documents: Vec<(usize, Targets)>,
    longest: usize,
    bytes_per_token: Option<f64>,
}

impl Lengths {
    fn of(texts: &dyn Texts) -> Result<Self> {
        let (mut documents, mut bytes) = (Vec::with_capacity(texts.len()), Some(0));
        for index in 0..texts.len() {
            let document = texts.document(index)?;
            documents.push((document.tokens.len(), document.targets));
            bytes = bytes.zip(document.units).map(|(bytes, units)| bytes + units.bytes);
        }
        let longest = documents.iter().map(|(length, _)| *length).max().unwrap_or(0);
        let targets: usize = documents.iter().map(|&document| targets_from(document, 0)).sum();
        let bytes_per_token = bytes.filter(|_| targets > 0).map(|bytes| bytes as f64 / targets as f64);
        Ok(Self { documents, longest, bytes_per_token })
    }

    /// The longest context, of `most` at most, that enough targets have: `samples`, or half of all where there are few.
    fn longest_context(&self, most: usize, samples: usize) -> usize {
        let targets =
            |context: usize| -> usize { self.documents.iter().map(|&document| targets_from(document, context)).sum() };
        let enough = samples.min(targets(1).div_ceil(2));
        let (mut least, mut most) = (0, most.min(self.longest.saturating_sub(1)));
        while least < most {
            let middle = (least + most).div_ceil(2);
            if targets(middle) >= enough { least = middle } else { most = middle - 1 }
        }
        least
    }

    /// At most `count` different targets, as document and index, with `context` tokens before them; in order.
    fn draw(&self, context: usize, count: usize, seed: u64) -> Vec<(usize, usize)> {
        let ends: Vec<usize> = self
            .documents
            .iter()
            .scan(0, |end, &document| {
                *end += targets_from(document, context);
                Some(*end)
            })
            .collect();
        let all = ends.last().copied().unwrap_or(0);
        let order = Permutation::new(all.max(1) as u64, &[seed]);
        let mut drawn: Vec<_> = (0..count.min(all))
            .map(|index| {
                let at = order.apply(index as u64) as usize;
                let document = ends.partition_point(|&end| end <= at);
                let before = document.checked_sub(1).map_or(0, |before| ends[before]);
                let marked = self.documents[document].1;
                (document, marked.nth(marked.before(context) + at - before))
            })
            .collect();
        drawn.sort_unstable();
        drawn
    }
}

fn losses_given(
    context: usize,
    subject: &Subject<'_>,
    texts: &dyn Texts,
    targets: &[(usize, usize)],
    meter: &mut Meter<'_>,
) -> Result<Vec<f64>> {
    let length = context.max(1);
    let rows = (subject.scorer.tokens_per_call() / length).max(1);
    let mut losses = Vec::with_capacity(targets.len());
    for targets in targets.chunks(rows) {
        let mut batch = Batch { tokens: Vec::new(), targets: Vec::new(), rows: targets.len(), length };
        for &(document, at) in targets {
            let mut tokens = texts.document(document)?.tokens.range(at - context..at + 1);
            let target = tokens.pop().unwrap_or(IGNORED);
            if tokens.is_empty() {
                tokens.push(texts.document_token());
            }
            batch.tokens.extend(tokens);
            batch.targets.extend(std::iter::repeat_n(IGNORED, length - 1).chain([target]));
        }
        losses.extend(subject.scorer.score_windows(&batch)?);
        meter.add(batch.tokens.len());
    }
    match losses.iter().all(|nll| nll.is_finite()) && losses.len() == targets.len() {
        true => Ok(losses),
        false => Err(super::answers::no_probabilities()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn contexts_double_up_to_the_longest() {
        assert_eq!(contexts(1024), [0, 64, 128, 256, 512, 1024]);
        assert_eq!(contexts(1000), [0, 64, 128, 256, 512, 1000]);
        assert_eq!(contexts(128), [0, 16, 32, 64, 128]);
        assert_eq!(contexts(100), [0, 13, 26, 52, 100]);
        assert_eq!(contexts(1), [0, 1]);
    }

    #[test]
    fn a_short_text_has_shorter_contexts() {
        let lengths =
            Lengths { longest: 60, bytes_per_token: None, documents: vec![(60, Targets::ALL), (10, Targets::ALL)] };
        assert_eq!(lengths.longest_context(30, 20), 30);
        assert_eq!(lengths.longest_context(512, 20), 40);
        assert_eq!(lengths.longest_context(512, 1000), 26);
        assert_eq!(Lengths { longest: 1, documents: vec![(1, Targets::ALL)], ..lengths }.longest_context(512, 20), 0);
    }

    #[test]
    fn units_are_documents_or_windows_of_the_only_one() {
        assert_eq!(units(&[(0, 5), (0, 99), (2, 7)], 10), [2, 1]);
        assert_eq!(units(&[(1, 5), (1, 9), (1, 10), (1, 99)], 10), [2, 1, 1]);
        let clusters = in_units(&[2, 1], [1.0, 3.0, 5.0].into_iter());
        assert_eq!((clusters.count(), clusters.mean()), (2, 3.0));
    }

    proptest! {
        #[test]
        fn targets_are_different_and_have_their_context(
            documents in proptest::collection::vec((0_usize..60, 0_usize..20, 1_usize..4), 1..6), context in 1_usize..40, count in 1_usize..50,
        ) {
            let documents: Vec<_> = documents.into_iter().map(|(length, from, every)| (length, Targets { from, every })).collect();
            let eligible: usize =
                documents.iter().map(|&(length, targets)| (context..length).filter(|&at| targets.contains(at)).count()).sum();
            let lengths = Lengths { longest: 0, bytes_per_token: None, documents };
            let mut drawn = lengths.draw(context, count, 3);
            prop_assert_eq!(drawn.len(), count.min(eligible));
            for &(document, at) in &drawn {
                let (length, targets) = lengths.documents[document];
                prop_assert!(at >= context && at < length && targets.contains(at));
            }
            drawn.dedup();
            prop_assert_eq!(drawn.len(), count.min(eligible));
        }
    }
}
