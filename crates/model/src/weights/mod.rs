//! Weights on disk: our files, and those of the authors.

mod foreign;
mod import;
mod native;
pub mod paper;
pub mod rwkv;

pub use import::{Imported, Names, WeightFile, export, import};
pub use native::{load, save};
