//! Contiguous parts of a few documents, for text that has too few documents to be split by document.

use std::ops::{ControlFlow, Range};

use percept_fault::Result;
use serde::{Deserialize, Serialize};

use super::Recipe;
use super::cache::{listing_key, remember, remembered};
use crate::SplitConfig;
use crate::progress::go_on;
use crate::source::Step;
use crate::tokenizer::is_continuation;

/// From this number on, text is split by document.
pub(crate) const ENOUGH: usize = 5;
/// How far a cut may move to the end of a line: this, and not more than a 64th of the document.
const LINE: u64 = 4096;
/// Share of the large documents that is held out at most.
const MOST_CUT: f64 = 0.95;

/// The bytes of each document that belong to each split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cuts {
    pub(crate) train: Vec<Range<u64>>,
    pub(crate) validation: Vec<Range<u64>>,
    pub(crate) test: Vec<Range<u64>>,
}

/// Where to cut the documents of `recipe`: training text first, then validation, then test, each cut at an end of line where
/// one is near. `None` where there are enough documents to split by document.
pub(crate) fn cuts(recipe: &Recipe<'_>, split: &SplitConfig) -> Result<Option<Cuts>> {
    if recipe.inputs.iter().filter(|input| input.is_one_text()).count() >= ENOUGH {
        return Ok(None);
    }
    let purpose = format!("cuts {} {}", split.validation, split.test);
    let listed = listing_key(&purpose, recipe);
    if let Some(cuts) = remembered(recipe.cache, &listed) {
        return Ok(cuts);
    }
    let lengths = lengths(recipe, ENOUGH)?;
    let cuts = match lengths.len() < ENOUGH {
        true => Some(place(recipe, &lengths, &vec![*split; lengths.len()])?),
        false => None,
    };
    remember(recipe, &listed, &cuts)?;
    Ok(cuts)
}

/// Where to cut the large documents, so that together they give all held-out text; the others are for training. Large are those that
/// are longer than a held-out part, or shorter ones where these are too few.
pub(crate) fn cuts_of_large(recipe: &Recipe<'_>, split: &SplitConfig) -> Result<Cuts> {
    let purpose = format!("cuts of the large {} {}", split.validation, split.test);
    let listed = listing_key(&purpose, recipe);
    if let Some(cuts) = remembered(recipe.cache, &listed) {
        return Ok(cuts);
    }
    let lengths = lengths(recipe, usize::MAX)?;
    let total: u64 = lengths.iter().map(|length| length.bytes).sum();
    let held_out = split.validation + split.test;
    let above = |least: f64| lengths.iter().map(|length| length.bytes).filter(move |&bytes| bytes as f64 > least);
    let mut least = total as f64 * split.validation.max(split.test);
    while least >= 1.0 && above(least).sum::<u64>() as f64 * MOST_CUT < total as f64 * held_out {
        least /= 2.0;
    }
    let is_large = |length: &Length| length.bytes as f64 > least;
    let large: u64 = above(least).sum();
    let more = (total as f64 / large.max(1) as f64).min(MOST_CUT / held_out).max(1.0);
    let of_large = SplitConfig { validation: split.validation * more, test: split.test * more, ..*split };
    let whole = SplitConfig { validation: 0.0, test: 0.0, ..*split };
    let splits: Vec<_> = lengths.iter().map(|length| if is_large(length) { of_large } else { whole }).collect();
    let cuts = place(recipe, &lengths, &splits)?;
    remember(recipe, &listed, &cuts)?;
    Ok(cuts)
}

/// A document as it can be read.
struct Length {
    bytes: u64,
    /// It breaks off there.
    broken: bool,
}

/// Lengths of all documents, or of the first `enough`.
fn lengths(recipe: &Recipe<'_>, enough: usize) -> Result<Vec<Length>> {
    let mut lengths: Vec<Length> = Vec::new();
    let _ = recipe.reading(None).run(&mut |step| {
        go_on(recipe.stop)?;
        match (step, lengths.last_mut()) {
            (Step::Begin { .. }, _) => lengths.push(Length { bytes: 0, broken: false }),
            (Step::Piece(piece), Some(length)) => length.bytes += piece.len() as u64,
            (Step::Broken(_), Some(length)) => length.broken = true,
            _ => {}
        }
        Ok(if lengths.len() < enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(lengths)
}

/// Cuts each document by its own shares.
fn place(recipe: &Recipe<'_>, lengths: &[Length], splits: &[SplitConfig]) -> Result<Cuts> {
    let at = |held_out: &dyn Fn(&SplitConfig) -> f64| -> Vec<u64> {
        let targets = lengths.iter().zip(splits);
        targets.map(|(length, split)| (length.bytes as f64 * (1.0 - held_out(split))).round() as u64).collect()
    };
    let validation = boundaries(recipe, lengths, at(&|split| split.validation + split.test))?;
    let test = boundaries(recipe, lengths, at(&|split| split.test))?;
    let mut cuts = Cuts::default();
    for (length, (validation, test)) in lengths.iter().zip(validation.into_iter().zip(test)) {
        let mut ranges = [0..validation, validation..test, test..length.bytes];
        // A document without text goes to the training part, where it is reported. A break is met by the part that ends there.
        if length.bytes == 0 {
            ranges[0].end = u64::MAX;
        } else if length.broken
            && let Some(last) = ranges.iter_mut().rfind(|range| !range.is_empty())
        {
            last.end = u64::MAX;
        }
        let [train, validation, test] = ranges;
        cuts.train.push(train);
        cuts.validation.push(validation);
        cuts.test.push(test);
    }
    Ok(cuts)
}

/// For each document, the first start of a line from `targets` on, or of a character where no line ends soon.
fn boundaries(recipe: &Recipe<'_>, lengths: &[Length], targets: Vec<u64>) -> Result<Vec<u64>> {
    let windows: Vec<Range<u64>> = targets
        .iter()
        .zip(lengths)
        .map(|(&at, &Length { bytes, .. })| match at < bytes {
            true => at.saturating_sub(1)..bytes.min(at + LINE.min(bytes / 64)),
            false => 0..0,
        })
        .collect();
    let mut texts = Vec::new();
    let _ = recipe.reading(Some(&windows)).run(&mut |step| {
        go_on(recipe.stop)?;
        match step {
            Step::Begin { .. } => texts.push(Vec::new()),
            Step::Piece(piece) => texts.last_mut().unwrap_or(&mut Vec::new()).extend(piece),
            Step::End { .. } | Step::Bad(..) | Step::Broken(_) | Step::Remark(..) => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    // Documents with an empty window are not sent.
    let mut texts = texts.into_iter();
    Ok(targets
        .into_iter()
        .zip(lengths)
        .zip(&windows)
        .map(|((target, length), window)| match window.is_empty() {
            true => target.min(length.bytes),
            false => boundary(&texts.next().unwrap_or_default(), target, window.start),
        })
        .collect())
}

/// The boundary in `text`, which starts at `start`: one byte before `target`, or with it at the start of the document.
fn boundary(text: &[u8], target: u64, start: u64) -> u64 {
    let from = (target - start) as usize;
    let line = (from..text.len()).find(|&i| i == 0 || text[i - 1] == b'\n');
    let character = || (from..text.len()).find(|&i| !is_continuation(text[i]));
    start + line.or_else(character).unwrap_or(text.len()) as u64
}
