//! A window's rows depend on nothing but the window.

use percept_fault::Result;

use super::{Check, Effort, Subject, Worst, not_applicable};
use crate::probes::{difference, tokens};

pub(super) fn run(subject: &dyn Subject, effort: Effort) -> Result<Vec<Check>> {
    Ok(vec![of_the_batch(subject, effort)?, of_padding(subject, effort)?])
}

fn of_the_batch(subject: &dyn Subject, effort: Effort) -> Result<Check> {
    let mut worst = Worst::default();
    let length = subject.window();
    let windows: Vec<Vec<u32>> = (0..3).map(|row| tokens(subject, length, effort.seed + row)).collect();
    let together: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
    for (row, (window, batched)) in windows.iter().zip(subject.forward(&together)?).enumerate() {
        let alone = subject.forward(&[window])?.pop().unwrap_or_default();
        for (at, (expected, actual)) in alone.iter().zip(&batched).enumerate() {
            worst.see(difference(expected, actual), || format!("at scored row {at} of window {row}"));
        }
    }
    Ok(worst.at_most("batch-independence", subject.tolerance(), "difference between a window in a batch and alone"))
}

fn of_padding(subject: &dyn Subject, effort: Effort) -> Result<Check> {
    let name = "padding-independence";
    let length = subject.window();
    if subject.scored_from(length) != 0 {
        return Ok(not_applicable(name, "the latents are the last rows, so windows are never padded"));
    }
    let mut worst = Worst::default();
    let tokens = tokens(subject, length, effort.seed);
    let padded = subject.forward(&[&tokens])?.pop().unwrap_or_default();
    for short in [1, length / 3 + 1, length - length / 4] {
        let alone = subject.forward(&[&tokens[..short]])?.pop().unwrap_or_default();
        for (at, (expected, actual)) in alone.iter().zip(&padded).enumerate() {
            worst.see(difference(expected, actual), || format!("at row {at} of {short}"));
        }
    }
    Ok(worst.at_most(name, subject.tolerance(), "difference made by tokens after the end of a window"))
}
