//! Percept: language models with bounded memory, from the Perceiver family.
//!
//! This crate is the facade: it re-exports what an application needs, so that one dependency is
//! enough. The program `percept` is built from the same parts, in a package of its own.
//!
//! - [`model`]: configurations, models and their running state ([`model::Session`])
//! - [`data`]: sources, tokenizers, the token cache and the window sampler
//! - [`train`]: presets, run folders, the training loop
//! - [`generate`]: the next token from a distribution, and text from sessions
//! - [`score`]: perplexities under a stated protocol, suites of what a model does with its context, n-gram baselines
//! - [`verify`]: whether a model keeps its promises: causality, streaming, state, reach
//! - [`plan`]: operations, memory and time of a configuration, before anything runs
//! - [`compare`]: several models on one text under equal conditions, and the report of it
//! - [`chart`]: charts as SVG
//! - [`files`] and [`random`]: files that are complete or absent, and seeded numbers
//! - [`Fault`]: the one error type, with a hint and an exit code

mod huge_pages;

pub use huge_pages::HugePages;
pub use percept_chart as chart;
pub use percept_compare as compare;
pub use percept_data as data;
pub use percept_fault::{self as fault, Fault, Kind, Result};
pub use percept_files as files;
pub use percept_generate as generate;
pub use percept_model as model;
pub use percept_plan as plan;
pub use percept_random as random;
pub use percept_score as score;
pub use percept_train as train;
pub use percept_verify as verify;

/// The README's example, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
