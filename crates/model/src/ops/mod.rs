//! The numeric operations of the models, aware of autodiff.
//!
//! Each function has one formula composed of tensor operations ([`composed`]), which runs for every
//! device and float type and is the reference. Each takes contiguous or strided tensors, with or without autodiff.

mod adamw;
pub mod composed;

pub use adamw::{adamw, squared_norm};
pub use composed::{
    attention, dropout, embedding, gelu, head_cross_entropy, layer_norm, linear, rms_norm, rotary, swiglu,
};
pub use percept_kernels::{AdamW, Dropout, Pattern, Rotary, RotaryLayout, Visibility};

/// A target that is not scored.
pub const IGNORED: u32 = u32::MAX;
