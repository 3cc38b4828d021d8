//! The declared reach: nothing beyond it matters, and something at its very end does.

use percept_fault::Result;

use super::{Check, Effort, Subject, Worst, not_applicable};
use crate::probes::{changed, difference, positions, stream_length, tokens};

/// Influence over the whole reach shrinks with every layer; up to here f64 shows it.
const LAYERS: usize = 3;

pub(super) fn run(subject: &dyn Subject, effort: Effort) -> Result<Vec<Check>> {
    Ok(vec![beyond(subject, effort)?, at_the_end(subject, effort)?])
}

/// Positions of a stream whose outputs are looked at; a few are enough, since each costs a pass.
fn looked_at(subject: &dyn Subject, effort: Effort) -> Vec<usize> {
    let all = positions(subject, stream_length(subject, effort), effort);
    let step = all.len().div_ceil(32);
    all.into_iter().rev().step_by(step).collect()
}

fn beyond(subject: &dyn Subject, effort: Effort) -> Result<Check> {
    let name = "reach-beyond";
    let mut worst = Worst::default();
    let tokens = tokens(subject, stream_length(subject, effort), effort.seed);
    for position in looked_at(subject, effort) {
        let earliest = subject.earliest(position);
        if earliest == 0 {
            continue;
        }
        let expected = subject.stream()?.feed(&tokens[..=position])?;
        for far in [earliest - 1, earliest / 2] {
            let row = subject.stream()?.feed(&changed(subject, &tokens, far)[..=position])?;
            worst.see(difference(&expected, &row), || format!("at position {position} by token {far}"));
        }
    }
    if worst.tried == 0 {
        return Ok(not_applicable(name, "the reach is longer than the streams that are tried"));
    }
    Ok(worst.at_most(name, 0.0, "change made by tokens beyond the declared reach"))
}

fn at_the_end(subject: &dyn Subject, effort: Effort) -> Result<Check> {
    let name = "reach-at";
    if subject.layers() > LAYERS {
        return Ok(not_applicable(name, "more than three layers, over which the influence gets too small to see"));
    }
    let tokens = tokens(subject, stream_length(subject, effort), effort.seed);
    let (mut least, mut place, mut tried) = (f64::INFINITY, String::new(), 0);
    for position in looked_at(subject, effort) {
        let earliest = subject.earliest(position);
        let reference = |tokens: &[u32]| subject.stream_reference(&tokens[..=position], &[position]);
        let (expected, rows) = (reference(&tokens)?, reference(&changed(subject, &tokens, earliest))?);
        let influence = expected.iter().zip(&rows).map(|(a, b)| difference(a, b)).fold(0.0, f64::max);
        tried += 1;
        if influence < least {
            (least, place) = (influence, format!("at position {position} by token {earliest}"));
        }
    }
    let detail = format!(
        "change made by the earliest token within reach, must be above the limit; {tried} tried, smallest {place}"
    );
    Ok(Check { name, passed: least > 0.0, value: Some(least), limit: 0.0, detail })
}
