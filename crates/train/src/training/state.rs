//! What a step changes: weights, moments and the moving average; and its files.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use percept_fault::Result;
use percept_model::parameters::{self, Tensors};
use percept_model::tensor_file::{self, Elements, Entry};
use percept_model::{Trainable, weights};

use super::average::Average;
use super::optimizer::{Optimizer, plain_device};
use crate::config::TrainConfig;
use crate::run::run_folder::{MODEL, OPTIMIZER};

/// Prefix of the trained weights in the optimizer's file, where the model's file holds their average.
const WEIGHT: &str = "weight.";

/// The state of training: weights with whatever buffers the model has, the optimizer's moments, and the moving average of the
/// weights where it is on.
///
/// ```
/// use percept_model::{Batch, LanguageModel, ModelConfig, Trainable};
/// use percept_train::{Alone, Device, State, TrainConfig};
/// # fn main() -> percept_fault::Result<()> {
/// let config = ModelConfig { vocab: 11, dim: 8, depth: 1, heads: 2, context: 4, ..Default::default() }.with("segment", 2)?;
/// let batch = Batch { tokens: vec![1, 2, 3, 4], targets: vec![2, 3, 4, 5], rows: 1, length: 4 };
/// let train = TrainConfig::default();
/// let mut state = State::new(LanguageModel::fresh(&config, 1, &Device::flex().autodiff())?, &train);
/// let mut losses = Vec::new();
/// for step in 1..=20 {
///     let (next, result) = state.step(std::slice::from_ref(&batch), &train, 0.01, step, &Alone)?;
///     (state, losses) = (next, [losses, vec![result.loss.mean()]].concat());
/// }
/// assert!(losses[19] < losses[0]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct State<M> {
    /// On a device with autodiff.
    pub(crate) model: M,
    pub(crate) optimizer: Optimizer,
    pub(crate) average: Option<Average>,
}

impl<M: Trainable> State<M> {
    /// Before the first step; `model` is on a device with autodiff.
    pub fn new(model: M, config: &TrainConfig) -> Self {
        let average = (config.ema > 0.0).then(|| Average::new(config.ema, &model));
        Self { optimizer: Optimizer::new(config, &model), model, average }
    }

    /// The model to use: with the average where there is one; without autodiff.
    pub fn published(&self) -> M {
        let model = self.model.valid();
        match &self.average {
            Some(average) => average.applied_to(model),
            None => model,
        }
    }

    /// Writes both files into a folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        // No metadata of ours: it has no fixed order in the file, and equal runs should leave equal files.
        weights::save(&self.published(), &folder.join(MODEL), HashMap::new())?;
        let trained = self.average.as_ref().map(|_| parameters::collect(&self.model)).unwrap_or_default();
        let trained = trained.into_iter().map(|(path, tensor)| (format!("{WEIGHT}{path}"), tensor.data));
        let flat = |(name, tensor): (String, Tensor<1>)| Entry::new(name, tensor.dims(), Elements::Tensor(tensor));
        let entries: Vec<Entry> = self.optimizer.tensors().chain(trained).map(flat).collect();
        tensor_file::write(&folder.join(OPTIMIZER), &entries, None)
    }

    /// Reads what [`State::save`] wrote; `check` may refuse the model that the file at a path holds.
    pub(crate) fn load(
        folder: &Path,
        check: impl FnOnce(&Path, &M::Config) -> Result<()>,
        config: &TrainConfig,
        device: &Device,
    ) -> Result<Self> {
        let path = folder.join(MODEL);
        let loaded: M = weights::load(&path, &device.clone().autodiff())?;
        check(&path, loaded.config())?;
        let mut tensors = tensor_file::read_flat(&folder.join(OPTIMIZER), &plain_device(&loaded))?;
        let mut state = Self::new(loaded, config);
        state.optimizer.restore(&mut tensors)?;
        let trained: Tensors = tensors
            .into_iter()
            .filter_map(|(name, data)| Some((name.strip_prefix(WEIGHT)?.to_owned(), data)))
            .collect();
        state.model = parameters::replace(state.model, &trained);
        Ok(state)
    }
}
