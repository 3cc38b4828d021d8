//! What a run is to do: presets, file, environment and flags laid over each other, and the typed result.

pub(crate) mod continuation;
pub(crate) mod document;
pub(crate) mod keys;
pub(crate) mod layering;
pub(crate) mod learning_rate;
pub(crate) mod presets;
pub(crate) mod resolve;
mod run_config;
mod taken;
pub(crate) mod task_kind;

pub use run_config::{OptimizerKind, Recompute, RunConfig, SampleConfig, TrainConfig};
