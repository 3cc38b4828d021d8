//! A stream gives what whole windows give, however it is cut.

use std::collections::HashMap;

use percept_fault::Result;

use super::{Check, Effort, Subject, Worst};
use crate::Row;
use crate::probes::{difference, positions, stream_length, tokens};

pub(super) fn run(subject: &dyn Subject, effort: Effort) -> Result<Vec<Check>> {
    let length = stream_length(subject, effort);
    let tokens = tokens(subject, length, effort.seed);
    let positions = positions(subject, length, effort);
    let rows = subject.stream_reference(&tokens, &positions)?;
    let expected: HashMap<usize, Row> = positions.iter().copied().zip(rows).collect();
    Ok(vec![token_by_token(subject, &tokens, &expected)?, in_pieces(subject, &tokens, &expected, effort)?])
}

fn token_by_token(subject: &dyn Subject, tokens: &[u32], expected: &HashMap<usize, Row>) -> Result<Check> {
    let mut worst = Worst::default();
    let mut stream = subject.stream()?;
    let mut fed = 0;
    // Runs without a position to look at go at once only where the positions are sampled.
    let sparse = expected.len() * 4 < tokens.len();
    while fed < tokens.len() {
        let looked_at = |at: usize| expected.contains_key(&at) || expected.contains_key(&(at + 1));
        let mut next = fed + 1;
        while sparse && next < tokens.len() && !looked_at(next - 1) {
            next += 1;
        }
        let row = stream.feed(&tokens[fed..next])?;
        fed = next;
        if let Some(expected) = expected.get(&(fed - 1)) {
            worst.see(difference(expected, &row), || format!("at position {}", fed - 1));
        }
    }
    Ok(worst.at_most("forward-extend", subject.tolerance(), "difference between a stream and whole windows"))
}

fn in_pieces(subject: &dyn Subject, tokens: &[u32], expected: &HashMap<usize, Row>, effort: Effort) -> Result<Check> {
    let mut worst = Worst::default();
    // Each cut ends pieces at other positions; all of them together end pieces everywhere.
    let longest = subject.window() + 3;
    for round in 0..4u64 {
        let mut stream = subject.stream()?;
        let (mut fed, mut state) = (0, effort.seed.wrapping_mul(31).wrapping_add(round));
        while fed < tokens.len() {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let most = if round % 2 == 0 { longest } else { longest / 6 + 1 };
            let piece = (1 + (state >> 33) as usize % most).min(tokens.len() - fed);
            // Pieces end where there is something to compare with.
            let piece = (piece..=tokens.len() - fed).find(|piece| expected.contains_key(&(fed + piece - 1)));
            let piece = piece.unwrap_or(tokens.len() - fed);
            let row = stream.feed(&tokens[fed..fed + piece])?;
            fed += piece;
            if let Some(expected) = expected.get(&(fed - 1)) {
                worst.see(difference(expected, &row), || format!("at position {} after a piece of {piece}", fed - 1));
            }
        }
    }
    let what = "difference between a stream in ragged pieces and whole windows";
    Ok(worst.at_most("forward-extend-chunks", subject.tolerance(), what))
}
