//! The task of an encoder: to tell masked tokens of a run's text.

use std::path::Path;

use percept_data::{Dataset, Share, TokenBatch};
use percept_fault::Result;
use percept_model::Loss;
use percept_model::encoder::{Encoder, MaskedBatch};
use percept_random::hash;
use percept_score::masked::Masker;

use super::objective::{NextToken, Objective};
use super::run_task::RunTask;
use super::source::Source;
use super::task::{Extent, Task};
use super::text_source::TextSource;
use super::validation::Validation;
use crate::config::RunConfig;
use crate::run::copies::write_copies;

/// Keeps the masks of training apart from other uses of the run's seed.
const MASKS: u64 = 0x006d_6173_6b73;

/// Masks words of windows of text; which ones is a function of the run's seed and of how many windows came before.
#[derive(Debug, Clone)]
pub struct MaskedText {
    masker: Masker,
    seed: u64,
    /// Windows of a batch that earlier ranks read.
    first: u64,
}

impl MaskedText {
    /// For this rank's share of a run's text.
    pub fn new(dataset: &Dataset, config: &RunConfig, share: Share) -> Self {
        Self {
            masker: Masker::new(dataset.tokenizer(), config.masking.clone()),
            seed: hash(&[MASKS, config.train.seed]),
            first: (share.rank * config.train.batch) as u64,
        }
    }
}

impl Objective for MaskedText {
    type Batch = MaskedBatch;

    fn batch(&self, windows: TokenBatch, draw: u64) -> MaskedBatch {
        let windows = NextToken.batch(windows, draw);
        self.masker.batch(&windows, &mut |row, _| hash(&[self.seed, draw + self.first + row as u64]))
    }
}

/// What an encoder is trained on, judged by, and writes.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use percept_data::{Dataset, Share};
/// use percept_train::{Alone, Control, MaskedTask, MaskedText, TextSource, train_task};
/// # fn main() -> percept_fault::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("groupbert-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # (config.encoder.dim, config.encoder.depth, config.encoder.context) = (32, 1, 32);
/// # (config.train.steps, config.train.warmup) = (3, 1);
/// let dataset = Dataset::open(&config.data, None, &mut |_| {})?;
/// // The mask is a token of its own.
/// config.encoder.vocab = dataset.tokenizer().vocab_size() + 1;
/// let objective = MaskedText::new(&dataset, &config, Share::default());
/// let source = TextSource::new(&dataset, &config, objective, Share::default())?;
/// let task = MaskedTask::new(config.clone(), dataset, source);
/// let control = Control { stop: &AtomicBool::new(false), observer: &mut |_| (), ranks: &Alone };
/// let outcome = train_task(task, &config.encoder, &config.train, &folder.path().join("run"), control)?;
/// assert_eq!(outcome.summary().step, 3);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct MaskedTask {
    config: RunConfig,
    dataset: Dataset,
    source: TextSource<MaskedText>,
    validation: Validation,
    masker: Masker,
}

impl MaskedTask {
    /// `source` reads this rank's windows of the training text.
    pub fn new(config: RunConfig, dataset: Dataset, source: TextSource<MaskedText>) -> Self {
        let validation = Validation::new(&dataset, config.window(), &config.train);
        let masker = Masker::new(dataset.tokenizer(), config.masking.clone());
        Self { config, dataset, source, validation, masker }
    }
}

impl Task for MaskedTask {
    type Model = Encoder;

    fn source(&mut self) -> &mut dyn Source<Batch = MaskedBatch> {
        &mut self.source
    }

    fn extent(&self) -> Extent {
        Extent {
            inputs_per_step: self.config.encoder.context * self.source.rows() * self.config.train.accumulate,
            ..Extent::of(&self.dataset)
        }
    }

    /// The masks of validation are the text's own: the same in every validation and in every run with this text.
    fn validate(&self, model: &Encoder) -> Result<Option<Loss>> {
        let sum = self.validation.score(&self.dataset, |batch| model.evaluate(&self.masker.scored(batch)))?;
        Ok(Some(sum).filter(|sum| sum.targets > 0))
    }

    fn write_beside(&self, checkpoint: &Path) -> Result<()> {
        write_copies(checkpoint, &self.config, self.dataset.tokenizer())
    }

    fn held_out(&self) -> Option<String> {
        Some(self.dataset.held_out_fingerprint())
    }
}

impl RunTask for MaskedTask {
    type Kept = Encoder;
    type Source = TextSource<MaskedText>;

    fn open(dataset: &Dataset, config: &RunConfig) -> Result<Self::Source> {
        let objective = MaskedText::new(dataset, config, Share::default());
        TextSource::new(dataset, config, objective, Share::default())
    }

    fn of(config: RunConfig, dataset: Dataset, source: Self::Source) -> Self {
        Self::new(config, dataset, source)
    }
}
