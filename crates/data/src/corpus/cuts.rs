//! Contiguous parts of a few documents, for text that has too few documents to be split by document.

use std::ops::{ControlFlow, Range};

use percept_fault::Result;
use serde::{Deserialize, Serialize};

use super::Recipe;
use super::cache::{listing_key, remember, remembered};
use crate::SplitConfig;
use crate::source::{InputKind, Reading, Step};
use crate::tokenizer::is_continuation;

/// From this number on, text is split by document.
pub(crate) const ENOUGH: usize = 5;
/// How far a cut may move to the end of a line: this, and not more than a 64th of the document.
const LINE: u64 = 4096;

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
    if recipe.inputs.iter().filter(|input| matches!(input.kind, InputKind::Text(_))).count() >= ENOUGH {
        return Ok(None);
    }
    let purpose = format!("cuts {} {}", split.validation, split.test);
    let listed = listing_key(&purpose, recipe);
    if let Some(cuts) = remembered(recipe.cache, &listed) {
        return Ok(cuts);
    }
    let lengths = lengths(recipe)?;
    let cuts = match lengths.len() < ENOUGH {
        true => Some(place(recipe, &lengths, split)?),
        false => None,
    };
    remember(recipe, &listed, &cuts)?;
    Ok(cuts)
}

/// Bytes of each document, of the first [`ENOUGH`] at least.
fn lengths(recipe: &Recipe<'_>) -> Result<Vec<u64>> {
    let mut lengths = Vec::new();
    let _ = Reading::new(recipe.inputs, recipe.pieces()).run(&mut |step| {
        match step {
            Step::Begin { .. } => lengths.push(0),
            Step::Piece(piece) => *lengths.last_mut().unwrap_or(&mut 0) += piece.len() as u64,
            Step::End { .. } | Step::Bad(..) => {}
        }
        Ok(if lengths.len() < ENOUGH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(lengths)
}

fn place(recipe: &Recipe<'_>, lengths: &[u64], split: &SplitConfig) -> Result<Cuts> {
    let at = |held_out: f64| -> Vec<u64> {
        lengths.iter().map(|&length| (length as f64 * (1.0 - held_out)).round() as u64).collect()
    };
    let validation = boundaries(recipe, lengths, at(split.validation + split.test))?;
    let test = boundaries(recipe, lengths, at(split.test))?;
    let ranges = |from: &[u64], to: &[u64]| from.iter().zip(to).map(|(&from, &to)| from..to).collect();
    // A document without text goes to the training part, where it is reported.
    let train = validation.iter().zip(lengths).map(|(&to, &length)| 0..if length == 0 { u64::MAX } else { to });
    Ok(Cuts { train: train.collect(), validation: ranges(&validation, &test), test: ranges(&test, lengths) })
}

/// For each document, the first start of a line from `targets` on, or of a character where no line ends soon.
fn boundaries(recipe: &Recipe<'_>, lengths: &[u64], targets: Vec<u64>) -> Result<Vec<u64>> {
    let windows: Vec<Range<u64>> = targets
        .iter()
        .zip(lengths)
        .map(|(&at, &length)| at.saturating_sub(1)..length.min(at + LINE.min(length / 64)))
        .collect();
    let mut texts = Vec::new();
    let reading = Reading { ranges: Some(&windows), ..Reading::new(recipe.inputs, recipe.pieces()) };
    let _ = reading.run(&mut |step| {
        match step {
            Step::Begin { .. } => texts.push(Vec::new()),
            Step::Piece(piece) => texts.last_mut().unwrap_or(&mut Vec::new()).extend(piece),
            Step::End { .. } | Step::Bad(..) => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    // Documents with an empty window are not sent.
    let mut texts = texts.into_iter();
    Ok(targets
        .into_iter()
        .zip(lengths)
        .zip(&windows)
        .map(|((target, &length), window)| match window.is_empty() {
            true => target.min(length),
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
