//! Scoring: what a model is worth, each target scored exactly once under a stated protocol.
//!
//! - [`score()`], [`Protocol`], [`Scorer`]: perplexities and bits per byte of a text
//! - [`masked`]: encoders, which tell masked tokens
//! - [`suites`]: what a model does with its context: loss by position, gain of context, recall, copying, needles
//! - [`ngram`]: the baseline that a neural model has to beat, an interpolated Witten-Bell byte model
//!
//! Begin with the example of [`score()`]. Anything that predicts tokens can be scored: it implements [`Scorer`].

pub mod masked;
pub mod ngram;
mod scoring;
pub mod suites;

pub use scoring::*;
