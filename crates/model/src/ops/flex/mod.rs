//! The operations on f32 tensors of Burn's Flex device, by the kernels of `percept-kernels`, with hand-written gradients.
//!
//! Burn's extension mechanism: each file declares a trait of one or two operations, `#[backend_extension]` routes a
//! tensor's device to the implementation for `Flex` or `Autodiff<Flex>`, and a function wraps it for `Tensor`.

mod activation;
mod adamw;
mod add;
mod attention;
mod buffer;
mod convolution;
mod dropout;
mod embedding;
mod feed_forward;
mod grouped;
mod head;
mod linear;
mod linear_by_rows;
mod listed;
mod norm;
mod rotary;
mod shift;
mod time_mix;
mod tssa;
mod wkv;

pub use activation::{blend, gelu, glu, relu_squared, sigmoid, swiglu, tanh};
pub use adamw::{adamw, squared_norm};
pub use add::add;
pub use attention::attention;
pub use convolution::convolution;
pub use dropout::dropout;
pub use embedding::embedding;
pub use feed_forward::feed_forward;
pub use grouped::grouped;
pub use head::head_cross_entropy;
pub use linear::linear;
pub use linear_by_rows::linear_by_rows;
pub use listed::{listed, listed_maximum};
pub use norm::{layer_norm, rms_norm};
pub use rotary::rotary;
pub use shift::shift;
pub use time_mix::{time_mix, time_mix_from};
pub use tssa::{tssa, tssa_extend};
pub use wkv::{wkv, wkv_from};
