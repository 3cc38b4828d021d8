//! The ways in which a language model is taught from text.

use percept_data::Dataset;
use percept_fault::Result;
use percept_model::{LanguageModel, ModelConfig, Trainable};

use super::objective::NextToken;
use super::source::Source;
use super::text_source::{TextSource, windows};
use crate::config::RunConfig;

/// Batches of text, and the language model as it learns from them. What is trained, kept and used afterwards is the same model, whatever
/// it was taught.
///
/// ```
/// use percept_data::Dataset;
/// use percept_train::{Lessons, NextToken, OrderAgnosticSource, RunConfig, Source, TextSource};
/// # fn main() -> percept_fault::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # (config.model.context, config.model.layers) = (32, "llp(segment=8)".into());
/// fn windows_per_step<L: Lessons>(dataset: &Dataset, config: &RunConfig) -> percept_fault::Result<usize> {
///     Ok(L::open(dataset, config)?.windows_per_batch() * config.train.accumulate)
/// }
///
/// let dataset = Dataset::open(&config.data, None, &mut |_| {})?;
/// let plain = windows_per_step::<TextSource<NextToken>>(&dataset, &config)?;
/// // Each batch has other windows for the offsets before a token and for those after it.
/// assert_eq!(windows_per_step::<OrderAgnosticSource>(&dataset, &config)?, 2 * plain);
/// # Ok(()) }
/// ```
pub trait Lessons: Source + Sized {
    /// The model as it learns.
    type Model: Trainable<Batch = <Self as Source>::Batch, Config = ModelConfig>
        + From<LanguageModel>
        + Into<LanguageModel>
        + AsRef<LanguageModel>;

    /// The training text of a run of one process, from its beginning.
    ///
    /// # Errors
    /// A usage fault where the text holds no window.
    fn open(dataset: &Dataset, config: &RunConfig) -> Result<Self>;

    /// Windows that a batch of all ranks together reads.
    fn windows_per_batch(&self) -> usize;
}

impl Lessons for TextSource<NextToken> {
    type Model = LanguageModel;

    fn open(dataset: &Dataset, config: &RunConfig) -> Result<Self> {
        windows(dataset, config)
    }

    fn windows_per_batch(&self) -> usize {
        self.rows()
    }
}
