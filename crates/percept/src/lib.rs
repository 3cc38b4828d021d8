//! Percept: language models with bounded memory, from the Perceiver family.
//!
//! This crate is the facade: it re-exports what an application needs, so that one dependency is
//! enough. The binary `percept` is built from the same parts.
//!
//! - [`model`]: configurations, models and their running state ([`model::Session`])
//! - [`data`]: sources, tokenizers, the token cache and the window sampler
//! - [`train`]: presets, run folders, the training loop
//! - [`eval`]: scoring, baselines, plans and checks of models
//! - [`sampling`]: the next token from a distribution
//! - [`generation`]: text from a session
//! - [`Fault`]: the one error type, with a hint and an exit code

pub mod generation;
mod huge_pages;
pub mod sampling;

pub use huge_pages::HugePages;
pub use percept_data as data;
pub use percept_eval as eval;
pub use percept_fault::{self as fault, Fault, Kind, Result};
pub use percept_model as model;
pub use percept_train as train;

/// The README's example, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
