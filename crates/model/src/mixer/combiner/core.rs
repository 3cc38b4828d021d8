//! The mixing, whatever the kind.

use burn::tensor::{DType, Tensor, TensorData};

use super::CombinerPositions;
use super::cover::{Cover, Group};
use super::kind::Keys;
use super::summary_key::SummaryKey;
use crate::config::{LayerSpec, ModelConfig};
use crate::layer::LayerState;
use crate::mixer::projection::rotary;
use crate::ops::{self, ListedPart, Rotary, RotaryLayout};

/// Names in a state: the last rows, the summaries, and what some kinds need of rows to come to others.
pub(super) const ROWS: [&str; 3] = ["query", "key", "value"];
pub(super) const SUMMARIES: [&str; 2] = ["summary_key", "summary_value"];
pub(super) const SUMMARY_QUERY: &str = "summary_query";
pub(super) const INPUT: &str = "input";

/// What is no weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Core {
    pub(super) cover: Cover,
    pub(super) keys: Keys,
    /// Of direct terms.
    pub(super) rotary: Option<Rotary>,
    /// The frequencies of what is added to the rows.
    pub(super) additive: Option<Rotary>,
}

/// Queries, keys and values `[B, rows, heads, e]`: those that are kept, and new ones.
type Heads = [Tensor<4>; 3];

/// A projection of keys, and the layer's input `[B, rows, d]`, from the first row of the queries on.
type KeySource<'a> = Option<(&'a SummaryKey, Tensor<3>)>;

/// Summaries in the order of [`Cover::summaries`], and the largest queries of those that grow.
struct Summaries {
    /// Keys and values, where there are any.
    table: Option<[Tensor<4>; 2]>,
    /// Of the last ones that were made.
    growing: Option<Tensor<4>>,
}

impl Core {
    pub(super) fn new(
        config: &ModelConfig,
        layer: &LayerSpec,
        (cover, keys): (Cover, Keys),
        positions: CombinerPositions,
    ) -> Self {
        let sinusoids = Rotary { base: config.rotary_base, channels: config.dim & !1, layout: RotaryLayout::HalfSplit };
        Self {
            cover,
            keys,
            rotary: rotary(config, layer).filter(|_| positions == CombinerPositions::Rotary),
            additive: (positions == CombinerPositions::Additive).then_some(sinusoids),
        }
    }

    /// Queries, keys and values from position `start`, before any rotation, and where keys of summaries come from.
    pub(super) fn combine(
        &self,
        new: Heads,
        source: KeySource<'_>,
        mut state: Option<&mut LayerState>,
        start: usize,
    ) -> Tensor<4> {
        let (rows, scale) = (new[0].dims()[1], scale(&new[0]));
        // The sets of a whole window begin with its first row, wherever that stands.
        let (position, start) = (start, if state.is_some() { start } else { 0 });
        let (end, q) = (start + rows, new[0].clone());
        let (all, source) = match &mut state {
            None => (new, source),
            Some(state) => self.joined(new, source, state, end),
        };
        let [all_k, all_v] = [all[1].clone(), all[2].clone()];
        let summaries = self.summaries(all, source, state.as_deref(), (start, end));
        if let Some(state) = state {
            self.keep(state, &summaries, (start, end), [&all_k, &q]);
        }
        let turn = |x: Tensor<4>, start: usize| match &self.rotary {
            Some(rotary) => ops::rotary(x, start, rotary),
            None => x,
        };
        let direct = ListedPart {
            q: turn(q.clone(), position),
            k: turn(all_k, position - self.cover.kept_rows(start)[1]),
            v: all_v,
            rows: self.cover.direct(start),
        };
        let second = summaries.table.map(|[k, v]| ListedPart { q, k, v, rows: self.cover.summaries(start, end) });
        ops::listed(direct, second, scale)
    }

    /// New rows behind those that the state has kept; it keeps what positions from `end` on need.
    fn joined<'a>(
        &self,
        new: Heads,
        source: KeySource<'a>,
        state: &mut LayerState,
        end: usize,
    ) -> (Heads, KeySource<'a>) {
        let ([q, k, v], [own, all]) = (new, self.cover.kept_rows(end));
        let heads = [(ROWS[0], q, own), (ROWS[1], k, all), (ROWS[2], v, all)]
            .map(|(name, rows, keep)| state.push_rows(name, rows, keep));
        (heads, source.map(|(summary, input)| (summary, state.push_rows(INPUT, input, own))))
    }

    /// Keys and values of the sets that are read: those that were kept, and those that the new positions are the first to read.
    fn summaries(
        &self,
        all: Heads,
        source: KeySource<'_>,
        kept: Option<&LayerState>,
        (start, end): (usize, usize),
    ) -> Summaries {
        let (mut keys, mut values, mut growing) = (Vec::new(), Vec::new(), None);
        for group in self.cover.groups(start, end).into_iter().flatten() {
            let table = |name: &str| kept.and_then(|state| state.get::<4>(name)).filter(|_| group.kept > 0);
            if let [Some(k), Some(v)] = SUMMARIES.map(table) {
                keys.push(k.narrow(1, group.slots.0, group.kept));
                values.push(v.narrow(1, group.slots.0, group.kept));
            }
            if group.made == 0 {
                continue;
            }
            let before = table(SUMMARY_QUERY).filter(|_| group.grows);
            let [q, k, v] = match self.keys {
                Keys::Largest => largest(&group, all.clone(), before),
                keys => for_columns(&group, all.clone(), keys, source.clone()),
            };
            keys.push(k);
            values.push(v);
            if group.grows {
                growing = Some(last_rows(q, group.slots.1));
            }
        }
        let joined = |mut tables: Vec<Tensor<4>>| match tables.len() {
            0 | 1 => tables.pop(),
            _ => Some(Tensor::cat(tables, 1)),
        };
        Summaries { table: joined(keys).zip(joined(values)).map(|(k, v)| [k, v]), growing }
    }

    /// Keeps what later positions read of the summaries; `like` are tensors with the heads of keys and of summarised values.
    fn keep(&self, state: &mut LayerState, summaries: &Summaries, (start, end): (usize, usize), like: [&Tensor<4>; 2]) {
        let zeros = |rows: usize, like: &Tensor<4>| {
            let [_, _, heads, width] = like.dims();
            Tensor::<4>::zeros([1, rows, heads, width], (&like.device(), like.dtype()))
        };
        let pieces = self.cover.kept_summaries(start, end);
        for (index, (name, like)) in SUMMARIES.into_iter().zip(like).enumerate() {
            let piece = |(row, rows): &(Option<usize>, usize)| match (row, &summaries.table) {
                (Some(row), Some(tables)) => tables[index].clone().narrow(1, *row, *rows),
                _ => zeros(*rows, like),
            };
            let all = Tensor::cat(pieces.iter().map(piece).collect(), 1);
            state.set(name, if pieces.len() == 1 { copied(all) } else { all });
        }
        match &summaries.growing {
            Some(queries) => state.set(SUMMARY_QUERY, queries.clone()),
            None if self.cover.growing() > 0 && state.dims(SUMMARY_QUERY).is_none() => {
                state.set(SUMMARY_QUERY, zeros(self.cover.growing(), like[1]));
            }
            None => {}
        }
    }

    /// The rows with their sinusoids.
    pub(super) fn placed(&self, x: Tensor<3>, start: usize) -> Tensor<3> {
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
}

/// Largest queries of the sets that a group makes, their largest keys, and their values; `before` are largest queries of earlier rows.
fn largest(group: &Group, [q, k, v]: Heads, before: Option<Tensor<4>>) -> Heads {
    let scale = scale(&q);
    let q = match before {
        Some(before) => Tensor::cat(vec![before, q], 1),
        None => q,
    };
    let (from, members) = group.keys;
    let [k, v] = [k, v].map(|x| {
        if from > 0 {
            let rows = x.dims()[1] - from;
            x.narrow(1, from, rows)
        } else {
            x
        }
    });
    let of_query = ops::listed_maximum(q, group.queries, group.made);
    let of_key = ops::listed_maximum(k.clone(), members, group.made);
    let value = ops::listed(ListedPart { q: of_query.clone(), k, v, rows: members }, None, scale);
    [of_query, of_key, value]
}

/// The same where each set is a span, seen from one of its positions, whose query it takes.
fn for_columns(group: &Group, [q, k, v]: Heads, keys: Keys, source: KeySource<'_>) -> Heads {
    let (scale, made) = (scale(&q), group.made);
    let q = q.narrow(1, 0, made);
    let attend =
        |v: Tensor<4>| ops::listed(ListedPart { q: q.clone(), k: k.clone(), v, rows: group.keys.1 }, None, scale);
    let value = attend(v);
    let key = match (keys, source) {
        (Keys::Projected, Some((summary, input))) => {
            summary.forward(value.clone(), input.narrow(1, 0, made), k.dims()[2])
        }
        (Keys::Weighted, _) => attend(k.clone()),
        _ => k.clone().narrow(1, 0, made),
    };
    [q, key, value]
}

fn scale(q: &Tensor<4>) -> f32 {
    (q.dims()[3] as f64).powf(-0.5) as f32
}

fn last_rows(x: Tensor<4>, rows: usize) -> Tensor<4> {
    let first = x.dims()[1] - rows;
    copied(x.narrow(1, first, rows))
}

/// In a buffer of its own: a narrowed tensor would keep the whole one alive.
fn copied(x: Tensor<4>) -> Tensor<4> {
    let (device, dtype) = (x.device(), x.dtype());
    Tensor::from_data(x.into_data(), (&device, dtype))
}
