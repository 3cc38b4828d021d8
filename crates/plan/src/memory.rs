//! Memory of training, estimated from the shapes of what it holds at its peak.

use percept_model::ModelConfig;
use percept_model::layer::Facts;
use percept_model::properties::Properties;
use percept_train::{Recompute, TrainConfig};
use serde::Serialize;

use super::NUMBER;

/// Logits that the head holds at a time.
const LOGITS: u64 = 1 << 20;

/// The program, its libraries and the mapped part of the corpus that is read.
const PROGRAM: u64 = 20 << 20;

/// Whether attention keeps its scores for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Fused kernels: a row's softmax is computed again (CPU).
    Fused,
    /// Composed of tensor operations, which keep three tensors of scores (other devices).
    Composed,
}

/// Bytes held at the peak of a training step.
///
/// ```
/// use percept_plan::plan;
/// use percept_train::{Recompute, resolve_preset};
/// let mut config = resolve_preset("llp-small")?;
/// config.train.recompute = Recompute::Nothing;
/// let kept = plan(&config)?.memory;
/// config.train.recompute = Recompute::Blocks;
/// let computed_again = plan(&config)?.memory;
/// // Weights, gradients and moments stay; activations shrink to a block and the inputs of the others.
/// assert_eq!(kept.optimizer, 2 * kept.weights);
/// assert_eq!(computed_again.optimizer, kept.optimizer);
/// assert!(computed_again.activations < kept.activations / 2);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The model.
    pub weights: u64,
    /// One gradient per weight; a second set while micro-batches are added up.
    pub gradients: u64,
    /// AdamW's two moments.
    pub optimizer: u64,
    /// The moving average of the weights, where it is on.
    pub average: u64,
    /// What the backward pass needs of the forward pass, and the gradients that flow back.
    pub activations: u64,
    /// Logits in chunks, and the program itself.
    pub workspace: u64,
}

/// Sizes of a model and of a micro-batch, in elements.
pub(super) struct Sizes {
    /// Weights.
    pub(super) parameters: u64,
    /// Tokens of the vocabulary.
    pub(super) vocab: usize,
    /// Of the largest weight.
    pub(super) largest: u64,
    /// Rows that are scored.
    pub(super) scored: u64,
    /// Activations at the peak.
    pub(super) activations: u64,
}

impl Memory {
    /// The estimate for one configuration.
    pub fn of(model: &ModelConfig, train: &TrainConfig, properties: &Properties, attention: Attention) -> Self {
        let batch = train.batch as u64;
        Self::of_sizes(
            train,
            Sizes {
                parameters: properties.parameters(),
                vocab: model.vocab,
                largest: (model.vocab * model.dim).max(model.dim * model.hidden_dim()) as u64,
                scored: batch.saturating_mul(properties.window_rows(model.context).latents as u64),
                activations: activations(model, train, properties, attention).saturating_mul(batch),
            },
        )
    }

    /// The estimate for a model of these sizes.
    pub(super) fn of_sizes(train: &TrainConfig, sizes: Sizes) -> Self {
        let weights = sizes.parameters.saturating_mul(NUMBER);
        let gradients = if train.accumulate > 1 { weights.saturating_mul(2) } else { weights };
        let vocab = sizes.vocab as u64;
        let logits = LOGITS.max(512 * vocab).min(sizes.scored.saturating_mul(vocab));
        Self {
            weights,
            gradients,
            optimizer: weights.saturating_mul(2),
            average: if train.ema > 0.0 { weights } else { 0 },
            activations: sizes.activations.saturating_mul(NUMBER),
            workspace: (logits + sizes.largest) * NUMBER + PROGRAM,
        }
    }

    /// All of it; the largest number where it is more than one holds.
    pub fn total(&self) -> u64 {
        let parts = [self.weights, self.gradients, self.optimizer, self.average, self.activations, self.workspace];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// Elements per window: the most that is kept and flows back at one time. The backward pass frees what it has passed, so
/// the peak lies where it enters a sublayer: the last one, or one that reads many more rows than those after it.
fn activations(model: &ModelConfig, train: &TrainConfig, properties: &Properties, attention: Attention) -> u64 {
    let kept = |facts: &Facts| match attention {
        Attention::Fused => facts.activations.kept,
        Attention::Composed => facts.activations.kept.saturating_add(facts.activations.unfused),
    };
    let (mut rows, mut below, mut inputs, mut peak) = (properties.window_rows(model.context), 0u64, 0, 0);
    let all = properties.facts(rows);
    let last = all.len() - 1;
    for (index, facts) in all.into_iter().enumerate() {
        let times = if index == last { properties.answers_per_row().ceil() as u64 } else { 1 };
        let mixer = kept(&facts.mixer).saturating_mul(times);
        let block = mixer.saturating_add(kept(&facts.channel).saturating_mul(times));
        let in_mixer = mixer.saturating_add(facts.mixer.activations.flow);
        let in_channel = block.saturating_add(facts.channel.activations.flow);
        peak = peak.max(in_mixer.max(in_channel).saturating_add(below));
        inputs += (rows.len() * model.dim) as u64;
        below = match train.recompute {
            Recompute::Nothing => below.saturating_add(block),
            Recompute::Blocks => inputs,
        };
        rows = facts.rows_after();
    }
    peak
}
