//! The state of a stream: saved and loaded, forked, and of the declared size.

use std::ops::Range;

use percept_fault::Result;

use super::{Check, Effort, Subject, Worst};
use crate::probes::{changed, difference, positions, stream_length, tokens};

pub(super) fn run(subject: &dyn Subject, effort: Effort) -> Result<Vec<Check>> {
    Ok(vec![round_trip(subject, effort)?, fork(subject, effort)?, bytes(subject, effort)?])
}

/// Pieces in which a stream goes on after it was saved or forked: some single tokens, then past the next border.
fn continuation(subject: &dyn Subject, from: usize) -> Vec<Range<usize>> {
    let mut pieces: Vec<_> = (from..from + 4).map(|at| at..at + 1).collect();
    let end = from + 4 + subject.window() / 2;
    pieces.extend([from + 4..end, end..end + 1]);
    pieces
}

/// Tokens for a stream of the usual length that goes on.
fn longer(subject: &dyn Subject, length: usize, effort: Effort) -> Vec<u32> {
    let end = continuation(subject, length).last().map_or(length, |piece| piece.end);
    tokens(subject, end, effort.seed)
}

fn round_trip(subject: &dyn Subject, effort: Effort) -> Result<Check> {
    let mut worst = Worst::default();
    let length = stream_length(subject, effort);
    let tokens = longer(subject, length, effort);
    for at in thinned(positions(subject, length, effort)) {
        let mut stream = subject.stream()?;
        stream.feed(&tokens[..=at])?;
        let mut loaded = subject.load(&stream.save()?)?;
        for piece in continuation(subject, at + 1) {
            let (expected, row) = (stream.feed(&tokens[piece.clone()])?, loaded.feed(&tokens[piece.clone()])?);
            let place = || format!("at position {}, saved after {}", piece.end - 1, at + 1);
            worst.see(difference(&expected, &row), place);
        }
    }
    Ok(worst.at_most("state-round-trip", 0.0, "difference after a stream was saved and loaded"))
}

fn fork(subject: &dyn Subject, effort: Effort) -> Result<Check> {
    let mut worst = Worst::default();
    let length = stream_length(subject, effort);
    let tokens = longer(subject, length, effort);
    for at in thinned(positions(subject, length, effort)) {
        let mut alone = subject.stream()?;
        let mut stream = subject.stream()?;
        alone.feed(&tokens[..=at])?;
        stream.feed(&tokens[..=at])?;
        let mut fork = stream.fork();
        let mut mirror = fork.fork();
        let other = changed(subject, &tokens, at + 1);
        for piece in continuation(subject, at + 1) {
            fork.feed(&other[piece.clone()])?;
            let expected = alone.feed(&tokens[piece.clone()])?;
            let distance = difference(&expected, &mirror.feed(&tokens[piece.clone()])?);
            let distance = distance.max(difference(&expected, &stream.feed(&tokens[piece.clone()])?));
            worst.see(distance, || format!("at position {}, forked after {}", piece.end - 1, at + 1));
        }
    }
    Ok(worst.at_most("state-fork", 0.0, "difference made by what a fork was fed"))
}

fn bytes(subject: &dyn Subject, effort: Effort) -> Result<Check> {
    let mut worst = Worst::default();
    let length = stream_length(subject, effort);
    let tokens = tokens(subject, length, effort.seed);
    let mut stream = subject.stream()?;
    let mut fed = 0;
    for at in positions(subject, length, effort) {
        stream.feed(&tokens[fed..=at])?;
        fed = at + 1;
        let (declared, actual) = (subject.state_bytes(fed), stream.state_bytes());
        let over = actual.saturating_sub(subject.state_limit());
        worst.see((declared.abs_diff(actual) + over) as f64, || {
            format!("after {fed} tokens: {actual} bytes, declared {declared}, at most {}", subject.state_limit())
        });
    }
    Ok(worst.at_most("state-bytes", 0.0, "bytes of state off the declared ones"))
}

/// Some of the positions, since each is tried on a stream of its own; an odd step meets borders and their neighbours.
fn thinned(positions: Vec<usize>) -> impl Iterator<Item = usize> {
    let step = positions.len().div_ceil(16);
    let step = if step.is_multiple_of(2) { step + 1 } else { step };
    positions.into_iter().step_by(step)
}
