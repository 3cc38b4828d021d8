//! How the authors begin the weights of RWKV-4 (RWKV-v4neo/src/model.py) and of RWKV-7 (RWKV-v7/train_temp/src/model.py).

use crate::config::{Initialisation, LayerSpec, ModelConfig};
use crate::init::Initial;

/// Where a channel and a layer stand, as the authors' rules count.
pub(crate) struct Schedule {
    dim: usize,
    /// l / L.
    pub(crate) share_of_depth: f64,
    /// l / (L - 1); 0 in a model of one layer.
    pub(crate) depth: f64,
}

impl Schedule {
    pub(crate) fn of(config: &ModelConfig, layer: &LayerSpec) -> Self {
        let (index, layers) = (layer.index as f64, config.depth as f64);
        Self { dim: config.dim, share_of_depth: index / layers, depth: index / (layers - 1.0).max(1.0) }
    }

    /// (i / d)^(1 - l / L).
    pub(crate) fn share(&self, channel: usize) -> f64 {
        (channel as f64 / self.dim as f64).powf(1.0 - self.share_of_depth)
    }

    /// From 0 at the first channel to 1 at the last.
    pub(crate) fn along(&self, channel: usize) -> f64 {
        channel as f64 / (self.dim.max(2) - 1) as f64
    }

    /// A value for each channel.
    pub(crate) fn values(&self, value: &dyn Fn(usize) -> f64) -> Initial {
        Initial::Values((0..self.dim).map(|channel| value(channel) as f32).collect())
    }
}

/// The rule for a matrix of RWKV-4: those named `orthogonal` are, all others are zero.
pub(crate) fn matrix(config: &ModelConfig, path: &str, orthogonal: &str) -> Option<Initial> {
    match config.initialisation {
        Initialisation::Normal | Initialisation::Pytorch => None,
        Initialisation::Rwkv | Initialisation::RwkvModules if path == orthogonal => {
            let gain = if path.starts_with("key") { config.hidden_dim() as f64 / config.dim as f64 } else { 1.0 };
            Some(Initial::Orthogonal(gain.max(1.0).sqrt()))
        }
        // Zeros, and the ones of a norm.
        Initialisation::Rwkv | Initialisation::RwkvModules => Some(Initial::Keep),
    }
}

/// The rule for a matrix of RWKV-7, of this size beside the others'; 0 for what leads into the residual stream.
pub(crate) fn matrix7(config: &ModelConfig, size: f64) -> Option<Initial> {
    match config.initialisation {
        Initialisation::Normal | Initialisation::Pytorch => None,
        Initialisation::Rwkv | Initialisation::RwkvModules if size == 0.0 => Some(Initial::Keep),
        Initialisation::Rwkv => Some(Initial::Orthogonal(size)),
        Initialisation::RwkvModules => Some(Initial::Uniform(0.5 * size / (config.dim as f64).sqrt())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(index: usize, depth: usize) -> Schedule {
        let config = ModelConfig { dim: 5, depth, vocab: 9, ..ModelConfig::default() };
        Schedule::of(&config, &config.layer_specs().unwrap()[index])
    }

    #[test]
    fn channels_and_layers_count_as_the_authors_do() {
        let (first, last, only) = (rule(0, 4), rule(3, 4), rule(0, 1));
        assert_eq!((first.share(2), first.depth, last.depth, only.depth), (0.4, 0.0, 1.0, 0.0));
        assert!((last.share(2) - 0.4f64.powf(0.25)).abs() < 1e-12);
        assert_eq!((first.along(0), first.along(4)), (0.0, 1.0));
    }
}
