//! Keys of summaries that are projections of their values.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::config::{ModelConfig, NormKind};
use crate::cost::{Call, LinearCall};
use crate::layers::{Bias, Linear, Norm};
use crate::mixer::projection::Projection;

/// `key = LayerNorm(value Wo + x) Wk`, where x is the input at the position that the summary is for: the authors' default for
/// *axial-rowmajor*. Its 2 d^2 weights are there beside those of attention.
#[derive(Module, Debug)]
pub struct SummaryKey {
    /// `[H e, d]`.
    pub out: Linear,
    /// Over d channels.
    pub norm: Norm,
    /// `[d, G e]`.
    pub key: Linear,
}

impl SummaryKey {
    pub(super) fn new(config: &ModelConfig, device: &Device) -> Self {
        let narrow = config.key_value_heads() * config.head_dim();
        Self {
            out: Projection::new_output(config, device),
            norm: Norm::new(NormKind::Layer, config.dim, config.norm_eps, device),
            key: Linear::new(config.dim, narrow, Bias::of_input(config.biases), device),
        }
    }

    /// `value [B, T, H, e]` and `input [B, T, d]`; returns `[B, T, groups, e]`.
    pub(super) fn forward(&self, value: Tensor<4>, input: Tensor<3>, groups: usize) -> Tensor<4> {
        let [batch, rows, heads, width] = value.dims();
        let out = self.out.forward(value.reshape([batch, rows, heads * width]));
        let key = self.key.forward(self.norm.forward(out + input));
        key.reshape([batch, rows, groups, width])
    }

    pub(super) fn parameters(config: &ModelConfig) -> u64 {
        let narrow = config.key_value_heads() * config.head_dim();
        Projection::output_parameters(config)
            + Norm::parameters(NormKind::Layer, config.dim)
            + Linear::parameters(config.dim, narrow, Bias::of_input(config.biases))
    }

    pub(super) fn calls(config: &ModelConfig, rows: usize) -> [Call; 2] {
        let output = config.key_value_heads() * config.head_dim();
        let key = LinearCall { rows, input: config.dim, output };
        [Projection::output_call(config, rows).into(), key.into()]
    }
}
