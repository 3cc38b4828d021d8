//! What a run tells while it goes on. This crate prints nothing: an [`Observer`] does.

use std::path::PathBuf;

use crate::machine::precision::PrecisionChoice;
use crate::run::metrics::{StepMetrics, ValidationMetrics};

/// What a run starts with.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The run folder.
    pub run: PathBuf,
    /// Number of trained values.
    pub parameters: usize,
    /// The device, e.g. `cpu` or `cuda:0`.
    pub device: String,
    /// Number format of the large products.
    pub precision: PrecisionChoice,
    /// Steps already done: 0, or those of the checkpoint that the run goes on from.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Tokens of the training text, document tokens not counted.
    pub train_tokens: u64,
    /// Documents of the training text.
    pub train_documents: usize,
    /// Documents of the validation text; 0: the run validates nothing.
    pub validation_documents: usize,
    /// Positions fed in one step.
    pub tokens_per_step: usize,
}

/// What a run ends with.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The run folder.
    pub run: PathBuf,
    /// Steps done.
    pub step: u64,
    /// Positions fed, over all sessions of the run.
    pub tokens: u64,
    /// Seconds of training, over all sessions of the run.
    pub seconds: f64,
    /// The last validation.
    pub validation: Option<ValidationMetrics>,
    /// The step of the best checkpoint so far.
    pub best: Option<u64>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Text is being read and tokenized.
    Data(percept_data::Progress),
    /// Training begins.
    Started(Started),
    /// A line of metrics, every `log_every` steps.
    Step(StepMetrics),
    /// A validation was done.
    Validation(ValidationMetrics),
    /// The model wrote a sample.
    Sample {
        /// Steps done.
        step: u64,
        /// Prompt and continuation.
        text: String,
    },
    /// A checkpoint is complete on the disk.
    Saved {
        /// Steps done.
        step: u64,
        /// Its folder.
        path: PathBuf,
    },
    /// Something that the user asked for, in figures.
    Note(String),
    /// Something that the user should know; the run goes on.
    Warning(String),
    /// The run is over, or was interrupted.
    Finished(Summary),
}

/// Receives the events of a run, in order. Any `FnMut(Event)` is one.
///
/// ```
/// use percept_train::{Event, Observer};
///
/// /// Keeps what a user should read.
/// #[derive(Default)]
/// struct Notes(Vec<String>);
///
/// impl Observer for Notes {
///     fn event(&mut self, event: Event) {
///         match event {
///             Event::Warning(text) | Event::Note(text) => self.0.push(text),
///             Event::Validation(metrics) if metrics.best => self.0.push(format!("best so far: {}", metrics.loss)),
///             _ => {}
///         }
///     }
/// }
///
/// # use std::sync::atomic::AtomicBool;
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # config.model.layers = "llp(segment=8)".into();
/// # (config.model.dim, config.model.depth, config.model.heads, config.model.context) = (16, 1, 2, 32);
/// # (config.train.steps, config.train.warmup, config.train.validate_every, config.sample.tokens) = (2, 1, 2, 4);
/// # let run = folder.path().join("run");
/// let mut notes = Notes::default();
/// percept_train::train(&config, &run, &AtomicBool::new(false), &mut notes)?;
/// assert!(notes.0.iter().any(|note| note.starts_with("best so far: ")));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub trait Observer {
    /// One event.
    fn event(&mut self, event: Event);
}

impl<F: FnMut(Event)> Observer for F {
    fn event(&mut self, event: Event) {
        self(event);
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps are done.
    Finished(Summary),
    /// It was asked to stop, and saved.
    Interrupted(Summary),
}

impl Outcome {
    /// What the run ended with.
    pub fn summary(&self) -> &Summary {
        match self {
            Outcome::Finished(summary) | Outcome::Interrupted(summary) => summary,
        }
    }
}
