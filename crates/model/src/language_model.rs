//! The language model: embedding, blocks, norm, head.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation::log_softmax};
use percept_fault::Result;

use crate::batch::{Batch, Loss, check_tokens};
use crate::config::{Biases, Head, LayerSpec, ModelConfig};
use crate::layer::{Block, BlockFacts, BlockState, Carry, Mode, Rows};
use crate::layers::Norm;
use crate::{init, ops, parameters};

/// Rows whose logits are held at a time when scoring.
const SCORING_ROWS: usize = 256;

/// The token embedding.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[V, d]`.
    pub weight: Param<Tensor<2>>,
}

/// The output head; without a weight it is tied to the embedding.
#[derive(Module, Debug)]
pub struct OutputHead {
    /// `[V, d]`.
    pub weight: Option<Param<Tensor<2>>>,
    /// `[V]`.
    pub bias: Option<Param<Tensor<1>>>,
}

/// A language model over tokens: weights, configuration, layers. To run it on streams of text, make it an
/// [`InferenceModel`](crate::InferenceModel).
///
/// ```
/// use percept_model::{LanguageModel, ModelConfig};
/// # fn main() -> percept_fault::Result<()> {
/// let config = ModelConfig { vocab: 257, dim: 16, depth: 2, heads: 2, context: 16, ..Default::default() }.with("segment", 4)?;
/// let model = LanguageModel::new(&config, 7, &Default::default())?;
/// let tokens = [104, 101, 108, 108, 111, 32, 121, 111];
/// let logits = model.forward(&tokens, 1, model.window_rows(tokens.len()))?;
/// assert_eq!(logits.dims(), [1, 8, 257]);
/// # Ok(()) }
/// ```
#[derive(Module, Debug)]
pub struct LanguageModel {
    /// Token embedding.
    pub embedding: Embedding,
    /// L blocks, or as many as differ ([`ModelConfig::blocks`]): a layer runs the one of its index.
    pub blocks: Vec<Block>,
    /// Before the head.
    pub norm: Norm,
    /// Output head.
    pub head: OutputHead,
    #[module(skip)]
    config: Arc<ModelConfig>,
    #[module(skip)]
    layers: Arc<Vec<LayerSpec>>,
}

impl LanguageModel {
    /// A model with freshly initialised weights (see [`crate::init`]).
    pub fn new(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self> {
        let model = Self::zeros(config, device)?;
        let layers = model.layers.clone();
        Ok(init::initialise(model, config, &layers, seed))
    }

    /// A model with all weights zero (norms at one), to be filled.
    pub fn zeros(config: &ModelConfig, device: &Device) -> Result<Self> {
        config.validate()?;
        let layers = config.layer_specs()?;
        let (vocab, dim) = (config.vocab, config.dim);
        let matrix = || Param::from_tensor(Tensor::zeros([vocab, dim], device));
        Ok(Self {
            embedding: Embedding { weight: matrix() },
            blocks: layers.iter().take(config.own_blocks()).map(|layer| Block::new(config, layer, device)).collect(),
            norm: Norm::new(config.norm, dim, config.norm_eps, device),
            head: OutputHead {
                weight: (config.head == Head::Untied).then(matrix),
                bias: (config.biases != Biases::None).then(|| Param::from_tensor(Tensor::zeros([vocab], device))),
            },
            config: Arc::new(config.clone()),
            layers: Arc::new(layers),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The mixer of every layer.
    pub fn layers(&self) -> &[LayerSpec] {
        &self.layers
    }

    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        self.embedding.weight.val().device()
    }

    /// Number of weights.
    pub fn parameter_count(&self) -> usize {
        self.num_params()
    }

    /// The same model without autodiff, for scoring and generation.
    pub fn for_inference(&self) -> Self {
        self.valid()
    }

    /// The same model with weights of another floating-point type; f64 for exact checks.
    pub fn with_dtype(self, dtype: DType) -> Self {
        parameters::map(self, |_, _, tensor| tensor.cast(dtype))
    }

    /// The rows of a training window of `length` tokens: the last l are latents where the model has a
    /// history, all of them elsewhere.
    pub fn window_rows(&self, length: usize) -> Rows {
        window_rows(&self.config, &self.layers, length)
    }

    /// What each layer declares for the rows that enter the stack.
    pub fn facts(&self, rows: Rows) -> Vec<BlockFacts> {
        block_facts(&self.config, &self.layers, rows)
    }

    /// `[B, T]` tokens to `[B, T, d]`.
    pub fn embed(&self, tokens: &[u32], batch: usize) -> Tensor<3> {
        let weight = self.embedding.weight.val();
        let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let data = TensorData::new(ids, [batch, tokens.len() / batch]);
        ops::embedding(weight.clone(), Tensor::<2, Int>::from_data(data, &weight.device()))
    }

    /// Runs the blocks on `x`: `[B, rows, d]`; returns the latents `[B, l, d]` before the last norm.
    /// With states (one per layer) the rows follow what those have seen.
    pub fn run_blocks(&self, x: Tensor<3>, states: Option<&mut [BlockState]>, rows: Rows, mode: Mode) -> Tensor<3> {
        self.run_blocks_between(x, (states, rows), mode, &mut || {})
    }

    /// [`LanguageModel::run_blocks`], and something else between any two of them.
    pub(crate) fn run_blocks_between(
        &self,
        x: Tensor<3>,
        states: (Option<&mut [BlockState]>, Rows),
        mode: Mode,
        between: &mut dyn FnMut(),
    ) -> Tensor<3> {
        let (x, rows) = self.run_first(self.layers.len(), x, states, mode, between);
        if rows.history == 0 { x } else { x.narrow(1, rows.history, rows.latents) }
    }

    /// The first `count` layers: all rows that leave them, `[B, rows, d]`, and what those are.
    pub(crate) fn run_first(
        &self,
        count: usize,
        mut x: Tensor<3>,
        (mut states, mut rows): (Option<&mut [BlockState]>, Rows),
        mode: Mode,
        between: &mut dyn FnMut(),
    ) -> (Tensor<3>, Rows) {
        let mut carry = Carry::default();
        for layer in &self.layers[..count] {
            if layer.place > 0 {
                between();
            }
            let (context, after) = layer.context(&self.config, rows, mode);
            let state = states.as_deref_mut().map(|states| &mut states[layer.place]);
            x = self.blocks[layer.index].forward(x, state, &mut carry, &context);
            rows = after;
        }
        (x, rows)
    }

    /// Hidden states of the scorable rows of whole windows: `[B, l, d]`, after the last norm.
    pub fn hidden(&self, tokens: &[u32], batch: usize, rows: Rows, mode: Mode) -> Tensor<3> {
        self.norm.forward(self.run_blocks(self.embed(tokens, batch), None, rows, mode))
    }

    /// The head's matrix `[V, d]`.
    pub fn head_weight(&self) -> Tensor<2> {
        self.head.weight.as_ref().unwrap_or(&self.embedding.weight).val()
    }

    /// The head's bias `[V]`.
    pub fn head_bias(&self) -> Option<Tensor<1>> {
        self.head.bias.as_ref().map(|bias| bias.val())
    }

    /// `[B, T, d]` (after the last norm) to logits `[B, T, V]`.
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        ops::linear(hidden, self.head_weight().transpose(), self.head_bias())
    }

    /// Logits of the scorable rows of whole windows, `[B, l, V]`: for checks and small inputs.
    pub fn forward(&self, tokens: &[u32], batch: usize, rows: Rows) -> Result<Tensor<3>> {
        check_tokens(tokens, self.config.vocab)?;
        Ok(self.logits(self.hidden(tokens, batch, rows, Mode::Evaluation)))
    }

    /// NLL of the batch's targets on the scorable rows, without dropout or gradients.
    pub fn evaluate(&self, batch: &Batch) -> Result<Loss> {
        batch.validate(self.config.vocab)?;
        let model = self.for_inference();
        let rows = model.window_rows(batch.length);
        let hidden = model.hidden(&batch.tokens, batch.rows, rows, Mode::Evaluation);
        let targets = batch.last_targets(rows.latents);
        let scored = targets.iter().filter(|&&target| target != crate::IGNORED).count();
        let nll = model.head_loss(hidden, &targets, 0.0);
        Ok(Loss { nll: number(nll), targets: scored })
    }

    /// -ln p of each of the batch's targets, in order: [`LanguageModel::evaluate`] one by one.
    ///
    /// # Errors
    /// A batch of wrong sizes, or a token outside the vocabulary.
    pub fn losses(&self, batch: &Batch) -> Result<Vec<f32>> {
        let (hidden, targets) = self.scored_rows(batch)?;
        Ok(self.target_nll(hidden, &targets))
    }

    /// `visit` gets ln p of every token, `[V]`, at the row of each of the batch's targets, in order.
    ///
    /// # Errors
    /// As [`LanguageModel::losses`].
    pub fn distributions(&self, batch: &Batch, visit: &mut dyn FnMut(&[f32])) -> Result<()> {
        let (hidden, targets) = self.scored_rows(batch)?;
        for first in (0..targets.len()).step_by(SCORING_ROWS) {
            let rows = hidden.clone().narrow(1, first, SCORING_ROWS.min(targets.len() - first));
            let ln_p: Vec<f32> = log_softmax(self.logits(rows), 2).into_data().iter().collect();
            ln_p.chunks(self.config.vocab).for_each(&mut *visit);
        }
        Ok(())
    }

    /// Hidden states `[1, T, d]`, after the last norm, of the T rows that have a target, and the targets.
    fn scored_rows(&self, batch: &Batch) -> Result<(Tensor<3>, Vec<u32>)> {
        batch.validate(self.config.vocab)?;
        let model = self.for_inference();
        let rows = model.window_rows(batch.length);
        let (indices, targets): (Vec<i32>, Vec<u32>) =
            (0..).zip(batch.last_targets(rows.latents)).filter(|(_, target)| *target != crate::IGNORED).unzip();
        let hidden = model.hidden(&batch.tokens, batch.rows, rows, Mode::Evaluation);
        let hidden = hidden.reshape([1, batch.rows * rows.latents, self.config.dim]);
        let indices = Tensor::<1, Int>::from_data(indices.as_slice(), &hidden.device());
        Ok((hidden.select(1, indices), targets))
    }

    /// Sum of -ln p over the targets, whose gradient includes the z-loss; `hidden`: `[B, l, d]`, after the last norm.
    pub(crate) fn head_loss(&self, hidden: Tensor<3>, targets: &[u32], z_loss: f32) -> Tensor<1> {
        let [batch, rows, dim] = hidden.dims();
        let hidden = hidden.reshape([batch * rows, dim]);
        ops::head_cross_entropy(hidden, self.head_weight(), self.head_bias(), targets, z_loss)
    }

    /// -ln p of each target; `hidden`: `[1, T, d]`, after the last norm. Never holds T x V logits.
    pub(crate) fn target_nll(&self, hidden: Tensor<3>, targets: &[u32]) -> Vec<f32> {
        let mut nll = Vec::with_capacity(targets.len());
        for (chunk, targets) in targets.chunks(SCORING_ROWS).enumerate() {
            let rows = hidden.clone().narrow(1, chunk * SCORING_ROWS, targets.len());
            let ids: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
            let ids = Tensor::<3, Int>::from_data(TensorData::new(ids, [1, targets.len(), 1]), &rows.device());
            let log_probabilities = log_softmax(self.logits(rows), 2).gather(2, ids);
            nll.extend(log_probabilities.into_data().iter::<f32>().map(|ln_p| -ln_p));
        }
        nll
    }
}

impl AsRef<LanguageModel> for LanguageModel {
    fn as_ref(&self) -> &LanguageModel {
        self
    }
}

/// See [`LanguageModel::facts`]; from the configuration alone.
pub fn block_facts(config: &ModelConfig, layers: &[LayerSpec], mut rows: Rows) -> Vec<BlockFacts> {
    let facts = layers.iter().map(|layer| {
        let facts = layer.facts(config, rows);
        rows = facts.rows_after();
        facts
    });
    facts.collect()
}

/// See [`LanguageModel::window_rows`]; from the configuration alone.
pub fn window_rows(config: &ModelConfig, layers: &[LayerSpec], length: usize) -> Rows {
    let latents = layers.iter().find_map(|layer| layer.latents(config));
    let history = latents.map_or(0, |latents| length.saturating_sub(latents));
    Rows { history, latents: length - history, start: 0 }
}

/// The value of a tensor of one element.
pub(crate) fn number(tensor: Tensor<1>) -> f64 {
    tensor.into_data().iter::<f64>().sum()
}
