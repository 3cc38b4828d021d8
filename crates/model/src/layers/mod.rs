//! The layers that sublayers are made of.

mod linear;
mod norm;

pub use linear::{Bias, Linear};
pub use norm::Norm;
