//! Query, key, value and output projections, shared by every attention mixer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_random::mix;

use crate::config::{KeyValue, LayerSpec, ModelConfig, NormKind, Objective, RotaryLayers, RotaryLayout};
use crate::cost::{Call, LinearCall};
use crate::layer::{Activations, LayerState, Rows, StateTensor, Windowing};
use crate::layers::{Bias, Linear, Norm};
use crate::ops::{self, Dropout, Pattern, Rotary, Visibility};

/// Name of the keys in a state.
const KEY: &str = "key";
/// Name of the values in a state.
const VALUE: &str = "value";

/// q = x Wq, k = x Wk, v = x Wv (or one projection for key and value), with optional norms and rotation.
#[derive(Module, Debug)]
pub struct Projection {
    /// `[d, H e]`.
    pub query: Linear,
    /// `[d, G e]`; serves as value too where there is no `value`.
    pub key: Linear,
    /// `[d, G e]`.
    pub value: Option<Linear>,
    /// Over the e channels of a query head.
    pub query_norm: Option<Norm>,
    /// Over the e channels of a key head.
    pub key_norm: Option<Norm>,
    /// Over the e channels of the shared key/value, after the rotation.
    pub key_value_norm: Option<Norm>,
    /// `[H e, d]`.
    pub output: Linear,
    heads: usize,
    key_value_heads: usize,
    /// How many positions on from its own a row's query asks.
    aim: usize,
    #[module(skip)]
    rotary: Option<Rotary>,
}

impl Projection {
    /// Zeros.
    pub fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let (dim, e) = (config.dim, config.head_dim());
        let (width, narrow) = (config.heads * e, config.key_value_heads() * e);
        let norm = |wanted: bool, kind| wanted.then(|| Norm::new(kind, e, config.norm_eps, device));
        let linear = |outputs| Linear::new(dim, outputs, Bias::of_input(config.biases), device);
        Self {
            query: linear(width),
            key: linear(narrow),
            value: (config.key_value == KeyValue::Separate).then(|| linear(narrow)),
            query_norm: norm(config.qk_norm, NormKind::Rms),
            key_norm: norm(config.qk_norm, NormKind::Rms),
            key_value_norm: norm(config.key_value_norm, NormKind::Layer),
            output: Linear::new(width, dim, Bias::of(config.biases), device),
            heads: config.heads,
            key_value_heads: config.key_value_heads(),
            aim: aim(config, layer),
            rotary: rotary(config, layer),
        }
    }

    /// `x`: `[B, T, d]` from position `start`; returns `[B, T, H, e]`.
    pub fn queries(&self, x: Tensor<3>, start: usize) -> Tensor<4> {
        rotate(&self.rotary, self.unrotated(x), start + self.aim)
    }

    fn unrotated(&self, x: Tensor<3>) -> Tensor<4> {
        normalise(&self.query_norm, split(self.query.forward(x), self.heads))
    }

    /// Queries of the rows from position `start` on, rotated as if they stood `offset` positions further on; what would stand before
    /// position 0 stays as it is.
    fn turned(&self, q: Tensor<4>, start: usize, offset: isize) -> Tensor<4> {
        let rows = q.dims()[1];
        match start.checked_add_signed(offset) {
            Some(start) => rotate(&self.rotary, q, start),
            None => {
                let before = (offset.unsigned_abs() - start).min(rows);
                let parts = [(0, before), (before, rows - before)].map(|(from, rows)| q.clone().narrow(1, from, rows));
                let [outside, inside] = parts;
                if before == rows { outside } else { Tensor::cat(vec![outside, rotate(&self.rotary, inside, 0)], 1) }
            }
        }
    }

    /// `x`: `[B, T, d]` from position `start`; returns keys and values, `[B, T, G, e]` each.
    pub fn keys_values(&self, x: Tensor<3>, start: usize) -> (Tensor<4>, Tensor<4>) {
        let k = split(self.key.forward(x.clone()), self.key_value_heads);
        let k = normalise(&self.key_norm, k);
        let k = normalise(&self.key_value_norm, rotate(&self.rotary, k, start));
        let v = match &self.value {
            Some(value) => split(value.forward(x), self.key_value_heads),
            None => k.clone(),
        };
        (k, v)
    }

    /// Attention of `[B, Tq, H, e]` over `[B, Tk, G, e]`, heads joined: `[B, Tq, H e]`.
    pub fn attend(
        &self,
        q: Tensor<4>,
        (k, v): (Tensor<4>, Tensor<4>),
        visibility: &Visibility,
        dropout: Option<Dropout>,
    ) -> Tensor<3> {
        let [batch, rows, heads, channels] = q.dims();
        let scale = (channels as f64).powf(-0.5) as f32;
        ops::attention(q, k, v, visibility, scale, dropout).reshape([batch, rows, heads * channels])
    }

    /// [`Projection::attend`] where equal shares of the heads have a rule each; queries and keys begin at these positions.
    pub(super) fn attend_shares(
        &self,
        q: Tensor<4>,
        pair: (Tensor<4>, Tensor<4>),
        patterns: &[Pattern],
        [query_start, key_start]: [usize; 2],
        dropout: Option<Dropout>,
    ) -> Tensor<3> {
        let visibility = |pattern| Visibility { pattern, query_start, key_start };
        if let [pattern] = patterns {
            return self.attend(q, pair, &visibility(*pattern), dropout);
        }
        let attend = |(index, pattern): (usize, &Pattern)| {
            let part = |t: &Tensor<4>| {
                let share = t.dims()[2] / patterns.len();
                t.clone().narrow(2, index * share, share)
            };
            let dropout = dropout.map(|d| Dropout { rate: d.rate, seed: mix(d.seed ^ index as u64) });
            self.attend(part(&q), (part(&pair.0), part(&pair.1)), &visibility(*pattern), dropout)
        };
        Tensor::cat(patterns.iter().enumerate().map(attend).collect(), 2)
    }

    /// What attention by these rules gives to rows that ask `offsets` on, `[B, rows, H e]` each; the state keeps the last `keep` keys.
    pub(super) fn ask(
        &self,
        x: Tensor<3>,
        offsets: &[isize],
        (state, keep): (Option<&mut LayerState>, usize),
        patterns: &[Pattern],
        (start, dropout): (usize, Option<Dropout>),
    ) -> Vec<Tensor<3>> {
        let (pair, before) = extend(self.keys_values(x.clone(), start), state, keep);
        let q = self.unrotated(x);
        let ask = |&offset: &isize| {
            let dropout = dropout.map(|d| Dropout { rate: d.rate, seed: mix(d.seed ^ offset as u64) });
            let q = self.turned(q.clone(), start, offset);
            self.attend_shares(q, pair.clone(), patterns, [start, start - before], dropout)
        };
        offsets.iter().map(ask).collect()
    }

    /// Query heads H and key heads G.
    pub fn heads(&self) -> (usize, usize) {
        (self.heads, self.key_value_heads)
    }

    /// How queries and keys are rotated, if they are.
    pub fn rotary(&self) -> Option<Rotary> {
        self.rotary
    }

    /// How many positions on from its own a row's query asks.
    pub fn aim(&self) -> usize {
        self.aim
    }

    /// Weights, by formula.
    pub fn parameters(config: &ModelConfig) -> u64 {
        let (dim, e) = (config.dim, config.head_dim());
        let (width, narrow) = (config.heads * e, config.key_value_heads() * e);
        let projections = if config.key_value == KeyValue::Separate { 2 } else { 1 };
        let bias = Bias::of_input(config.biases);
        Linear::parameters(dim, width, bias)
            + projections * Linear::parameters(dim, narrow, bias)
            + if config.qk_norm { 2 * Norm::parameters(NormKind::Rms, e) } else { 0 }
            + if config.key_value_norm { Norm::parameters(NormKind::Layer, e) } else { 0 }
            + Self::output_parameters(config)
    }

    /// Weights of an output projection.
    pub fn output_parameters(config: &ModelConfig) -> u64 {
        Linear::parameters(config.heads * config.head_dim(), config.dim, Bias::of(config.biases))
    }

    /// A further output projection, of the same shape.
    pub fn new_output(config: &ModelConfig, device: &Device) -> Linear {
        Linear::new(config.heads * config.head_dim(), config.dim, Bias::of(config.biases), device)
    }

    /// The linear maps of queries, keys and values, for `queries` query rows and `keys` key rows.
    pub fn input_calls(config: &ModelConfig, queries: usize, keys: usize) -> Vec<Call> {
        let (input, e) = (config.dim, config.head_dim());
        let key = LinearCall { rows: keys, input, output: config.key_value_heads() * e };
        let mut calls = vec![LinearCall { rows: queries, input, output: config.heads * e }.into(), key.into()];
        calls.extend((config.key_value == KeyValue::Separate).then_some(Call::from(key)));
        calls
    }

    /// The output projection of so many rows.
    pub fn output_call(config: &ModelConfig, rows: usize) -> LinearCall {
        LinearCall { rows, input: config.heads * config.head_dim(), output: config.dim }
    }

    /// All of its linear maps.
    pub fn calls(config: &ModelConfig, queries: usize, keys: usize) -> Vec<Call> {
        let mut calls = Self::input_calls(config, queries, keys);
        calls.push(Self::output_call(config, queries).into());
        calls
    }

    /// The state of keys and values: `kept` rows now, `most` at any length.
    pub fn state(config: &ModelConfig, kept: usize, most: usize) -> Vec<StateTensor> {
        let row = [config.key_value_heads(), config.head_dim()];
        [KEY, VALUE].map(|name| StateTensor::key_value(name, (kept, most), row)).into()
    }

    /// How a stream goes on: rotated values (authors' code) carry absolute positions and were trained on 0 .. n only.
    pub fn windowing(config: &ModelConfig, stride: usize) -> Windowing {
        match config.key_value == KeyValue::Shared && config.rotary != RotaryLayers::None {
            true => Windowing::Sliding { stride },
            false => Windowing::Carried,
        }
    }

    /// The authors' names of its modules.
    pub fn paper_names(module: &str) -> &'static [&'static str] {
        match module {
            "projection.query" => &["to_q"],
            "projection.key" => &["to_kv"],
            "projection.key_value_norm" => &["norm"],
            "projection.output" => &["to_out", "w_out"],
            _ => &[],
        }
    }

    /// What training holds: per row the input, its norm, keys and values (with their unnormalised form), and per query row
    /// the query (likewise) and the attention's output; `parts` are elements of copies of parts, and of parts joined.
    /// Gradients flow back to queries, keys and values, their contributions to the normalised rows, and the residual;
    /// where attention reads parts of the tensors, to those of the parts, each as long as the whole.
    pub fn activations(
        config: &ModelConfig,
        (rows, after): (Rows, Rows),
        score_entries: u64,
        parts: usize,
    ) -> Activations {
        let (width, narrow) = (config.heads * config.head_dim(), config.key_value_heads() * config.head_dim());
        let forms = 1 + usize::from(config.qk_norm);
        let key_value = match config.key_value {
            KeyValue::Separate => (1 + forms) * narrow,
            KeyValue::Shared => (1 + usize::from(config.key_value_norm)) * narrow,
        };
        let of_parts = if parts > 0 { width + 2 * narrow } else { 0 };
        Activations {
            kept: (rows.len() * (2 * config.dim + key_value) + after.len() * (forms + 1) * width + parts) as u64,
            unfused: (3 * config.heads as u64).saturating_mul(score_entries),
            flow: (rows.len() * (4 * config.dim + 2 * narrow + of_parts) + after.len() * width) as u64,
        }
    }
}

/// The last layer of an order-agnostic model asks for the position that it predicts, all others for their own.
fn aim(config: &ModelConfig, layer: &LayerSpec) -> usize {
    usize::from(config.objective == Objective::OrderAgnostic && layer.index + 1 == config.depth)
}

/// How a layer rotates, as `model.rotary` says.
pub(super) fn rotary(config: &ModelConfig, layer: &LayerSpec) -> Option<Rotary> {
    let rotates = match config.rotary {
        RotaryLayers::All => true,
        RotaryLayers::First => layer.index == 0,
        RotaryLayers::None => false,
    };
    (rotates && config.rotary_channels() > 0).then(|| Rotary {
        base: config.rotary_base,
        channels: config.rotary_channels(),
        layout: match config.rotary_layout {
            RotaryLayout::HalfSplit => ops::RotaryLayout::HalfSplit,
            RotaryLayout::Interleaved => ops::RotaryLayout::Interleaved,
        },
    })
}

/// Joins new keys and values `[1, T, G, e]` to those of the state, which keeps the last `keep`; returns all of them, and how
/// many came from the state.
pub(super) fn extend(
    (keys, values): (Tensor<4>, Tensor<4>),
    state: Option<&mut LayerState>,
    keep: usize,
) -> ((Tensor<4>, Tensor<4>), usize) {
    let Some(state) = state else { return ((keys, values), 0) };
    let before = state.row_count(KEY);
    ((state.push_rows(KEY, keys, keep), state.push_rows(VALUE, values, keep)), before)
}

fn split(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, rows, width] = x.dims();
    x.reshape([batch, rows, heads, width / heads])
}

fn normalise(norm: &Option<Norm>, x: Tensor<4>) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

fn rotate(rotary: &Option<Rotary>, x: Tensor<4>, start: usize) -> Tensor<4> {
    match rotary {
        Some(rotary) => ops::rotary(x, start, rotary),
        None => x,
    }
}

/// The last `rows.latents` rows of `x`.
pub(super) fn latents(x: Tensor<3>, rows: Rows) -> Tensor<3> {
    if rows.history == 0 { x } else { x.narrow(1, rows.history, rows.latents) }
}
