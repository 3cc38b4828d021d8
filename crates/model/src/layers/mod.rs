//! The layers that every block shares.

mod feed_forward;
mod linear;
mod norm;

pub use feed_forward::FeedForward;
pub use linear::{Bias, Linear};
pub use norm::Norm;
