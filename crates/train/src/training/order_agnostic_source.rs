//! Text for order-agnostic models: two passes over it at once.

use percept_data::{Dataset, Share};
use percept_fault::Result;
use percept_model::config::Offsets;
use percept_model::order_agnostic::{OrderAgnostic, OrderAgnosticBatch, Windows};
use percept_model::properties::Properties;
use percept_random::hash;
use serde_json::{Value, json};

use super::lessons::Lessons;
use super::objective::NextToken;
use super::source::Source;
use super::text_source::TextSource;
use crate::config::{RunConfig, TrainConfig};

/// Keeps the errors in the text apart from other uses of the run's seed.
const ERRORS: u64 = 0x6572_726f_7273;

/// Windows of text in the order of the run's seed, from which the offsets after a token are learned, and beside them windows in the order of
/// the next seed, in which errors are made: from those the offsets before it are learned.
///
/// ```
/// use percept_data::{Dataset, Share};
/// use percept_model::config::Objective;
/// use percept_train::{OrderAgnosticSource, Source};
/// # fn main() -> percept_fault::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # (config.model.context, config.model.layers) = (32, "llp(segment=8)".into());
/// config.model.objective = Objective::OrderAgnostic;
/// let dataset = Dataset::open(&config.data, None, &mut |_| {})?;
/// let mut source = OrderAgnosticSource::new(&dataset, &config, Share::default())?;
/// let place = source.position()?;
/// let batch = source.next_batch()?;
/// source.restore(&place)?;
/// // The errors are the same again.
/// assert_eq!(source.next_batch()?, batch);
/// assert_ne!(batch.forward.tokens, batch.backward.tokens);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct OrderAgnosticSource {
    forward: TextSource<NextToken>,
    backward: TextSource<NextToken>,
    offsets: Offsets,
    document: u32,
    /// The first scored row of a window.
    first: usize,
    /// Of the errors, differing by rank.
    seed: u64,
}

impl OrderAgnosticSource {
    /// The training windows of a run from their beginning; of each step this rank gets its share.
    ///
    /// # Errors
    /// A usage fault where the text holds no window.
    pub fn new(dataset: &Dataset, config: &RunConfig, share: Share) -> Result<Self> {
        let seed = config.train.seed;
        let next =
            RunConfig { train: TrainConfig { seed: seed.wrapping_add(1), ..config.train.clone() }, ..config.clone() };
        let vocab = dataset.tokenizer().vocab_size().max(config.model.vocab);
        let model = percept_model::ModelConfig { vocab, ..config.model.clone() };
        Ok(Self {
            forward: TextSource::new(dataset, config, NextToken, share)?,
            backward: TextSource::new(dataset, &next, NextToken, share)?,
            offsets: config.model.order_agnostic,
            document: dataset.tokenizer().document_token(),
            first: Properties::of(&model)?.window_rows(model.context).history,
            seed: hash(&[ERRORS, seed, share.rank as u64]),
        })
    }
}

impl Source for OrderAgnosticSource {
    type Batch = OrderAgnosticBatch;

    fn next_batch(&mut self) -> Result<OrderAgnosticBatch> {
        let seed = hash(&[self.seed, self.forward.drawn()]);
        let (forward, backward) = (self.forward.next_batch()?, self.backward.next_batch()?);
        let [forward, backward] =
            [&forward, &backward].map(|batch| Windows { batch, document: self.document, first: self.first });
        Ok(OrderAgnosticBatch::new(&forward, &backward, self.offsets, seed))
    }

    fn position(&self) -> Result<Value> {
        Ok(json!({ "forward": self.forward.position()?, "backward": self.backward.position()? }))
    }

    fn restore(&mut self, position: &Value) -> Result<()> {
        self.forward.restore(&position["forward"])?;
        self.backward.restore(&position["backward"])
    }

    fn order_hash(&self) -> String {
        format!("{}-{}", self.forward.order_hash(), self.backward.order_hash())
    }
}

impl Lessons for OrderAgnosticSource {
    type Model = OrderAgnostic;

    fn open(dataset: &Dataset, config: &RunConfig) -> Result<Self> {
        Self::new(dataset, config, Share::default())
    }

    fn windows_per_batch(&self) -> usize {
        self.forward.windows_per_batch() + self.backward.windows_per_batch()
    }
}
