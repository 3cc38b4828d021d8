//! The comparison of several models under equal conditions: which of these should I train, at what cost?

mod result;

pub use result::*;
