//! What RWKV's time mix and channel mix share.

mod published;
mod rules;
mod shift;

pub(crate) use published::{published, size};
pub(crate) use rules::{Schedule, matrix, matrix7};
pub(crate) use shift::{Shifted, shift_state};

/// What RWKV-7's authors add to the root of Adam's second moment.
pub(crate) const EPSILON: f64 = 1e-18;
