//! Training: from a configuration to a run folder with a trained model.
//!
//! A run's way through this crate: [`resolve`] lays preset, file, environment and flags over each
//! other; [`train`] opens the data and the model and makes the run folder; the loop takes steps
//! (accumulated gradients -> clipping -> AdamW), reports to an [`Observer`] and saves checkpoints;
//! [`resume`] goes on exactly where a checkpoint stands; [`load_run`] hands out the result.
//!
//! The crate prints nothing and knows no mixer by name.

use percept_files as durable;

mod checkpoint;
mod claim;
mod config;
mod continuation;
mod copies;
mod device;
mod divergence;
mod document;
mod environment;
mod keys;
mod layering;
mod load;
mod lock;
mod memory;
mod metrics;
mod metrics_file;
mod observer;
mod optimizer;
mod overview;
mod precision;
mod presets;
mod progress;
mod resolve;
mod resume;
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
mod vocabulary;
mod windows;

/// What [`DeviceChoice::open`] gives.
pub use burn::tensor::Device;
pub use config::{Recompute, RunConfig, SampleConfig, TrainConfig};
pub use continuation::{Continuation, ScheduleChoice};
pub use device::{DeviceChoice, DeviceKind};
pub use divergence::Divergence;
pub use document::Document;
pub use environment::Environment;
pub use layering::Override;
pub use load::{LoadedRun, load_run, names_weights};
pub use memory::Memory;
pub use metrics::{Metrics, StepMetrics, ValidationMetrics};
pub use metrics_file::{MetricsFile, MetricsLine, read_metrics};
pub use observer::{Event, Observer, Outcome, Started, Summary};
pub use overview::{Overview, RunStatus, find_runs, metrics};
pub use precision::{Bf16Support, PrecisionChoice};
pub use presets::{DEFAULT_PRESET, NO_PRESET, Preset, preset, presets};
pub use resolve::{Sources, resolve, resolve_model, resolve_preset};
pub use resume::{Changes, resume};
pub use run_folder::{RunFolder, Which};
pub use schedule::{Decay, Schedule};
pub use start::train;
pub use state::State;
pub use step::StepResult;
pub use streams::KEPT_TEXT;
pub use tail::{MetricsTail, Tailed};
pub use vocabulary::is_padded;
pub use windows::{next_batches, windows};
