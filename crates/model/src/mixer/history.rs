//! What the mixers with a history/latent split share (spec, sections 2 and 5).
//!
//! Latents see the whole history and, causally, each other. The history is bidirectional, which is
//! causal for the scored rows only because no history row is ever scored.

use burn::tensor::Tensor;
use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::projection::{Projection, extend};
use crate::config::{KeyValue, ModelConfig};
use crate::cost::{AttentionCall, Call};
use crate::layer::{Facts, FlatKey, LayerContext, LayerState, Options, Reach, Rows, Scale, Windowing};
use crate::ops::{Dropout, Pattern, Visibility};

/// How a window is cut into history and latents: keys of every mixer with a history, in which all layers must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Latents {
    /// Latent length l: the last positions of a window, which are trained and scored.
    pub latents: usize,
    /// Latents left after a latent reset; 0 means max(l - 128, l / 2, 1).
    pub fill: usize,
}

impl Default for Latents {
    fn default() -> Self {
        Self { latents: 512, fill: 0 }
    }
}

impl Latents {
    /// Latents that a reset leaves (flaxformer's rule; spec section 5).
    fn resolved_fill(&self) -> usize {
        match self.fill {
            0 => self.latents.saturating_sub(128).max(self.latents / 2).max(1),
            fill => fill,
        }
    }

    /// A stream goes on by resets.
    pub(super) fn windowing(&self) -> Windowing {
        Windowing::Latents { latents: self.latents, fill: self.resolved_fill() }
    }

    /// l must fit into the window.
    pub(super) fn validate(&self, config: &ModelConfig) -> Result<()> {
        if self.latents == 0 || self.latents > config.context {
            return Err(Fault::usage(format!(
                "model.latents = {} is not in 1 ..= model.context = {}",
                self.latents, config.context
            ))
            .hint("the last `latents` positions of a window are trained; try context / 2"));
        }
        if self.resolved_fill() > self.latents {
            return Err(Fault::usage(format!(
                "model.fill = {} is more than model.latents = {}",
                self.fill, self.latents
            ))
            .hint("fill is the number of latents that a reset leaves; 0 chooses it"));
        }
        Ok(())
    }
}

impl Options for Latents {
    const FLAT: &'static [FlatKey] = &[
        FlatKey { name: "latents", after: "segment", anywhere: false, later: false },
        FlatKey { name: "fill", after: "latents", anywhere: false, later: false },
    ];

    fn reduced(&self, scale: &Scale) -> Self {
        let latents = scale.part(self.latents).min(scale.context);
        let fill = if self.fill == 0 { 0 } else { scale.part(self.fill).min(latents) };
        Self { latents, fill }
    }

    fn at_context(&self, context: usize) -> Self {
        let latents = if self.latents < context { self.latents } else { context.div_ceil(2) };
        Self { latents, ..*self }
    }
}

/// The authors' names of modules: what is `to_out` in V1 and LLP is `w_out` in the others.
pub(super) fn paper_names(module: &str) -> &'static [&'static str] {
    match module {
        "projection.output" => &["w_out", "to_out"],
        _ => Projection::paper_names(module),
    }
}

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
