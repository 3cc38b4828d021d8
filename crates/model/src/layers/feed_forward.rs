//! The feed-forward sublayer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Bias, Linear, Norm};
use crate::config::{Biases, FeedForwardKind, ModelConfig};
use crate::cost::LinearCall;
use crate::ops;
use crate::rows::{LayerContext, Place};

/// SwiGLU: down(silu(gate(x)) * up(x)). GELU: down(gelu(up(x))).
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[d, hidden]`; its presence makes this a SwiGLU.
    pub gate: Option<Linear>,
    /// `[d, hidden]`.
    pub up: Linear,
    /// `[hidden, d]`.
    pub down: Linear,
    dropout: f32,
}

fn bias(config: &ModelConfig) -> Bias {
    match config.biases {
        Biases::None => Bias::Without,
        Biases::Paper => Bias::With,
    }
}

impl FeedForward {
    /// Zeros.
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        let (dim, hidden, bias) = (config.dim, config.hidden_dim(), bias(config));
        Self {
            gate: (config.feed_forward == FeedForwardKind::Swiglu).then(|| Linear::new(dim, hidden, bias, device)),
            up: Linear::new(dim, hidden, bias, device),
            down: Linear::new(hidden, dim, bias, device),
            dropout: config.feed_forward_dropout,
        }
    }

    /// `x`: `[B, T, d]`; returns `x` plus the sublayer's output on `norm(x)`.
    pub fn forward(&self, x: Tensor<3>, norm: &Norm, context: &LayerContext) -> Tensor<3> {
        let parameters = ops::FeedForward {
            gamma: norm.gamma.val(),
            beta: norm.beta.as_ref().map(|beta| beta.val()),
            eps: norm.eps,
            gate: self.gate.as_ref().map(Linear::values),
            up: self.up.values(),
            down: self.down.values(),
        };
        ops::feed_forward(x, parameters, context.dropout(self.dropout, Place::FeedForward))
    }

    /// Weights, by formula.
    pub fn parameters(config: &ModelConfig) -> u64 {
        let (dim, hidden, bias) = (config.dim, config.hidden_dim(), bias(config));
        let inputs = if config.feed_forward == FeedForwardKind::Swiglu { 2 } else { 1 };
        inputs * Linear::parameters(dim, hidden, bias) + Linear::parameters(hidden, dim, bias)
    }

    /// Its linear maps over `rows` rows.
    pub fn linears(config: &ModelConfig, rows: usize) -> Vec<LinearCall> {
        let (dim, hidden) = (config.dim, config.hidden_dim());
        let inner = LinearCall { rows, input: dim, output: hidden };
        let outer = LinearCall { rows, input: hidden, output: dim };
        match config.feed_forward {
            FeedForwardKind::Swiglu => vec![inner, inner, outer],
            FeedForwardKind::Gelu => vec![inner, outer],
        }
    }
}
