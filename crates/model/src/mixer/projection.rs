//! Query, key, value and output projections, shared by every attention mixer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::config::{Biases, KeyValue, ModelConfig, NormKind, RotaryLayers, RotaryLayout};
use crate::cost::LinearCall;
use crate::layers::{Bias, Linear, Norm};
use crate::ops::{self, Dropout, Rotary, Visibility};
use crate::rows::Rows;
use crate::schedule::LayerSpec;

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
    #[module(skip)]
    rotary: Option<Rotary>,
}

fn output_bias(config: &ModelConfig) -> Bias {
    match config.biases {
        Biases::None => Bias::Without,
        Biases::Paper => Bias::With,
    }
}

impl Projection {
    /// Zeros.
    pub fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let (dim, e) = (config.dim, config.head_dim());
        let (width, narrow) = (config.heads * e, config.key_value_heads() * e);
        let norm = |wanted: bool, kind| wanted.then(|| Norm::new(kind, e, config.norm_eps, device));
        Self {
            query: Linear::new(dim, width, Bias::Without, device),
            key: Linear::new(dim, narrow, Bias::Without, device),
            value: (config.key_value == KeyValue::Separate).then(|| Linear::new(dim, narrow, Bias::Without, device)),
            query_norm: norm(config.qk_norm, NormKind::Rms),
            key_norm: norm(config.qk_norm, NormKind::Rms),
            key_value_norm: norm(config.key_value_norm, NormKind::Layer),
            output: Linear::new(width, dim, output_bias(config), device),
            heads: config.heads,
            key_value_heads: config.key_value_heads(),
            rotary: rotary(config, layer),
        }
    }

    /// `x`: `[B, T, d]` from position `start`; returns `[B, T, H, e]`.
    pub fn queries(&self, x: Tensor<3>, start: usize) -> Tensor<4> {
        let q = split(self.query.forward(x), self.heads);
        let q = normalise(&self.query_norm, q);
        rotate(&self.rotary, q, start)
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

    /// Query heads H and key heads G.
    pub fn heads(&self) -> (usize, usize) {
        (self.heads, self.key_value_heads)
    }

    /// How queries and keys are rotated, if they are.
    pub fn rotary(&self) -> Option<Rotary> {
        self.rotary
    }

    /// Weights, by formula.
    pub fn parameters(config: &ModelConfig) -> u64 {
        let (dim, e) = (config.dim, config.head_dim());
        let (width, narrow) = (config.heads * e, config.key_value_heads() * e);
        let projections = if config.key_value == KeyValue::Separate { 2 } else { 1 };
        Linear::parameters(dim, width, Bias::Without)
            + projections * Linear::parameters(dim, narrow, Bias::Without)
            + if config.qk_norm { 2 * Norm::parameters(NormKind::Rms, e) } else { 0 }
            + if config.key_value_norm { Norm::parameters(NormKind::Layer, e) } else { 0 }
            + Self::output_parameters(config)
    }

    /// Weights of an output projection.
    pub fn output_parameters(config: &ModelConfig) -> u64 {
        Linear::parameters(config.heads * config.head_dim(), config.dim, output_bias(config))
    }

    /// A further output projection, of the same shape.
    pub fn new_output(config: &ModelConfig, device: &Device) -> Linear {
        Linear::new(config.heads * config.head_dim(), config.dim, output_bias(config), device)
    }

    /// Its linear maps for `queries` query rows and `keys` key rows.
    pub fn linears(config: &ModelConfig, queries: usize, keys: usize) -> Vec<LinearCall> {
        let (input, e) = (config.dim, config.head_dim());
        let key = LinearCall { rows: keys, input, output: config.key_value_heads() * e };
        let mut calls = vec![LinearCall { rows: queries, input, output: config.heads * e }, key];
        calls.extend((config.key_value == KeyValue::Separate).then_some(key));
        calls.push(Self::output_call(config, queries));
        calls
    }

    /// The output projection of so many rows.
    pub fn output_call(config: &ModelConfig, rows: usize) -> LinearCall {
        LinearCall { rows, input: config.heads * config.head_dim(), output: config.dim }
    }

    /// Numbers that one row of keys and values takes in a state.
    pub fn state_row(config: &ModelConfig) -> usize {
        2 * config.key_value_heads() * config.head_dim()
    }
}

fn rotary(config: &ModelConfig, layer: &LayerSpec) -> Option<Rotary> {
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
