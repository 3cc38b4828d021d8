//! Every operation as a formula of tensor operations: for any device and float type.

mod adamw;
mod attention;
mod convolution;
mod elementwise;
mod feed_forward;
mod grouped;
mod head;
mod listed;
mod norm;
mod product;
mod rotary;
mod shift;
mod time_mix;
mod tssa;
mod wkv;

pub use adamw::{adamw, squared_norm};
pub use attention::attention;
pub use convolution::convolution;
pub use elementwise::{
    blend, dropout, embedding, gelu, glu, linear, linear_by_rows, relu_squared, sigmoid, swiglu, tanh,
};
pub use feed_forward::feed_forward;
pub use grouped::grouped;
pub use head::head_cross_entropy;
pub use listed::{listed, listed_maximum};
pub use norm::{layer_norm, rms_norm};
pub use rotary::rotary;
pub use shift::shift;
pub use time_mix::time_mix;
pub use tssa::{tssa, tssa_extend};
pub use wkv::wkv;

#[cfg(test)]
pub(crate) mod check;
