//! The precision that is used in practice gives what f64 gives: forward, streamed and backward.
//!
//! On the CPU f32 runs through fused kernels of its own, so this carries what the other checks find out about the f64
//! formulas over to them.

use percept_fault::Result;

use super::{Check, Effort, Subject, Worst, not_applicable};
use crate::probes::{difference, positions, stream_length, tokens};

/// Of ln p, and of gradients relative to the largest one of the row.
const LIMIT: f64 = 2e-3;

pub(super) fn run(subject: &dyn Subject, effort: Effort) -> Result<Vec<Check>> {
    let name = "single-precision";
    let Some(single) = subject.in_single_precision() else {
        return Ok(vec![not_applicable(name, "there is one precision only")]);
    };
    let mut worst = Worst::default();
    for length in [subject.window(), (subject.window() - subject.window() / 3).max(1)] {
        let tokens = tokens(subject, length, effort.seed);
        let from = subject.scored_from(length);
        let rows = [subject, single].map(|one| one.forward(&[&tokens]));
        let [expected, rows] = rows.map(|windows| windows.map(|mut windows| windows.pop().unwrap_or_default()));
        for (at, (expected, row)) in expected?.iter().zip(&rows?).enumerate() {
            worst.see(difference(expected, row), || format!("in row {} of {length}", from + at));
        }
        for position in [from, from + (length - from) / 2, length - 1] {
            let (Some(expected), Some(found)) =
                (subject.influence(&tokens, position)?, single.influence(&tokens, position)?)
            else {
                continue;
            };
            let largest = expected.iter().fold(f64::MIN_POSITIVE, |largest: f64, &value| largest.max(value));
            worst.see(difference(&expected, &found) / largest, || {
                format!("in the gradients of row {position} of {length}")
            });
        }
    }
    streamed(subject, single, effort, &mut worst)?;
    Ok(vec![worst.at_most(name, LIMIT, "difference between f32 and f64")])
}

/// At once, over more rows than a window has and than a kernel takes together; and fed in pieces that end where there is something to compare with.
fn streamed(subject: &dyn Subject, single: &dyn Subject, effort: Effort, worst: &mut Worst) -> Result<()> {
    let length = stream_length(subject, effort);
    let tokens = tokens(subject, length, effort.seed);
    let positions = positions(subject, length, effort);
    let [expected, rows] = [subject, single].map(|one| one.stream_reference(&tokens, &positions));
    let (expected, rows) = (expected?, rows?);
    for ((position, expected), row) in positions.iter().zip(&expected).zip(&rows) {
        worst.see(difference(expected, row), || format!("in row {position} of {length}"));
    }
    let mut stream = single.stream()?;
    let mut fed = 0;
    for (position, expected) in positions.into_iter().zip(expected) {
        let row = stream.feed(&tokens[fed..=position])?;
        fed = position + 1;
        worst.see(difference(&expected, &row), || format!("in a stream at position {position}"));
    }
    Ok(())
}
