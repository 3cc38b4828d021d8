//! Combiner (Ren et al., arXiv 2107.05768, NeurIPS 2021): full attention at less than quadratic cost. A query reads some positions
//! directly, and all earlier ones through summaries of sets of them, in one softmax:
//!
//! out_t = softmax over j in D_t and O in S_t of (q_t k_j / sqrt(e), q_t k_O / sqrt(e)) of (v_j, v_O), with
//! k_O = max over O of k_j, q_O = max over O of q_j (by channel), v_O = softmax over j in O of (q_O k_j / sqrt(e)) v_j.
//!
//! [`fixed`]: D_t is the own span up to t, S_t the complete spans before it. [`logsparse`]: D_t = {t}, and S_t are the log2 t blocks that the
//! set bits of t name, which cover 0 .. t - 1 exactly, at every t (the authors' code loses the past where the last position is a power of two).
//! Nothing of the size of T x T is made. T need not be a multiple of the span: the last, unfinished span is direct only.
//!
//! Positions: a maximum over rotated keys mixes the angles of different positions, after which a score no longer depends on the distance.
//! So rotations apply to direct terms only (`positions = "rotary"`), or sinusoids are added to the rows before the projections
//! (`positions = "additive"`), as the authors add positions to the embedding.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. Streams past `model.context` work in windows (the last three quarters of the context, or more). Every position
//! is scored. `model.attention_dropout` has no effect: the authors drop in some of the terms only.

mod cover;
mod fixed;
mod logsparse;
mod step;

use burn::tensor::{DType, Device, Tensor, TensorData};
use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use fixed::CombinerFixedOptions;
pub use logsparse::CombinerLogsparseOptions;

pub(super) use fixed::CombinerFixed;
pub(super) use logsparse::CombinerLogsparse;

use super::projection::{Projection, rotary};
use crate::config::{LayerSpec, ModelConfig, RotaryLayers};
use crate::cost::Call;
use crate::layer::{Activations, Facts, LayerState, Reach, Rows, StateTensor, Windowing};
use crate::ops::{self, ListedPart, Rotary, RotaryLayout};
use cover::Cover;
use percept_kernels::Listed;

/// How a query knows where what it reads stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CombinerPositions {
    /// Queries and keys of direct terms are rotated, as `model.rotary` says; summaries know no positions.
    Rotary,
    /// Sinusoids are added to the rows before the projections, with `model.rotary_base`.
    Additive,
    /// Not at all, but by the sets.
    None,
}

/// Names in a state: the last rows, and the summaries.
const ROWS: [&str; 3] = ["query", "key", "value"];
const SUMMARIES: [&str; 2] = ["summary_key", "summary_value"];

/// What is no weight.
#[derive(Debug, Clone, Copy)]
struct Core {
    cover: Cover,
    /// Of direct terms.
    rotary: Option<Rotary>,
    /// The frequencies of what is added to the rows.
    additive: Option<Rotary>,
}

impl Core {
    fn new(config: &ModelConfig, layer: &LayerSpec, cover: Cover, positions: CombinerPositions) -> Self {
        let sinusoids = Rotary { base: config.rotary_base, channels: config.dim & !1, layout: RotaryLayout::HalfSplit };
        Self {
            cover,
            rotary: rotary(config, layer).filter(|_| positions == CombinerPositions::Rotary),
            additive: (positions == CombinerPositions::Additive).then_some(sinusoids),
        }
    }

    /// What is added to the heads of `x [B, T, d]`, before the output projection.
    fn attend(&self, projection: &Projection, x: Tensor<3>, state: Option<&mut LayerState>, start: usize) -> Tensor<3> {
        let [batch, rows, _] = x.dims();
        let x = self.placed(x, start);
        let q = projection.queries(x.clone(), start);
        let (k, v) = projection.keys_values(x, start);
        let [_, _, heads, width] = q.dims();
        let y = self.combine([q, k, v], state, start);
        y.reshape([batch, rows, heads * width])
    }

    /// Queries, keys and values `[B, T, heads, e]` from position `start`, before any rotation.
    fn combine(&self, new: [Tensor<4>; 3], mut state: Option<&mut LayerState>, start: usize) -> Tensor<4> {
        let (rows, scale) = (new[0].dims()[1], (new[0].dims()[3] as f64).powf(-0.5) as f32);
        // The sets of a whole window begin with its first row, wherever that stands.
        let (position, start) = (start, if state.is_some() { start } else { 0 });
        let (end, q) = (start + rows, new[0].clone());
        let kept = state.as_ref().map(|state| SUMMARIES.map(|name| state.get::<4>(name)));
        let [all_q, all_k, all_v] = match &mut state {
            None => new,
            Some(state) => {
                let ([q, k, v], keep) = (new, self.cover.kept_rows(end));
                [(ROWS[0], q), (ROWS[1], k), (ROWS[2], v)].map(|(name, rows)| state.push_rows(name, rows, keep))
            }
        };
        let summaries = self.summaries([all_q, all_k.clone(), all_v.clone()], kept, (start, end), scale);
        if let Some(state) = state {
            self.keep(state, &summaries, (start, end), [&all_k, &q]);
        }
        let turn = |x: Tensor<4>, start: usize| match &self.rotary {
            Some(rotary) => ops::rotary(x, start, rotary),
            None => x,
        };
        let direct = ListedPart {
            q: turn(q.clone(), position),
            k: turn(all_k, position - self.cover.kept_rows(start)),
            v: all_v,
            rows: self.cover.direct(start),
        };
        let second = summaries.map(|[k, v]| ListedPart { q, k, v, rows: self.cover.summaries(start) });
        ops::listed(direct, second, scale)
    }

    /// Keys and values of the sets that are read: those that are kept, and those that the new positions are the first to read.
    fn summaries(
        &self,
        [q, k, v]: [Tensor<4>; 3],
        kept: Option<[Option<Tensor<4>>; 2]>,
        (start, end): (usize, usize),
        scale: f32,
    ) -> Option<[Tensor<4>; 2]> {
        let (earlier, sets) = (self.cover.earlier(start), self.cover.sets(start, end));
        let kept = kept.map(|tables| tables.map(|table| table.filter(|_| earlier > 0)));
        let kept = kept.map_or([None, None], |tables| tables.map(|table| table.map(|x| x.narrow(1, 0, earlier))));
        let members = self.cover.members(start);
        let made = (sets > 0).then(|| {
            let [of_query, of_key] = [q, k.clone()].map(|x| ops::listed_maximum(x, members, sets));
            [of_key, ops::listed(ListedPart { q: of_query, k, v, rows: members }, None, scale)]
        });
        match (kept, made) {
            ([Some(keys), Some(values)], Some([k, v])) => {
                Some([Tensor::cat(vec![keys, k], 1), Tensor::cat(vec![values, v], 1)])
            }
            ([Some(keys), Some(values)], None) => Some([keys, values]),
            (_, made) => made,
        }
    }

    /// Keeps what later positions read of the summaries; `like` are tensors with the heads of keys and of summarised values.
    fn keep(
        &self,
        state: &mut LayerState,
        summaries: &Option<[Tensor<4>; 2]>,
        (start, end): (usize, usize),
        like: [&Tensor<4>; 2],
    ) {
        let slots = self.cover.kept_summaries(start, end);
        for (index, (name, like)) in SUMMARIES.into_iter().zip(like).enumerate() {
            let [_, _, heads, width] = like.dims();
            let zero = Tensor::<4>::zeros([1, 1, heads, width], (&like.device(), like.dtype()));
            let row = |slot: &Option<usize>| match (slot, summaries) {
                (Some(row), Some(tables)) => tables[index].clone().narrow(1, *row, 1),
                _ => zero.clone(),
            };
            state.set(name, Tensor::cat(slots.iter().map(row).collect(), 1));
        }
    }

    /// The rows with their sinusoids.
    fn placed(&self, x: Tensor<3>, start: usize) -> Tensor<3> {
        let Some(sinusoids) = &self.additive else { return x };
        let ([_, rows, dim], device) = (x.dims(), x.device());
        let table = sinusoids.table(start, rows);
        let half = sinusoids.channels / 2;
        let part = |single: &[f32], double: &[f64]| match x.dtype() {
            DType::F32 => Tensor::<3>::from_data(TensorData::new(single.to_vec(), [1, rows, half]), &device),
            dtype => Tensor::from_data(TensorData::new(double.to_vec(), [1, rows, half]), (&device, dtype)),
        };
        let mut parts = vec![part(&table.sin_f32, &table.sin), part(&table.cos_f32, &table.cos)];
        if dim > 2 * half {
            parts.push(Tensor::zeros([1, rows, 1], (&device, x.dtype())));
        }
        x + Tensor::cat(parts, 2)
    }

    fn facts(&self, config: &ModelConfig, rows: Rows) -> Facts {
        let (count, sets) = (rows.len(), self.cover.sets(0, rows.len()));
        let (heads, groups, width) = (config.heads, config.key_value_heads(), config.head_dim());
        let listed = Listed { batch: 1, queries: count, heads, groups, width, scale: 1.0 };
        let both = [self.cover.direct(0), self.cover.summaries(0)];
        let lists = if sets > 0 { &both[..] } else { &both[..1] };
        let (pooled, members) = (Listed { queries: sets, ..listed }, [self.cover.members(0)]);
        let read = Call::Other { forward: listed.forward_cost(lists), backward: listed.backward_cost(lists) };
        let made = Call::Other { forward: pooled.forward_cost(&members), backward: pooled.backward_cost(&members) };
        let mut work = Projection::calls(config, count, count);
        work.extend([read, made]);
        let terms = lists.iter().map(|list| list.terms(count)).sum::<u64>() + members[0].terms(sets);
        let of_sets = (sets * (2 * heads + groups) * width) as u64;
        let turned = if self.rotary.is_some() { (count * (heads + groups) * width) as u64 } else { 0 };
        let projected = Projection::activations(config, (rows, rows), 0, 0);
        let kept = (self.cover.kept_rows(count), self.cover.most_rows(config.context));
        let of_rows = ROWS.into_iter().zip([heads, groups, groups]);
        let of_slots = SUMMARIES.into_iter().zip([groups, heads]);
        Facts {
            parameters: Projection::parameters(config),
            work,
            score_entries: terms,
            activations: Activations {
                kept: projected.kept + of_sets + turned,
                unfused: terms.saturating_mul((4 * heads * width) as u64),
                flow: projected.flow + of_sets + turned,
            },
            state: of_rows
                .map(|(name, heads)| StateTensor::rows(name, kept, [heads, width]))
                .chain(of_slots.map(|(name, heads)| StateTensor::fixed(name, [self.cover.slots(), heads, width])))
                .collect(),
            reach: Reach::Window,
            movable: self.additive.is_none().then_some(1),
            ..Facts::of(rows)
        }
    }
}

/// Projections that leave rotations to the direct terms.
fn projection(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Projection {
    Projection::new(&ModelConfig { rotary: RotaryLayers::None, ..config.clone() }, layer, device)
}

/// Refuses a stack whose other layers cut the window: sets begin with it.
fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
    match config.layer_specs()?.iter().find(|other| other.latents(config).is_some()) {
        None => Ok(()),
        Some(other) => Err(Fault::usage(format!(
            "model.layers: `{}` does not go with `{}`, which cuts the window into history and latents",
            layer.kind.name(),
            other.kind.name()
        ))
        .hint("the sets of Combiner begin with the window; combine it with layers without a history")),
    }
}

/// The sets of a window begin with it: past the context, windows are run again.
fn windowing(config: &ModelConfig) -> Windowing {
    Windowing::Sliding { stride: config.context.div_ceil(4) }
}
