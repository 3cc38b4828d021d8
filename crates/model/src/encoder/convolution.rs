//! GroupBERT's convolution sublayer (Chelombiev et al., arXiv 2106.05822), which looks to both sides.
//!
//! x W in two halves a and b; g = sigmoid(a) b; c_t = sum over |i| <= (w - 1) / 2 of g_(t + i) K_i in groups of channels that do not mix,
//! with zeros in place of padding and beyond the ends; y = silu(norm(c)) W_out.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. Cost per token 3 d^2 + w s d for groups of s channels. [`crate::mixer`] has a causal form of it.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{EncoderConfig, Padding, Sublayer};
use crate::config::NormKind;
use crate::cost::{Call, LinearCall};
use crate::layers::{Bias, GroupedLinear, GroupedShape, Linear, Norm};
use crate::ops;

/// Grouped convolution between a gate and a norm.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[d, 2 d]`: the gate, and what it lets through.
    pub input: Linear,
    /// `[w s, d]`, the last row first.
    pub convolution: GroupedLinear,
    /// After the convolution.
    pub norm: Norm,
    /// `[d, d]`.
    pub output: Linear,
    width: usize,
}

fn shape(config: &EncoderConfig) -> GroupedShape {
    let (dim, width) = (config.dim, config.conv_width);
    GroupedShape { inputs: dim, outputs: dim, groups: dim / config.conv_group, width }
}

impl Sublayer for Convolution {
    fn new(config: &EncoderConfig, device: &Device) -> Self {
        let dim = config.dim;
        Self {
            input: Linear::new(dim, 2 * dim, Bias::With, device),
            convolution: GroupedLinear::new(shape(config), Bias::With, device),
            norm: Norm::new(NormKind::Layer, dim, config.norm_eps, device),
            output: Linear::new(dim, dim, Bias::With, device),
            width: config.conv_width,
        }
    }

    fn parameters(config: &EncoderConfig) -> u64 {
        let dim = config.dim;
        Linear::parameters(dim, 2 * dim, Bias::With)
            + shape(config).parameters(Bias::With)
            + Norm::parameters(NormKind::Layer, dim)
            + Linear::parameters(dim, dim, Bias::With)
    }

    fn work(config: &EncoderConfig, rows: usize) -> Vec<Call> {
        let dim = config.dim;
        let input = LinearCall { rows, input: dim, output: 2 * dim };
        vec![
            input.into(),
            shape(config).call(rows + beyond(config.conv_width)),
            LinearCall { output: dim, ..input }.into(),
        ]
    }

    /// Its input, the two halves, what the gate lets through, what is convolved before and after the norm, and what enters the output.
    fn kept(config: &EncoderConfig) -> u64 {
        8 * config.dim as u64
    }

    fn mix(&self, x: Tensor<3>, padding: &Padding) -> Tensor<3> {
        let halves = self.input.forward(x);
        let [batch, rows, both] = halves.dims();
        let half = |which: usize| halves.clone().narrow(2, which * both / 2, both / 2);
        let gated = padding.cleared(ops::glu(half(0), half(1)));
        // The kernel looks back only: rows of zeros behind the last one move its view to the middle.
        let beyond = beyond(self.width);
        let zeros = Tensor::zeros([batch, beyond, both / 2], (&gated.device(), gated.dtype()));
        let moved = if beyond == 0 { gated } else { Tensor::cat(vec![gated, zeros], 1) };
        let mixed = self.norm.forward(self.convolution.forward(moved).narrow(1, beyond, rows));
        self.output.forward(ops::glu(mixed.clone(), mixed))
    }
}

/// Rows that are seen on either side.
fn beyond(width: usize) -> usize {
    (width - 1) / 2
}
