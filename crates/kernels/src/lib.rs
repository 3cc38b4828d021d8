//! Numeric kernels for training and decoding on the CPU: slices in, slices out.
//!
//! Nothing here knows a tensor framework. Every kernel has a plain reference beside it.

mod adamw;
mod dropout;
mod rotary;
mod visibility;

pub use adamw::AdamW;
pub use dropout::Dropout;
pub use rotary::{Rotary, RotaryLayout, RotaryTable};
pub use visibility::{Pattern, Visibility};
