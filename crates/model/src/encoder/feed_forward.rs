//! The feed-forward sublayers of BERT, and of GroupBERT (arXiv 2106.05822) with its grouped map.
//!
//! down(gelu(up(x))), and output(groups(gelu(up(x)))): out of the h hidden channels by a map in G groups, each h / G -> d / G channels, and
//! then by a dense one, which alone mixes the groups.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. Weights at h = 4 d: 8 d^2; 6 d^2 in 4 groups.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{EncoderConfig, Padding, Sublayer};
use crate::cost::{Call, LinearCall};
use crate::layers::{Bias, GroupedLinear, GroupedShape, Linear};
use crate::ops;

/// BERT's feed-forward sublayer.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[d, hidden]`.
    pub up: Linear,
    /// `[hidden, d]`.
    pub down: Linear,
}

impl Sublayer for FeedForward {
    fn new(config: &EncoderConfig, device: &Device) -> Self {
        let (dim, hidden) = (config.dim, config.hidden_dim());
        Self { up: Linear::new(dim, hidden, Bias::With, device), down: Linear::new(hidden, dim, Bias::With, device) }
    }

    fn parameters(config: &EncoderConfig) -> u64 {
        let (dim, hidden) = (config.dim, config.hidden_dim());
        Linear::parameters(dim, hidden, Bias::With) + Linear::parameters(hidden, dim, Bias::With)
    }

    fn work(config: &EncoderConfig, rows: usize) -> Vec<Call> {
        let (dim, hidden) = (config.dim, config.hidden_dim());
        let calls = [(dim, hidden), (hidden, dim)];
        calls.map(|(input, output)| LinearCall { rows, input, output }.into()).into()
    }

    /// Its input, and the hidden channels before and after the activation.
    fn kept(config: &EncoderConfig) -> u64 {
        (config.dim + 2 * config.hidden_dim()) as u64
    }

    fn mix(&self, x: Tensor<3>, _padding: &Padding) -> Tensor<3> {
        self.down.forward(ops::gelu(self.up.forward(x)))
    }
}

/// GroupBERT's feed-forward sublayer.
#[derive(Module, Debug)]
pub struct GroupedFeedForward {
    /// `[d, hidden]`.
    pub up: Linear,
    /// `[hidden / G, d]`.
    pub down: GroupedLinear,
    /// `[d, d]`.
    pub output: Linear,
}

fn shape(config: &EncoderConfig) -> GroupedShape {
    GroupedShape { inputs: config.hidden_dim(), outputs: config.dim, groups: config.groups, width: 1 }
}

impl Sublayer for GroupedFeedForward {
    fn new(config: &EncoderConfig, device: &Device) -> Self {
        let (dim, hidden) = (config.dim, config.hidden_dim());
        Self {
            up: Linear::new(dim, hidden, Bias::With, device),
            down: GroupedLinear::new(shape(config), Bias::With, device),
            output: Linear::new(dim, dim, Bias::With, device),
        }
    }

    fn parameters(config: &EncoderConfig) -> u64 {
        let (dim, hidden) = (config.dim, config.hidden_dim());
        Linear::parameters(dim, hidden, Bias::With)
            + shape(config).parameters(Bias::With)
            + Linear::parameters(dim, dim, Bias::With)
    }

    fn work(config: &EncoderConfig, rows: usize) -> Vec<Call> {
        let (dim, hidden) = (config.dim, config.hidden_dim());
        let up = LinearCall { rows, input: dim, output: hidden };
        vec![up.into(), shape(config).call(rows), LinearCall { rows, input: dim, output: dim }.into()]
    }

    /// Its input, the hidden channels before and after the activation, and what enters the output.
    fn kept(config: &EncoderConfig) -> u64 {
        (2 * config.dim + 2 * config.hidden_dim()) as u64
    }

    fn mix(&self, x: Tensor<3>, _padding: &Padding) -> Tensor<3> {
        self.output.forward(self.down.forward(ops::gelu(self.up.forward(x))))
    }
}
