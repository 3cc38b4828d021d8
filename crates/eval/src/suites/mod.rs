//! Suites: what a model does with its context.

mod result;

pub use result::*;
