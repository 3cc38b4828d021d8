//! Memory of training, estimated from the shapes of what it holds at its peak.

use percept_model::Rows;
use percept_model::config::{FeedForwardKind, KeyValue, ModelConfig};
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

impl Memory {
    /// The estimate for one configuration.
    pub fn of(model: &ModelConfig, train: &TrainConfig, properties: &Properties, attention: Attention) -> Self {
        let weights = properties.parameters().saturating_mul(NUMBER);
        let gradients = if train.accumulate > 1 { weights.saturating_mul(2) } else { weights };
        let largest = (model.vocab * model.dim).max(model.dim * model.hidden_dim()) as u64;
        let batch = train.batch as u64;
        let rows = batch.saturating_mul(properties.window_rows(model.context).latents as u64);
        let logits = LOGITS.max(512 * model.vocab as u64).min(rows.saturating_mul(model.vocab as u64));
        Self {
            weights,
            gradients,
            optimizer: weights.saturating_mul(2),
            average: if train.ema > 0.0 { weights } else { 0 },
            activations: activations(model, train, properties, attention).saturating_mul(batch).saturating_mul(NUMBER),
            workspace: (logits + largest) * NUMBER + PROGRAM,
        }
    }

    /// All of it; the largest number where it is more than one holds.
    pub fn total(&self) -> u64 {
        let parts = [self.weights, self.gradients, self.optimizer, self.average, self.activations, self.workspace];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// Numbers per window: the most that is kept and flows back at one time. The backward pass frees what it has passed, so
/// the peak lies where it enters a sublayer: the last one, or one that reads many more rows than those after it.
fn activations(model: &ModelConfig, train: &TrainConfig, properties: &Properties, attention: Attention) -> u64 {
    let entering = properties.rows_by_layer(properties.window_rows(model.context));
    let (mut below, mut inputs, mut peak) = (0, 0, 0);
    for (layer, &rows) in properties.layers().iter().zip(&entering) {
        let after = layer.kind.rows_after(model, layer, rows);
        let copied = layer.kind.copied(model, layer, rows);
        let scores = match attention {
            Attention::Fused => 0,
            Attention::Composed => {
                (3 * model.heads as u64).saturating_mul(layer.kind.score_entries(model, layer, rows))
            }
        };
        let mixer = scores.saturating_add((mixer_kept(model, rows, after) + copied) as u64);
        let block = mixer.saturating_add(feed_forward_kept(model, after, attention) as u64);
        let in_mixer = mixer.saturating_add(mixer_flow(model, rows, after, copied) as u64);
        let flow = after.len() * (2 * model.dim + branches(model) * model.hidden_dim());
        let in_feed_forward = block.saturating_add(flow as u64);
        peak = peak.max(in_mixer.max(in_feed_forward).saturating_add(below));
        inputs += (rows.len() * model.dim) as u64;
        below = match train.recompute {
            Recompute::Nothing => below.saturating_add(block),
            Recompute::Blocks => inputs,
        };
    }
    peak
}

/// Channels of queries, and of keys or values.
fn widths(model: &ModelConfig) -> (usize, usize) {
    (model.heads * model.head_dim(), model.key_value_heads() * model.head_dim())
}

/// Numbers that a mixer keeps for its backward pass: per row the input, its norm, keys and values (with their
/// unnormalised form), and per query row the query (likewise) and the attention's output.
fn mixer_kept(model: &ModelConfig, rows: Rows, after: Rows) -> usize {
    let (width, narrow) = widths(model);
    let forms = 1 + usize::from(model.qk_norm);
    let key_value = match model.key_value {
        KeyValue::Separate => (1 + forms) * narrow,
        KeyValue::Shared => (1 + usize::from(model.key_value_norm)) * narrow,
    };
    rows.len() * (2 * model.dim + key_value) + after.len() * (forms + 1) * width
}

/// Gradients inside a mixer: of queries, keys and values, their contributions to the normalised rows, and that of the
/// residual; where attention reads parts of the tensors, those of the parts, each as long as the whole.
fn mixer_flow(model: &ModelConfig, rows: Rows, after: Rows, copied: usize) -> usize {
    let (width, narrow) = widths(model);
    let of_parts = if copied > 0 { width + 2 * narrow } else { 0 };
    rows.len() * (4 * model.dim + 2 * narrow + of_parts) + after.len() * width
}

/// Numbers that a feed-forward sublayer keeps for its backward pass: per row the input, and the hidden rows before the
/// activation. Where nothing is fused, the normalised and the activated rows too.
fn feed_forward_kept(model: &ModelConfig, after: Rows, attention: Attention) -> usize {
    let again = match attention {
        Attention::Fused => 0,
        Attention::Composed => model.dim + model.hidden_dim(),
    };
    after.len() * (model.dim + branches(model) * model.hidden_dim() + again)
}

/// Maps that lead into the activation.
fn branches(model: &ModelConfig) -> usize {
    match model.feed_forward {
        FeedForwardKind::Swiglu => 2,
        FeedForwardKind::Gelu => 1,
    }
}
