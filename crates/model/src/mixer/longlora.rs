//! LongLoRA's shifted sparse attention, S2 (arXiv 2309.12307; spec, section 6).
//!
//! Half of the heads attend causally inside groups of G positions, the other half inside groups
//! shifted by G / 2. The original rolls the sequence, so its first G / 2 rows see the last G / 2 tokens, a
//! leak of the future; here the two half groups at the ends stay apart. Training and inference use the
//! same pattern (the original infers with full attention).
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per layer n G. State: fewer than G keys and values.
//! Reach of a layer: at most G - 1 tokens back. Every position is scored.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};

use super::attention_step;
use super::projection::{Projection, extend, rotary};
use super::segment::Segment;
use crate::config::{LayerSpec, ModelConfig};
use crate::cost::{AttentionCall, Call};
use crate::decoder::BuildStep;
use crate::layer::{Carry, Facts, LayerContext, LayerState, Place, Reach, Rows, Sublayer, Windowing};
use crate::layers::Norm;
use crate::ops::{Pattern, Visibility};

/// Shifted sparse attention.
#[derive(Module, Debug)]
pub struct LongLora {
    /// Projections.
    pub projection: Projection,
    group: usize,
    dropout: f32,
}

/// Start of the group of `position` in the two halves of the heads.
fn group_starts(position: usize, group: usize) -> [usize; 2] {
    let shift = group / 2;
    [position / group * group, ((position + shift) / group * group).saturating_sub(shift)]
}

fn first_key(position: usize, group: usize) -> usize {
    let [straight, shifted] = group_starts(position, group);
    straight.min(shifted)
}

/// What the two halves of the heads see.
fn halves(group: usize) -> [Pattern; 2] {
    [0, group / 2].map(|shift| Pattern::CausalBlocks { length: group, shift })
}

impl Sublayer for LongLora {
    type Options = Segment;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            group: layer.options.longlora.segment,
            dropout: config.attention_dropout,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        let group = layer.options.longlora.segment;
        if group < 2 {
            return Err(Fault::usage(format!("model.segment = {group} is too short for longlora"))
                .hint("it is the group length G; set it to at least 2"));
        }
        if !config.heads.is_multiple_of(2) || !config.key_value_heads().is_multiple_of(2) {
            return Err(Fault::usage("longlora needs an even number of heads and kv_heads")
                .hint("half of the heads attend inside shifted groups; change model.heads"));
        }
        Ok(())
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, group) = (rows.len(), layer.options.longlora.segment);
        let kept = (rows.end() - first_key(rows.end(), group)).min(count);
        let score_entries = (count * group.min(count)) as u64;
        let half = |pattern| -> Call {
            let visibility = Visibility::new(pattern);
            let (heads, width) = (config.heads / 2, config.head_dim());
            AttentionCall { queries: count, keys: count, heads, width, visibility }.into()
        };
        let mut work = Projection::calls(config, count, count);
        work.extend(halves(group).map(half));
        Facts {
            parameters: Projection::parameters(config),
            work,
            score_entries,
            activations: Projection::activations(config, (rows, rows), score_entries, count * config.dim),
            state: Projection::state(config, kept, group),
            reach: Reach::Patterns(halves(group).into()),
            ..Facts::of(rows)
        }
    }

    fn windowing(config: &ModelConfig, layer: &LayerSpec) -> Windowing {
        Projection::windowing(config, layer.options.longlora.segment)
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
        let (start, end) = (context.rows.start, context.rows.end());
        let q = self.projection.queries(x.clone(), start);
        let (pair, before) = extend(self.projection.keys_values(x, start), state, end - first_key(end, self.group));
        let dropout = context.dropout(self.dropout, Place::Attention);
        let y = self.projection.attend_shares(q, pair, &halves(self.group), [start, start - before], dropout);
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
        let (start, end) = (context.rows.start, context.rows.end());
        let (state, dropout) =
            ((state, end - first_key(end, self.group)), context.dropout(self.dropout, Place::Attention));
        let y = self.projection.ask(x, offsets, state, &halves(self.group), (start, dropout));
        y.into_iter().map(|y| self.projection.output.forward(y)).collect()
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(attention_step::build(norm, &self.projection, halves(self.group).into(), None))
    }
}
