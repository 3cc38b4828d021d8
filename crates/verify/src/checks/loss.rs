//! Training and evaluation give one loss on one window.

use percept_fault::Result;

use super::{Check, Effort, Subject, Worst, not_applicable};
use crate::probes::tokens;

pub(super) fn run(subject: &dyn Subject, effort: Effort) -> Result<Vec<Check>> {
    let name = "loss-agreement";
    let mut worst = Worst::default();
    for length in [subject.window(), (subject.window() / 2 + 1).min(subject.window())] {
        let tokens = tokens(subject, length + 1, effort.seed);
        let losses = subject.losses(&tokens[..length], &tokens[1..])?;
        let Some((first, expected)) = losses.first() else {
            return Ok(vec![not_applicable(name, "it has no losses")]);
        };
        let scale = (length - subject.scored_from(length)).max(1) as f64;
        for (way, loss) in &losses[1..] {
            worst.see((loss - expected).abs() / scale, || format!("of {way} from {first} on {length} tokens"));
        }
    }
    Ok(vec![worst.at_most(name, subject.tolerance(), "difference of the loss per target")])
}
