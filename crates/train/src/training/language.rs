//! The task of a language model: to predict the tokens of a run's text, in whichever way it is taught.

use std::path::Path;
use std::sync::Arc;

use percept_data::{Dataset, Split};
use percept_fault::Result;
use percept_model::config::Objective;
use percept_model::{InferenceModel, Loss};

use super::lessons::Lessons;
use super::objective::NextToken;
use super::source::Source;
use super::task::{BatchOf, Extent, Measured, Task};
use super::text_source::TextSource;
use super::validation::{Validation, bytes_per_token};
use crate::config::RunConfig;
use crate::run::copies::write_copies;
use crate::sample::sample;

/// What a language model is trained on, judged by, and writes.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use percept_data::Dataset;
/// use percept_train::{Alone, Control, LanguageTask, train_task, windows};
/// # fn main() -> percept_fault::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # (config.model.dim, config.model.depth, config.model.heads) = (16, 1, 2);
/// # (config.model.context, config.model.layers) = (32, "llp(segment=8)".into());
/// # (config.train.steps, config.train.warmup, config.sample.tokens) = (3, 1, 4);
/// // As `train`, for a program that brings its own ranks, dataset or folder.
/// let dataset = Dataset::open(&config.data, None, &mut |_| {})?;
/// config.model.vocab = dataset.tokenizer().vocab_size();
/// let source = windows(&dataset, &config)?;
/// let task = LanguageTask::new(config.clone(), dataset, source);
/// let control = Control { stop: &AtomicBool::new(false), observer: &mut |_| (), ranks: &Alone };
/// let outcome = train_task(task, &config.model, &config.train, &folder.path().join("run"), control)?;
/// assert_eq!(outcome.summary().step, 3);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LanguageTask<L = TextSource<NextToken>> {
    config: RunConfig,
    dataset: Dataset,
    source: L,
    validation: Validation,
    /// Of the training text.
    bytes_per_token: Option<f64>,
}

impl<L> LanguageTask<L> {
    /// `source` reads this rank's windows of the training text.
    pub fn new(config: RunConfig, dataset: Dataset, source: L) -> Self {
        let validation = Validation::new(&dataset, config.model.context, &config.train);
        let bytes_per_token = bytes_per_token(&dataset, Split::Train);
        Self { config, dataset, source, validation, bytes_per_token }
    }
}

impl<L: Lessons> Task for LanguageTask<L> {
    type Model = L::Model;

    fn source(&mut self) -> &mut dyn Source<Batch = BatchOf<Self>> {
        &mut self.source
    }

    fn extent(&self) -> Extent {
        Extent {
            inputs_per_step: self.config.model.context * self.source.windows_per_batch() * self.config.train.accumulate,
            ..Extent::of(&self.dataset)
        }
    }

    fn validate(&self, model: &L::Model) -> Result<Option<Loss>> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        self.validation.score(&self.dataset, |batch| model.as_ref().evaluate(batch)).map(Some)
    }

    fn bits_per_byte(&self, loss: f64, of: Measured) -> Option<f64> {
        let bytes_per_token = match of {
            // A mean over several offsets is no measure of the text.
            Measured::Training if self.config.model.objective != Objective::NextToken => None,
            Measured::Training => self.bytes_per_token,
            Measured::Validation => self.validation.bytes_per_token(),
        };
        bytes_per_token.map(|bytes| loss / std::f64::consts::LN_2 / bytes)
    }

    fn sample(&self, model: L::Model) -> Result<Option<String>> {
        let (config, seed) = (&self.config.sample, self.config.train.seed);
        match config.tokens {
            0 => Ok(None),
            _ => sample(Arc::new(InferenceModel::new(model.into())), self.dataset.tokenizer(), config, seed).map(Some),
        }
    }

    fn write_beside(&self, checkpoint: &Path) -> Result<()> {
        write_copies(checkpoint, &self.config, self.dataset.tokenizer())
    }

    fn held_out(&self) -> Option<String> {
        Some(self.dataset.held_out_fingerprint())
    }
}
