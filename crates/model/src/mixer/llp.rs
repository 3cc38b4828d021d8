//! LLP, the Long-LoRA-inspired Perceiver (alias ECP; arXiv 2412.06106; spec, section 2).
//!
//! Segment j is the positions j m .. (j + 1) m - 1. A query of segment j sees all of segment j - 1
//! and, causally, segment j:
//!
//! out_t = softmax(q_t K_t^T / sqrt(e)) V_t, with K_t, V_t the positions (floor(t / m) - 1) m .. t.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per token O(m d), flat in the context. State: fewer
//! than 2 m keys and values per layer. Reach of L layers: at most (L + 1) m - 1 tokens back. Every
//! position is scored.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attention_step::{self, FirstOutput};
use super::projection::{Projection, extend, rotary};
use super::segment::check_segment;
use crate::config::{LayerSpec, ModelConfig};
use crate::cost::{AttentionCall, Call};
use crate::decoder::BuildStep;
use crate::layer::{
    Carry, Facts, FlatKey, LayerContext, LayerState, Options, Place, Reach, Rows, Scale, Sublayer, Windowing,
};
use crate::layers::{Linear, Norm};
use crate::mixer::MixerKind;
use crate::ops::{self, Pattern, Visibility};

/// The keys of `[model.llp]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LlpOptions {
    /// Segment length m in tokens.
    pub segment: usize,
    /// A second output projection for segment 0 (authors' code).
    pub first_segment_output: bool,
}

impl Default for LlpOptions {
    fn default() -> Self {
        Self { segment: 128, first_segment_output: false }
    }
}

impl Options for LlpOptions {
    const FLAT: &'static [FlatKey] =
        &[FlatKey::SEGMENT, FlatKey { name: "first_segment_output", after: "qk_norm", anywhere: false, later: false }];

    fn segment(&self) -> Option<usize> {
        Some(self.segment)
    }

    fn reduced(&self, scale: &Scale) -> Self {
        Self { segment: scale.segment(self.segment), ..*self }
    }

    fn at_context(&self, context: usize) -> Self {
        Self { segment: self.segment.min(context), ..*self }
    }
}

/// Pairwise overlapping segment attention.
#[derive(Module, Debug)]
pub struct Llp {
    /// Projections.
    pub projection: Projection,
    /// Output projection of segment 0 (authors' code).
    pub first_output: Option<Linear>,
    segment: usize,
    dropout: f32,
}

/// Start of the keys that a query at `position` sees.
fn first_key(position: usize, segment: usize) -> usize {
    (position / segment).saturating_sub(1) * segment
}

impl Llp {
    fn output(&self, y: Tensor<3>, start: usize) -> Tensor<3> {
        let rows = y.dims()[1];
        let Some(first_output) = &self.first_output else { return self.projection.output.forward(y) };
        let first = self.segment.saturating_sub(start).min(rows);
        match (first, rows - first) {
            (0, _) => self.projection.output.forward(y),
            (_, 0) => first_output.forward(y),
            _ => ops::linear_by_rows(y, first_output.values(), self.projection.output.values(), first),
        }
    }
}

/// Scores of whole segment pairs.
fn score_entries(segment: usize, rows: usize) -> u64 {
    let (m, full, rest) = (segment, rows / segment, rows % segment);
    let pairs = (2 * full).saturating_sub(1) * m * m;
    let partial = if full == 0 { rest * rest } else { rest * (m + rest) };
    (pairs + partial) as u64
}

impl Sublayer for Llp {
    type Options = LlpOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            first_output: layer.options.llp.first_segment_output.then(|| Projection::new_output(config, device)),
            segment: layer.options.llp.segment,
            dropout: config.attention_dropout,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        check_segment(config, layer.options.llp.segment, "set model.segment, e.g. context / 8")
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let LlpOptions { segment, first_segment_output } = layer.options.llp;
        let (count, pattern) = (rows.len(), Pattern::SegmentPair { length: segment });
        let kept = (rows.end() - first_key(rows.end(), segment)).min(count);
        let score_entries = score_entries(segment, count);
        let mut work = Projection::input_calls(config, count, count);
        let first = if first_segment_output { segment.min(count) } else { 0 };
        let outputs = [first, count - first].into_iter().filter(|&rows| rows > 0);
        work.extend(outputs.map(|rows| Call::from(Projection::output_call(config, rows))));
        let visibility = Visibility::new(pattern);
        let (heads, width) = (config.heads, config.head_dim());
        work.push(AttentionCall { queries: count, keys: count, heads, width, visibility }.into());
        let second = if first_segment_output { Projection::output_parameters(config) } else { 0 };
        Facts {
            parameters: Projection::parameters(config) + second,
            work,
            score_entries,
            activations: Projection::activations(config, (rows, rows), score_entries, 0),
            state: Projection::state(config, kept, 2 * segment),
            reach: Reach::Patterns(vec![pattern]),
            ..Facts::of(rows)
        }
    }

    fn windowing(config: &ModelConfig, layer: &LayerSpec) -> Windowing {
        Projection::windowing(config, layer.options.llp.segment)
    }

    /// Segment 0 has an output projection of its own; the norm of keys and values is never used.
    fn paper(config: &mut ModelConfig) {
        let alone = config.consists_of(MixerKind::Llp);
        config.mixers.llp.first_segment_output = alone;
        config.key_value_norm &= !alone;
    }

    fn paper_names(module: &str) -> &'static [&'static str] {
        match module {
            "first_output" => &["to_out_0"],
            _ => Projection::paper_names(module),
        }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let (start, end) = (context.rows.start, context.rows.end());
        let q = self.projection.queries(x.clone(), start);
        let pair = self.projection.keys_values(x, start);
        let (pair, before) = extend(pair, state, end - first_key(end, self.segment));
        let pattern = Pattern::SegmentPair { length: self.segment };
        let visibility = Visibility { pattern, query_start: start, key_start: start - before };
        let y = self.projection.attend(q, pair, &visibility, context.dropout(self.dropout, Place::Attention));
        self.output(y, start)
    }

    fn asks(config: &ModelConfig, layer: &LayerSpec) -> bool {
        rotary(config, layer).is_some()
    }

    fn mix_at(
        &self,
        x: Tensor<3>,
        offsets: &[isize],
        state: Option<&mut LayerState>,
        context: &LayerContext,
    ) -> Vec<Tensor<3>> {
        let (start, end) = (context.rows.start, context.rows.end());
        let state = (state, end - first_key(end, self.segment));
        let (pattern, dropout) =
            (Pattern::SegmentPair { length: self.segment }, context.dropout(self.dropout, Place::Attention));
        let y = self.projection.ask(x, offsets, state, &[pattern], (start, dropout));
        y.into_iter().map(|y| self.output(y, start)).collect()
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        let patterns = vec![Pattern::SegmentPair { length: self.segment }];
        let first = self.first_output.as_ref().map(|linear| FirstOutput { linear, limit: self.segment });
        Some(attention_step::build(norm, &self.projection, patterns, first))
    }
}
