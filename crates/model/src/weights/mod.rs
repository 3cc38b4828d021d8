//! Weights on disk: our files, and those of the authors.

mod import;
mod native;
pub mod paper;

pub use import::{Imported, Names, export, import};
pub use native::{load, read_config, save};
