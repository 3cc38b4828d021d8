//! Where a model is declared to know distances only, a window gives the same wherever it stands.

use percept_fault::Result;

use super::{Check, Effort, Subject, Worst, not_applicable};
use crate::probes::{difference, tokens};

pub(super) fn run(subject: &dyn Subject, effort: Effort) -> Result<Vec<Check>> {
    let name = "relative-positions";
    let Some(step) = subject.movable() else {
        return Ok(vec![not_applicable(name, "it is not declared to know distances only")]);
    };
    let mut worst = Worst::default();
    let tokens = tokens(subject, subject.window(), effort.seed);
    let expected = subject.forward_from(&tokens, 0)?;
    for start in [1, 2, 7].map(|times| times * step) {
        for (at, (expected, actual)) in expected.iter().zip(subject.forward_from(&tokens, start)?).enumerate() {
            worst.see(difference(expected, &actual), || format!("at row {at} of a window from position {start}"));
        }
    }
    Ok(vec![worst.at_most(name, subject.tolerance(), "difference made by where a window stands")])
}
