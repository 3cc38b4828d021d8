//! Training: from a configuration to a run folder with a trained model.
//!
//! A run's way through this crate: [`resolve`] lays preset, file, environment and flags over each
//! other; [`train`] opens the data and the model and makes the run folder; the loop takes steps
//! (accumulated gradients -> clipping -> AdamW), reports to an [`Observer`] and saves checkpoints;
//! [`resume`] goes on exactly where a checkpoint stands; [`load_run`] hands out the result.
//!
//! Begin with the examples of [`Sources`], [`train`] and [`load_run`]. A run folder is read with [`RunFolder`], [`read_metrics`] and [`Overview`].
//!
//! The loop knows no kind of model: [`train_task`] trains whatever a [`Task`] says, among [`Ranks`] that share the work;
//! [`LanguageTask`] is the one that [`train`] runs.
//!
//! Four folders, each of which uses those before it: `machine`, `config`, `run` (what lies on the disk), `training`. The crate prints
//! nothing and knows no mixer by name.

mod config;
mod machine;
mod run;
mod sample;
mod training;

/// What [`DeviceChoice::open`] gives.
pub use burn::tensor::Device;
pub use config::continuation::{Continuation, ScheduleChoice};
pub use config::document::Document;
pub use config::layering::Override;
pub use config::learning_rate::{Decay, Schedule, Warmup};
pub use config::presets::{DEFAULT_ENCODER, DEFAULT_PRESET, NO_PRESET, Preset, preset, presets};
pub use config::resolve::{Sources, resolve, resolve_model, resolve_preset};
pub use config::task_kind::TaskKind;
pub use config::{OptimizerKind, Recompute, RunConfig, SampleConfig, TrainConfig};
pub use machine::device::{DeviceChoice, DeviceKind};
pub use machine::memory::Memory;
pub use machine::precision::{Bf16Support, PrecisionChoice, Taken};
pub use machine::speeds::{FormatSpeed, ProductSpeeds};
/// What [`PrecisionChoice::on`] gives.
pub use percept_model::ops::Precision;
pub use run::environment::Environment;
pub use run::load::{LoadedRun, load_encoder, load_run, names_weights, task_of};
pub use run::metrics::{Metrics, StepMetrics, ValidationMetrics};
pub use run::metrics_file::{MetricsFile, MetricsLine, read_metrics};
pub use run::overview::{Overview, RunStatus, find_runs, metrics};
pub use run::run_folder::{RunFolder, Which};
pub use run::tail::{MetricsTail, Tailed};
pub use run::vocabulary::is_padded;
pub use training::begin::{Control, train_task};
pub use training::divergence::Divergence;
pub use training::language::LanguageTask;
pub use training::lessons::Lessons;
pub use training::masked::{MaskedTask, MaskedText};
pub use training::objective::{NextToken, Objective};
pub use training::observer::{Event, Observer, Outcome, Started, Summary};
pub use training::order_agnostic_source::OrderAgnosticSource;
pub use training::ranks::{Alone, Ranks};
pub use training::resume::{Changes, resume};
pub use training::source::{Source, next_batches};
pub use training::start::train;
pub use training::state::State;
pub use training::step::StepResult;
pub use training::streams::KEPT_TEXT;
pub use training::task::{BatchOf, Extent, Measured, Task};
pub use training::text_source::{TextSource, windows};
