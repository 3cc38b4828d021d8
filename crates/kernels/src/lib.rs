//! Numeric kernels for training and decoding on the CPU: slices in, slices out.
//!
//! Nothing here knows a tensor framework. Loops are compiled for AVX-512, AVX2 and the baseline and chosen at run time;
//! work is shared between the threads of the current rayon pool, and every sum has an order that does not depend on
//! timing. Beside each kernel stands its definition in f64, which the tests compare it with.
//!
//! - Whole windows, forward and backward: [`Attention`] (who sees whom: [`Visibility`]), [`Convolution`], [`Grouped`], [`Linear`], [`Listed`], [`ListedMaximum`],
//!   [`Norm`], [`Rotary`], [`Shift`], [`TimeMix`], [`Tssa`], [`Wkv`],
//!   [`gelu()`], [`sigmoid()`], [`tanh()`], [`swiglu()`], [`glu()`] and [`blend()`], [`Dropout`], [`embedding`], and [`Head`], the output head with its loss
//! - The optimizer: [`AdamW`]
//! - Single tokens: [`decode`], from packed weights
//! - What products cost, as formulas and as executed: [`Cost`]

mod activation;
mod adamw;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
pub mod bench;
mod columns;
mod convolution;
mod cost;
pub mod decode;
mod dropout;
pub mod embedding;
mod grouped;
mod head;
mod linear;
mod listed;
mod matmul;
mod norm;
mod precision;
mod product;
mod rotary;
mod scratch;
mod shift;
mod simd;
#[cfg(test)]
mod testing;
mod tssa;
mod visibility;
mod wkv;
mod wkv7;

pub use activation::{
    blend, blend_backward, gelu, gelu_backward, glu, glu_backward, glu_row, relu_squared, relu_squared_backward,
    relu_squared_into, sigmoid, sigmoid_backward, sigmoid_gate, swiglu, swiglu_backward, tanh, tanh_backward,
};
pub use adamw::{AdamW, squared_norm};
pub use attention::{Attention, AttentionSaved, AttentionShape};
pub use convolution::{Convolution, multiply_add};
pub use cost::Cost;
pub use dropout::Dropout;
pub use grouped::Grouped;
pub use head::{Head, HeadGradients, IGNORED};
pub use linear::{Linear, WeightOrder, add, scale};
pub use listed::{Axes, AxesTable, Listed, ListedGradients, ListedMaximum, ListedPart, Listing, Run, Sides};
pub use norm::{Norm, RowStatistics};
pub use precision::Precision;
pub use product::Product;
pub use rotary::{Rotary, RotaryLayout, RotaryTable, Turn};
pub use shift::{Shift, shift_row};
pub use tssa::{Routing, Tssa, TssaGradients, TssaInputs, TssaSaved, TssaSums};
pub use visibility::{Pattern, Visibility};
pub use wkv::{Wkv, WkvGradients, WkvInputs, wkv_row};
pub use wkv7::{TimeMix, TimeMixGradients, TimeMixInputs, wkv7_row};
