//! Which positions are tried, and with which tokens.

use std::collections::BTreeSet;

use percept_random::split_mix;

use super::{Effort, Subject};

/// Pseudo-random tokens.
pub(super) fn tokens(subject: &dyn Subject, length: usize, seed: u64) -> Vec<u32> {
    (0..length as u64).map(|index| (split_mix(seed, index) % subject.vocab() as u64) as u32).collect()
}

/// The same tokens with another one at `position`.
pub(super) fn changed(subject: &dyn Subject, tokens: &[u32], position: usize) -> Vec<u32> {
    let mut tokens = tokens.to_vec();
    let vocab = subject.vocab() as u32;
    tokens[position] = (tokens[position] + vocab / 2) % vocab;
    tokens
}

/// Tokens of a stream: some windows and a part of one, so that it ends inside a segment.
pub(super) fn stream_length(subject: &dyn Subject, effort: Effort) -> usize {
    effort.windows * subject.window() + subject.window() / 3 + 1
}

/// At most `effort.positions` positions below `length`, ascending: the first and the last, the borders with
/// their neighbours, and the rest spread evenly.
pub(super) fn positions(subject: &dyn Subject, length: usize, effort: Effort) -> Vec<usize> {
    let mut borders = subject.borders(length);
    borders.sort_unstable();
    // From both ends inwards: where there are too many, the outer ones count most.
    let mut outer = Vec::new();
    let mut inner = borders.into_iter();
    while let Some(border) = inner.next() {
        outer.push(border);
        outer.extend(inner.next_back());
    }
    let near = outer.into_iter().flat_map(|border| [border.wrapping_sub(1), border, border + 1]);
    let ends = [0, length.wrapping_sub(1), 1];
    let spread = (0..effort.positions).map(|step| step * length / effort.positions);
    let mut chosen = BTreeSet::new();
    for position in ends.into_iter().chain(near).chain(spread).filter(|&position| position < length) {
        if chosen.len() < effort.positions {
            chosen.insert(position);
        }
    }
    chosen.into_iter().collect()
}

/// The largest difference between two rows; infinite where they are not comparable.
pub(super) fn difference(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let worst = |worst: f64, (a, b): (&f64, &f64)| {
        let distance = (a - b).abs();
        if distance.is_finite() { worst.max(distance) } else { f64::INFINITY }
    };
    a.iter().zip(b).fold(0.0, worst)
}
