//! What RWKV's time mix and channel mix share.

mod published;
mod rules;
mod shift;

pub(crate) use published::published;
pub(crate) use rules::{Schedule, matrix};
pub(crate) use shift::{Shifted, shift_state};
