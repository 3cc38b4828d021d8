//! What the mixers with a history/latent split share (spec, sections 2 and 5).
//!
//! Latents see the whole history and, causally, each other. The history is bidirectional, which is
//! causal for the scored rows only because no history row is ever scored.

use burn::tensor::Tensor;
use percept_fault::{Fault, Result};

use super::projection::Projection;
use crate::config::{KeyValue, ModelConfig};
use crate::cost::AttentionCall;
use crate::ops::{Dropout, Pattern, Visibility};
use crate::rows::{LayerContext, Rows};
use crate::state::MixerState;

/// Attention outputs, heads joined, before the output projection.
pub(super) struct Attended {
    /// `[B, history, H e]`; none where there is no history.
    pub history: Option<Tensor<3>>,
    /// `[B, latents, H e]`.
    pub latents: Tensor<3>,
}

/// How the history rows attend.
pub(super) struct HistoryRule {
    /// Among themselves, counted from the start of the window.
    pub pattern: Pattern,
    /// Dropout on their attention probabilities.
    pub dropout: Option<Dropout>,
}

/// History attends by `rule`, latents to everything before them.
pub(super) fn attend(
    projection: &Projection,
    x: Tensor<3>,
    state: Option<&mut MixerState>,
    context: &LayerContext,
    rule: HistoryRule,
    dropout: Option<Dropout>,
) -> Attended {
    let rows = context.rows;
    let q = projection.queries(x.clone(), rows.start);
    let (k, v) = projection.keys_values(x, rows.start);
    let history = (rows.history > 0).then(|| {
        let part = |t: &Tensor<4>| t.clone().narrow(1, 0, rows.history);
        let visibility = Visibility { pattern: rule.pattern, query_start: 0, key_start: 0 };
        projection.attend(part(&q), (part(&k), part(&v)), &visibility, rule.dropout)
    });
    let q = if rows.history > 0 { q.narrow(1, rows.history, rows.latents) } else { q };
    Attended { history, latents: attend_causally(projection, q, (k, v), state, dropout) }
}

/// The queries, which are the last rows of the keys, see every key up to their own.
pub(super) fn attend_causally(
    projection: &Projection,
    q: Tensor<4>,
    mut pair: (Tensor<4>, Tensor<4>),
    state: Option<&mut MixerState>,
    dropout: Option<Dropout>,
) -> Tensor<3> {
    if let Some(state) = state {
        pair = state.append(pair.0, pair.1);
    }
    let before = pair.0.dims()[1] - q.dims()[1];
    let visibility = Visibility { pattern: Pattern::Causal, query_start: before, key_start: 0 };
    projection.attend(q, pair, &visibility, dropout)
}

/// Rows `[history ; latents]`, joined.
pub(super) fn join(attended: Attended) -> Tensor<3> {
    match attended.history {
        Some(history) => Tensor::cat(vec![history, attended.latents], 1),
        None => attended.latents,
    }
}

/// l must fit into the window.
pub(super) fn validate_latents(config: &ModelConfig) -> Result<()> {
    if config.latents == 0 || config.latents > config.context {
        return Err(Fault::usage(format!(
            "model.latents = {} is not in 1 ..= model.context = {}",
            config.latents, config.context
        ))
        .hint("the last `latents` positions of a window are trained; try context / 2"));
    }
    if config.latent_fill() > config.latents {
        return Err(Fault::usage(format!(
            "model.fill = {} is more than model.latents = {}",
            config.fill, config.latents
        ))
        .hint("fill is the number of latents that a reset leaves; 0 chooses it"));
    }
    Ok(())
}

/// Scores of the history rule plus those of the latents: `history_scores + l (h + l)`.
pub(super) fn score_entries(history_scores: usize, rows: Rows) -> u64 {
    (history_scores + rows.latents * rows.len()) as u64
}

/// The calls of attention: history by its rule, latents over everything before them.
pub(super) fn calls(config: &ModelConfig, rows: Rows, pattern: Pattern) -> Vec<AttentionCall> {
    let visibility = Visibility::new(pattern);
    let history = AttentionCall { queries: rows.history, keys: rows.history, heads: config.heads, visibility };
    (rows.history > 0).then_some(history).into_iter().chain([latent_call(config, rows)]).collect()
}

/// The latents' call of attention.
pub(super) fn latent_call(config: &ModelConfig, rows: Rows) -> AttentionCall {
    let visibility = Visibility { pattern: Pattern::Causal, query_start: rows.history, key_start: 0 };
    AttentionCall { queries: rows.latents, keys: rows.len(), heads: config.heads, visibility }
}

/// Numbers that are copied: keys and values of the history for its own attention, and the outputs, joined to `joined` rows.
pub(super) fn copied(config: &ModelConfig, rows: Rows, joined: usize) -> usize {
    if rows.history == 0 {
        return 0;
    }
    let tensors = if config.key_value == KeyValue::Separate { 2 } else { 1 };
    tensors * rows.history * config.key_value_heads() * config.head_dim() + joined * config.dim
}
