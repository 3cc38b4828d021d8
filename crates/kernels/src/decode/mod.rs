//! Decoding: one token of one or several streams is one pass over packed weights.
//!
//! A [`Team`] of threads stays together for a whole token; within it [`PackedLinear`]s multiply the rows of all streams at
//! once, and [`RingAttention`] lets each row look back at its own stream's keys. Every output is one thread's sum in a
//! fixed order, so results depend neither on timing nor on the number of threads or streams.

mod ahead;
mod codec;
mod each_part;
mod global;
mod halves;
mod log_softmax;
mod packed_linear;
mod pages;
mod part;
mod ring;
mod sync;
mod team;

pub use codec::WeightPrecision;
pub use halves::to_bf16;
pub use log_softmax::log_softmax;
pub use packed_linear::{Epilogue, PackedLinear, Source};
pub use pages::Pages;
pub use part::Part;
pub use ring::{Ring, RingAttention};
pub use team::{Crew, Team};
