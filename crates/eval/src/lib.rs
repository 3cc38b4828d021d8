//! Evaluation: what a model is worth, what it costs, and whether it keeps its promises.
//!
//! - [`chart`]: charts as SVG.
//! - [`score`]: perplexities and bits per byte, each target scored exactly once under a stated protocol.
//! - [`compare`]: several models on one text under equal conditions.
//! - [`report`]: a comparison as one HTML page, JSON, CSV and a table for the terminal.
//! - [`ngram`]: the baseline that a neural model has to beat, an interpolated Witten-Bell byte model.
//! - [`suites`]: what it does with its context: loss by position, gain of context, recall, copying, needles.
//! - [`verify`]: whether a model keeps its promises: causality, streaming, state, reach.
//! - [`plan`]: parameters, operations, memory and time of a configuration, before anything runs.

pub mod chart;
pub mod compare;
pub mod ngram;
mod numbers;
pub mod plan;
pub mod report;
pub mod score;
pub mod suites;
pub mod verify;
