//! What RWKV's time mix and channel mix share.

mod rules;
mod shift;

pub(crate) use rules::{Schedule, matrix};
pub(crate) use shift::{Shifted, shift_state};
