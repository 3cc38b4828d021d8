//! Full causal attention (Vaswani et al., arXiv 1706.03762), over the last `context` positions.
//!
//! out_t = softmax(q_t K^T / sqrt(e)) V over the positions t - n + 1 .. t.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. Cost per token O(n d). State: a ring of n keys and values per
//! layer; beyond n positions the reference is the banded forward. Every position is scored.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::attention_step;
use super::projection::{Projection, extend, rotary};
use super::segment::Segment;
use crate::config::{LayerSpec, ModelConfig};
use crate::cost::AttentionCall;
use crate::decoder::BuildStep;
use crate::layer::{Carry, Facts, LayerContext, LayerState, Place, Reach, Rows, Sublayer, Windowing};
use crate::layers::Norm;
use crate::ops::{Pattern, Visibility};

/// Full causal attention.
#[derive(Module, Debug)]
pub struct Transformer {
    /// Projections.
    pub projection: Projection,
    context: usize,
    dropout: f32,
}

impl Sublayer for Transformer {
    type Options = Segment;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            context: config.context,
            dropout: config.attention_dropout,
        }
    }

    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, kept) = (rows.len(), rows.len().min(config.context));
        let score_entries = (count * kept) as u64;
        let visibility = Visibility::new(Pattern::Band { width: config.context });
        let (heads, width) = (config.heads, config.head_dim());
        let mut work = Projection::calls(config, count, count);
        work.push(AttentionCall { queries: count, keys: count, heads, width, visibility }.into());
        Facts {
            parameters: Projection::parameters(config),
            work,
            score_entries,
            activations: Projection::activations(config, (rows, rows), score_entries, 0),
            state: Projection::state(config, kept, config.context),
            reach: Reach::Context(config.context),
            ..Facts::of(rows)
        }
    }

    fn windowing(config: &ModelConfig, layer: &LayerSpec) -> Windowing {
        Projection::windowing(config, layer.options.transformer.segment)
    }

    fn paper_names(module: &str) -> &'static [&'static str] {
        Projection::paper_names(module)
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let start = context.rows.start;
        let q = self.projection.queries(x.clone(), start);
        let (pair, before) = extend(self.projection.keys_values(x, start), state, self.context);
        let pattern = Pattern::Band { width: self.context };
        let visibility = Visibility { pattern, query_start: start, key_start: start - before };
        let y = self.projection.attend(q, pair, &visibility, context.dropout(self.dropout, Place::Attention));
        self.projection.output.forward(y)
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
        let (pattern, dropout) =
            (Pattern::Band { width: self.context }, context.dropout(self.dropout, Place::Attention));
        let y = self.projection.ask(x, offsets, (state, self.context), &[pattern], (context.rows.start, dropout));
        y.into_iter().map(|y| self.projection.output.forward(y)).collect()
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        let patterns = vec![Pattern::Band { width: self.context }];
        Some(attention_step::build(norm, &self.projection, patterns, None))
    }
}
