//! Changing token t changes no scored output before t.

use percept_fault::Result;

use super::{Check, Effort, Subject, Worst, not_applicable};
use crate::probes::{changed, difference, positions, tokens};

pub(super) fn run(subject: &dyn Subject, effort: Effort) -> Result<Vec<Check>> {
    Ok(vec![by_perturbation(subject, effort)?, by_gradients(subject, effort)?])
}

/// The full window, and one that ends inside a segment.
fn lengths(subject: &dyn Subject) -> [usize; 2] {
    let window = subject.window();
    [window, (window - window / 3).max(1)]
}

fn by_perturbation(subject: &dyn Subject, effort: Effort) -> Result<Check> {
    let mut worst = Worst::default();
    for length in lengths(subject) {
        let tokens = tokens(subject, length, effort.seed);
        let from = subject.scored_from(length);
        let base = subject.forward(&[&tokens])?.pop().unwrap_or_default();
        for at in positions(subject, length, effort) {
            let rows = subject.forward(&[&changed(subject, &tokens, at)])?.pop().unwrap_or_default();
            for position in from..at {
                worst.see(difference(&base[position - from], &rows[position - from]), || {
                    format!("at row {position} after changing token {at} of {length}")
                });
            }
        }
    }
    Ok(worst.at_most("causality", 0.0, "change of rows before the changed token"))
}

fn by_gradients(subject: &dyn Subject, effort: Effort) -> Result<Check> {
    let name = "causality-gradients";
    let mut worst = Worst::default();
    for length in lengths(subject) {
        let tokens = tokens(subject, length, effort.seed);
        let from = subject.scored_from(length);
        for position in positions(subject, length, effort).into_iter().filter(|&position| position >= from) {
            let Some(influence) = subject.influence(&tokens, position)? else {
                return Ok(not_applicable(name, "no gradients"));
            };
            for (later, &gradient) in influence.iter().enumerate().skip(position + 1) {
                worst.see(gradient, || format!("of row {position} by input {later} of {length}"));
            }
        }
    }
    Ok(worst.at_most(name, 0.0, "gradients of rows by later inputs"))
}
