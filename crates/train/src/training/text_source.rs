//! The windows of text that a run reads, in its order.

use percept_data::{Dataset, Share, WindowOptions, Windows};
use percept_fault::{Fault, Result};
use serde_json::Value;

use super::objective::{NextToken, Objective};
use super::source::Source;
use crate::config::RunConfig;

/// Windows of text, and what is to be learned from them.
///
/// ```
/// use percept_data::{Dataset, Share};
/// use percept_train::{NextToken, Source, TextSource};
/// # fn main() -> percept_fault::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # (config.model.dim, config.model.depth, config.model.heads) = (16, 1, 2);
/// # (config.model.context, config.model.layers) = (32, "llp(segment=8)".into());
/// # (config.train.steps, config.train.warmup, config.sample.tokens) = (3, 1, 4);
/// let dataset = Dataset::open(&config.data, None, &mut |_| {})?;
/// let mut source = TextSource::new(&dataset, &config, NextToken, Share::default())?;
/// let place = source.position()?;
/// let batch = source.next_batch()?;
/// source.restore(&place)?;
/// assert_eq!(source.next_batch()?, batch);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TextSource<O> {
    windows: Windows,
    objective: O,
    /// Windows of a batch of all ranks together.
    rows: usize,
}

impl<O> TextSource<O> {
    /// The training windows of a run from their beginning, in the order of its seed; of each step this rank gets its share.
    ///
    /// # Errors
    /// A usage fault where the text holds no window.
    pub fn new(dataset: &Dataset, config: &RunConfig, objective: O, share: Share) -> Result<Self> {
        let windows = dataset.windows(WindowOptions {
            window: config.window(),
            batch: config.train.batch,
            seed: config.train.seed,
            packing: dataset.packing(),
            share,
        })?;
        Ok(Self { windows, objective, rows: config.train.batch * share.world })
    }

    /// Windows of a batch of all ranks together.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Windows that were drawn so far, by all ranks.
    pub(crate) fn drawn(&self) -> u64 {
        self.windows.position().windows()
    }
}

impl<O: Objective> Source for TextSource<O> {
    type Batch = O::Batch;

    fn next_batch(&mut self) -> Result<O::Batch> {
        let draw = self.drawn();
        Ok(self.objective.batch(self.windows.next_batch()?, draw))
    }

    fn position(&self) -> Result<Value> {
        serde_json::to_value(self.windows.position())
            .map_err(|error| Fault::internal("cannot write progress").because(error))
    }

    fn restore(&mut self, position: &Value) -> Result<()> {
        let position = serde_json::from_value(position.clone()).map_err(|error| {
            Fault::environment("the checkpoint's place in the text is not understood").because(error)
        })?;
        self.windows.restore(&position)
    }

    fn order_hash(&self) -> String {
        self.windows.order_hash()
    }
}

/// The training windows of a run of one process, each token to predict the next.
///
/// # Errors
/// As [`TextSource::new`].
pub fn windows(dataset: &Dataset, config: &RunConfig) -> Result<TextSource<NextToken>> {
    TextSource::new(dataset, config, NextToken, Share::default())
}
