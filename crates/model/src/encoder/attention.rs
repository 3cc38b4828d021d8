//! Self-attention in both directions (Vaswani et al., arXiv 1706.03762), as in BERT.
//!
//! out = concat over heads of softmax(q K^T / sqrt(e)) V over all tokens of the sequence, times W_out.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. Weights 4 d^2. Cost per token 4 d^2 + 2 T d.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{EncoderConfig, Padding, Sublayer};
use crate::cost::{AttentionCall, Call, LinearCall};
use crate::layers::{Bias, Linear};
use crate::ops::{self, Pattern, Visibility};

/// Self-attention in both directions.
#[derive(Module, Debug)]
pub struct SelfAttention {
    /// `[d, d]`.
    pub query: Linear,
    /// `[d, d]`.
    pub key: Linear,
    /// `[d, d]`.
    pub value: Linear,
    /// `[d, d]`.
    pub output: Linear,
    heads: usize,
}

impl Sublayer for SelfAttention {
    fn new(config: &EncoderConfig, device: &Device) -> Self {
        let map = || Linear::new(config.dim, config.dim, Bias::With, device);
        Self { query: map(), key: map(), value: map(), output: map(), heads: config.heads }
    }

    fn parameters(config: &EncoderConfig) -> u64 {
        4 * Linear::parameters(config.dim, config.dim, Bias::With)
    }

    fn work(config: &EncoderConfig, rows: usize) -> Vec<Call> {
        let (heads, width) = (config.heads, config.dim / config.heads);
        let visibility = Visibility::new(Pattern::Everything);
        let map: Call = LinearCall { rows, input: config.dim, output: config.dim }.into();
        vec![map, map, map, AttentionCall { queries: rows, keys: rows, heads, width, visibility }.into(), map]
    }

    /// Its input, queries, keys and values, and what they give.
    fn kept(config: &EncoderConfig) -> u64 {
        5 * config.dim as u64
    }

    fn mix(&self, x: Tensor<3>, padding: &Padding) -> Tensor<3> {
        let [batch, rows, dim] = x.dims();
        let width = dim / self.heads;
        let split = |map: &Linear| map.forward(x.clone()).reshape([batch, rows, self.heads, width]);
        let [q, k, v] = [&self.query, &self.key, &self.value].map(split);
        let scale = (width as f64).powf(-0.5) as f32;
        let attend = |(sequences, length)| {
            let part = |x: &Tensor<4>, rows| take(x, &sequences, rows);
            let visibility = Visibility::new(Pattern::Everything);
            ops::attention(part(&q, rows), part(&k, length), part(&v, length), &visibility, scale, None)
        };
        let mut parts: Vec<Tensor<4>> = padding.runs().into_iter().map(attend).collect();
        let mixed = if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 0) };
        self.output.forward(mixed.reshape([batch, rows, dim]))
    }
}

/// The first rows of some sequences.
fn take(x: &Tensor<4>, sequences: &std::ops::Range<usize>, rows: usize) -> Tensor<4> {
    match x.dims() {
        [batch, all, ..] if (batch, all) == (sequences.len(), rows) => x.clone(),
        _ => x.clone().narrow(0, sequences.start, sequences.len()).narrow(1, 0, rows),
    }
}
