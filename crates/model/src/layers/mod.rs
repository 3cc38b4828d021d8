//! The layers that sublayers are made of.

mod grouped;
mod linear;
mod norm;

pub use grouped::{GroupedLinear, GroupedShape};
pub use linear::{Bias, Linear};
pub use norm::Norm;
