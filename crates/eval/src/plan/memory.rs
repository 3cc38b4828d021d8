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
        let weights = properties.parameters() * NUMBER;
        let gradients = if train.accumulate > 1 { 2 * weights } else { weights };
        let largest = (model.vocab * model.dim).max(model.dim * model.hidden_dim()) as u64;
        let batch = train.batch as u64;
        let rows = batch * properties.window_rows(model.context).latents as u64;
        let logits = LOGITS.max(512 * model.vocab as u64).min(rows * model.vocab as u64);
        Self {
            weights,
            gradients,
            optimizer: 2 * weights,
            average: if train.ema > 0.0 { weights } else { 0 },
            activations: activations(model, train, properties, attention) * batch * NUMBER,
            workspace: (logits + largest) * NUMBER + PROGRAM,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.optimizer + self.average + self.activations + self.workspace
    }
}

/// Numbers per window.
fn activations(model: &ModelConfig, train: &TrainConfig, properties: &Properties, attention: Attention) -> u64 {
    let entering = properties.rows_by_layer(properties.window_rows(model.context));
    let (mut kept, mut inputs, mut largest) = (0, 0, 0);
    for (layer, &rows) in properties.layers().iter().zip(&entering) {
        let after = layer.kind.rows_after(model, layer, rows);
        let scores = match attention {
            Attention::Fused => 0,
            Attention::Composed => 3 * model.heads as u64 * layer.kind.score_entries(model, layer, rows),
        };
        let copied = layer.kind.copied(model, layer, rows) as u64;
        // Where nothing is fused, the feed-forward sublayer keeps its normalised and its activated rows too.
        let again = match attention {
            Attention::Fused => 0,
            Attention::Composed => (after.len() * (model.dim + model.hidden_dim())) as u64,
        };
        let block = block_numbers(model, rows, after) + copied + scores + again;
        kept += block;
        inputs += (rows.len() * model.dim) as u64;
        largest = largest.max(block);
    }
    // The peak lies where the backward pass enters the last block: the gradients of its output, of the rows before the
    // last norm, and of its hidden rows.
    let last = entering.last().map_or(0, |rows| rows.len());
    let flowing = (last * (2 * model.dim + branches(model) * model.hidden_dim())) as u64;
    flowing
        + match train.recompute {
            Recompute::Nothing => kept,
            Recompute::Blocks => inputs + largest,
        }
}

/// Numbers that one block keeps for its backward pass.
///
/// Mixer, per row: the input, its norm, keys and values (with their unnormalised form), and per query row the
/// query (likewise) and the attention's output. Feed-forward, per row that leaves the mixer: the input, and the hidden
/// rows before the activation; the fused operation computes the rest again.
fn block_numbers(model: &ModelConfig, rows: Rows, after: Rows) -> u64 {
    let width = model.heads * model.head_dim();
    let narrow = model.key_value_heads() * model.head_dim();
    let forms = 1 + usize::from(model.qk_norm);
    let key_value = match model.key_value {
        KeyValue::Separate => (1 + forms) * narrow,
        KeyValue::Shared => (1 + usize::from(model.key_value_norm)) * narrow,
    };
    let hidden = branches(model) * model.hidden_dim();
    let mixer = rows.len() * (2 * model.dim + key_value) + after.len() * (forms + 1) * width;
    (mixer + after.len() * (model.dim + hidden)) as u64
}

/// Maps that lead into the activation.
fn branches(model: &ModelConfig) -> usize {
    match model.feed_forward {
        FeedForwardKind::Swiglu => 2,
        FeedForwardKind::Gelu => 1,
    }
}
