//! One block: mixer and feed-forward sublayer, pre-norm, with residuals.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::config::ModelConfig;
use crate::layers::{FeedForward, Norm};
use crate::mixer::AnyMixer;
use crate::ops;
use crate::rows::LayerContext;
use crate::schedule::LayerSpec;
use crate::state::MixerState;

/// x = residual(x) + mixer(norm(x)); x = x + feed_forward(norm(x)).
#[derive(Module, Debug)]
pub struct Block {
    /// Before the mixer.
    pub mixer_norm: Norm,
    /// The mixer.
    pub mixer: AnyMixer,
    /// Before the feed-forward sublayer.
    pub feed_forward_norm: Norm,
    /// The feed-forward sublayer.
    pub feed_forward: FeedForward,
}

impl Block {
    /// Zeros, with the norms at one.
    pub fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let norm = || Norm::new(config.norm, config.dim, config.norm_eps, device);
        Self {
            mixer_norm: norm(),
            mixer: layer.kind.build(config, layer, device),
            feed_forward_norm: norm(),
            feed_forward: FeedForward::new(config, device),
        }
    }

    /// `x`: `[B, rows, d]`; returns `[B, rows_after, d]`.
    pub fn forward(&self, x: Tensor<3>, state: Option<&mut MixerState>, context: &LayerContext) -> Tensor<3> {
        let mixed = self.mixer.mix(self.mixer_norm.forward(x.clone()), state, context);
        let x = ops::add(mixed, self.mixer.residual(x, context.rows));
        self.feed_forward.forward(x, &self.feed_forward_norm, context)
    }

    /// Weights, by formula.
    pub fn parameters(config: &ModelConfig, layer: &LayerSpec) -> u64 {
        2 * Norm::parameters(config.norm, config.dim)
            + layer.kind.parameters(config, layer)
            + FeedForward::parameters(config)
    }
}
