//! Weights on disk.

mod native;

pub use native::{load, read_config, save};
