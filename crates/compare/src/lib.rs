//! Comparison: which of these models should I train, at what cost?
//!
//! - [`Lineup`], [`Spec`], [`Comparison`]: several models on one text under equal conditions
//! - [`report`]: a comparison as one HTML page, JSON, CSV and a table for the terminal

mod comparison;
pub mod report;

pub use comparison::*;
