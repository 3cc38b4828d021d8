//! What a model offers to a trainer.

use burn::module::Module;
use burn::tensor::Device;
use percept_fault::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::gradients::{Gradients, Recompute};
use crate::layer::Mode;
use crate::parameters::Tensors;
use crate::role::{Role, Training};

/// How much a batch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchSize {
    /// What the model reads: tokens, images, ...
    pub inputs: usize,
    /// What its loss sums over.
    pub targets: usize,
}

/// What a batch teaches.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// Sum of the loss over the targets.
    pub loss: f64,
    /// Gradients of that sum times the scale, and of whatever regularises it.
    pub gradients: Gradients,
    /// New values of the model's buffers; none for a model that has no buffers.
    pub buffers: Tensors,
}

/// A model that can be trained: a Burn module whose tensors stand under their paths, with files of its own kind.
///
/// Whoever adds a kind of model (classifiers, encoders, recurrences) implements this; optimizer, checkpoints and the loop know
/// nothing else of it. A batch is whatever the model reads; where batches come from is said elsewhere.
///
/// ```
/// use percept_model::{Batch, LanguageModel, Mode, ModelConfig, Recompute, Trainable};
/// # fn main() -> percept_fault::Result<()> {
/// let config = ModelConfig { vocab: 11, dim: 8, depth: 1, heads: 2, context: 4, ..Default::default() }.with("segment", 2)?;
/// let model = LanguageModel::fresh(&config, 1, &burn::tensor::Device::default().autodiff())?;
/// let batch = Batch { tokens: vec![1, 2, 3, 4], targets: vec![2, 3, 4, 5], rows: 1, length: 4 };
/// let targets = model.size(&batch).targets;
/// let learned = model.loss_and_gradients(&batch, Mode::Evaluation, Recompute::Keep, 1.0 / targets as f32)?;
/// assert!(learned.loss / targets as f64 > 1.0 && learned.gradients.0.contains_key("embedding.weight"));
/// # Ok(()) }
/// ```
pub trait Trainable: Module {
    /// What the model learns from at a time.
    type Batch;
    /// What describes the model; its file carries it beside the weights.
    type Config: Serialize + DeserializeOwned;

    /// A model whose weights are a function of the seed.
    ///
    /// # Errors
    /// A configuration that stands for no model.
    fn fresh(config: &Self::Config, seed: u64, device: &Device) -> Result<Self>;

    /// A model to be filled with weights from a file.
    ///
    /// # Errors
    /// As [`Trainable::fresh`].
    fn blank(config: &Self::Config, device: &Device) -> Result<Self>;

    /// The configuration.
    fn config(&self) -> &Self::Config;

    /// What a batch holds for this model.
    fn size(&self, batch: &Self::Batch) -> BatchSize;

    /// Loss and gradients of a batch; the model is on a device with autodiff. `recompute` matters where a model has the choice.
    ///
    /// # Errors
    /// A batch that does not fit the model.
    fn loss_and_gradients(&self, batch: &Self::Batch, mode: Mode, recompute: Recompute, scale: f32) -> Result<Learned>;

    /// What happens to the tensor at a path. Decay is for matrices, unless a model knows better.
    fn role(&self, _path: &str, shape: &[usize]) -> Role {
        Role::by_shape(shape)
    }

    /// How the optimizer trains the tensor at a path: as all others of its role, unless a model knows better.
    fn training(&self, path: &str, shape: &[usize]) -> Training {
        Training::of(self.role(path, shape))
    }
}
