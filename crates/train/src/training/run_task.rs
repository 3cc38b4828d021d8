//! The tasks that `train` and `resume` run, in one process.

use percept_data::Dataset;
use percept_fault::Result;

use super::language::LanguageTask;
use super::lessons::Lessons;
use super::source::Source;
use super::task::{BatchOf, Task};
use crate::config::RunConfig;
use crate::run::run_model::RunModel;

/// A task that follows from a run's configuration and its text.
pub(crate) trait RunTask: Task<Model: From<Self::Kept>> + Sized {
    /// The model as its files are read elsewhere.
    type Kept: RunModel<Config = <Self::Model as percept_model::Trainable>::Config>;
    /// Where its batches come from.
    type Source: Source<Batch = BatchOf<Self>>;

    /// The training text from its beginning.
    ///
    /// # Errors
    /// A usage fault where the text holds no window.
    fn open(dataset: &Dataset, config: &RunConfig) -> Result<Self::Source>;

    /// The task, whose batches come from this source.
    fn of(config: RunConfig, dataset: Dataset, source: Self::Source) -> Self;
}

impl<L: Lessons> RunTask for LanguageTask<L> {
    type Kept = percept_model::LanguageModel;
    type Source = L;

    fn open(dataset: &Dataset, config: &RunConfig) -> Result<L> {
        L::open(dataset, config)
    }

    fn of(config: RunConfig, dataset: Dataset, source: L) -> Self {
        Self::new(config, dataset, source)
    }
}
