//! Keys of a configuration that a search does not leave to its file.

use percept_fault::{Fault, Result};
use percept_tune::Space;

/// Keys that the search sets, with what says them instead.
pub(super) const RESERVED: [(&str, &str); 11] = [
    ("model.vocab", "the tokenizer says it: base.data.tokenizer"),
    ("train.steps", "say it as the budget"),
    ("train.seconds", "say it as the budget"),
    ("train.seed", "say it as seeds = [...]"),
    ("train.validate_every", "a trial is validated where it is judged: at the end of every rung"),
    ("train.log_every", "the search sets it"),
    ("train.sample_every", "trials write no samples on the way"),
    ("train.checkpoint_every", "the search sets it: a tenth of a trial"),
    ("train.keep", "the newest checkpoint stays"),
    ("train.init_from", "trials are compared from their first step"),
    ("preset", "say it as preset, beside [base]"),
];

/// Keys of `[train]` that change what is measured, or nothing.
const NO_AXES: [&str; 5] =
    ["train.validation_targets", "train.validation_stride", "train.device", "train.precision", "train.tensorboard"];

/// Refuses axes of keys that can't be searched; `place` says where a key stands, as messages begin.
///
/// # Errors
/// A usage fault that names the place of the first.
pub(super) fn check_axes(space: &Space, place: &dyn Fn(&str) -> String) -> Result<()> {
    for axis in space.axes() {
        let key = axis.key();
        let of_a_model = key.starts_with("model.") || key.starts_with("train.");
        let refused = match RESERVED.iter().find(|(reserved, _)| *reserved == key) {
            Some((_, instead)) => Some(*instead),
            None if NO_AXES.contains(&key) || !of_a_model => {
                Some("search keys of [model], and those of [train] that change what is learned; set others in [base]")
            }
            None => None,
        };
        if let Some(instead) = refused {
            let fault = Fault::usage(format!("`{key}` cannot be searched")).hint(instead);
            return Err(fault.at(&place(&format!("space.{key}"))));
        }
    }
    Ok(())
}
