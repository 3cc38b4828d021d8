//! What the mixers with a history/latent split share (spec, sections 2 and 5).
//!
//! Latents see the whole history and, causally, each other. The history is bidirectional, which is
//! causal for the scored rows only because no history row is ever scored.

use burn::tensor::Tensor;
use percept_fault::{Fault, Result};

use super::projection::{Projection, extend};
use crate::config::{KeyValue, ModelConfig};
use crate::cost::{AttentionCall, Call};
use crate::layer::{Facts, LayerContext, LayerState, Reach, Rows};
use crate::ops::{Dropout, Pattern, Visibility};

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
    state: Option<&mut LayerState>,
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
    pair: (Tensor<4>, Tensor<4>),
    state: Option<&mut LayerState>,
    dropout: Option<Dropout>,
) -> Tensor<3> {
    let (pair, _) = extend(pair, state, usize::MAX);
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

/// The facts of a mixer whose latents see everything before them and whose history attends by `pattern`, with
/// `history_scores` entries; `most` rows are kept at any length, `joined` rows leave the attention. Work and parameters are
/// those of the projections.
pub(super) fn facts(
    config: &ModelConfig,
    rows: Rows,
    (pattern, history_scores): (Pattern, usize),
    most: usize,
    after: Rows,
) -> Facts {
    let score_entries = (history_scores + rows.latents * rows.len()) as u64;
    let visibility = Visibility::new(pattern);
    let (heads, width) = (config.heads, config.head_dim());
    let history = AttentionCall { queries: rows.history, keys: rows.history, heads, width, visibility };
    let mut work = Projection::input_calls(config, rows.len(), rows.len());
    work.push(Projection::output_call(config, after.len()).into());
    work.extend((rows.history > 0).then_some(Call::from(history)));
    work.push(latent_call(config, rows));
    Facts {
        parameters: Projection::parameters(config),
        rows_after: after,
        work,
        score_entries,
        activations: Projection::activations(config, (rows, after), score_entries, parts(config, rows, after.len())),
        state: Projection::state(config, rows.len(), most),
        reach: Reach::Window,
        ..Facts::of(rows)
    }
}

/// The latents' call of attention.
pub(super) fn latent_call(config: &ModelConfig, rows: Rows) -> Call {
    let visibility = Visibility { pattern: Pattern::Causal, query_start: rows.history, key_start: 0 };
    let (heads, width) = (config.heads, config.head_dim());
    AttentionCall { queries: rows.latents, keys: rows.len(), heads, width, visibility }.into()
}

/// Elements of parts: keys and values of the history for its own attention, and the outputs, joined to `joined` rows.
pub(super) fn parts(config: &ModelConfig, rows: Rows, joined: usize) -> usize {
    if rows.history == 0 {
        return 0;
    }
    let tensors = if config.key_value == KeyValue::Separate { 2 } else { 1 };
    tensors * rows.history * config.key_value_heads() * config.head_dim() + joined * config.dim
}
