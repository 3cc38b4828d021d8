//! Training: from a configuration to a run folder with a trained model.
//!
//! A run's way through this crate: [`resolve`] lays preset, file, environment and flags over each
//! other; [`train`] opens the data and the model and makes the run folder; the loop takes steps
//! (accumulated gradients -> clipping -> AdamW), reports to an [`Observer`] and saves checkpoints;
//! [`resume`] goes on exactly where a checkpoint stands; [`load_run`] hands out the result.
//!
//! The crate prints nothing and knows no mixer by name.

mod checkpoint;
mod claim;
mod config;
mod device;
mod document;
mod durable;
mod environment;
mod keys;
mod layering;
mod lock;
mod metrics;
mod observer;
mod optimizer;
mod overview;
mod precision;
mod presets;
mod progress;
mod resolve;
mod run_folder;
mod sample;
mod schedule;
mod start;
mod state;
mod step;
mod streams;
mod tail;
mod tensorboard;
mod tensors;
mod time_limit;
mod trainer;
mod validation;
mod windows;

/// What [`DeviceChoice::open`] gives.
pub use burn::tensor::Device;
pub use config::{Recompute, RunConfig, SampleConfig, TrainConfig};
pub use device::{DeviceChoice, DeviceKind};
pub use document::Document;
pub use durable::write_file;
pub use environment::Environment;
pub use layering::Override;
pub use metrics::{Metrics, StepMetrics, ValidationMetrics, read_metrics};
pub use observer::{Event, Observer, Outcome, Started, Summary};
pub use overview::{Overview, RunStatus, find_runs, metrics};
pub use precision::{Bf16Support, PrecisionChoice};
pub use presets::{DEFAULT_PRESET, NO_PRESET, Preset, preset, presets};
pub use resolve::{Sources, resolve, resolve_preset};
pub use run_folder::{LoadedRun, RunFolder, Which, load_run};
pub use schedule::{Decay, Schedule};
pub use start::{resume, train};
pub use state::State;
pub use step::StepResult;
pub use streams::KEPT_TEXT;
pub use tail::{MetricsTail, Tailed};
pub use windows::{next_batches, windows};
