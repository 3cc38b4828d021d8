//! Initial weights: a function of seed, path and shape alone.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use super::EncoderConfig;
use crate::{init, parameters};

/// Matrices are drawn from a normal distribution without what lies beyond two standard deviations (arXiv 1810.04805); biases are 0, norms
/// 1 and 0. A tap of the convolution is one of w s that are added.
pub(super) fn initialise<M: Module>(model: M, config: &EncoderConfig, seed: u64) -> M {
    parameters::map(model, |path, shape, tensor| {
        if shape.len() < 2 {
            return tensor;
        }
        let std = if path.ends_with("convolution.weight") { (shape[0] as f64).powf(-0.5) } else { config.init_std };
        let count = shape.iter().product();
        let values = init::truncated_normal(seed, path, std, count);
        Tensor::from_data(TensorData::new(values, [count]), &tensor.device())
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::Encoder;
    use super::*;

    #[test]
    fn nothing_lies_beyond_two_standard_deviations() {
        let config = EncoderConfig { vocab: 99, dim: 64, depth: 1, context: 8, ..EncoderConfig::default() };
        let draw = |seed| parameters::collect(&Encoder::new(&config, seed, &Device::default()).unwrap());
        let (weights, again, others) = (draw(1), draw(1), draw(2));
        let values = |weights: &std::collections::BTreeMap<String, parameters::NamedTensor>, path: &str| {
            weights[path].data.clone().into_data().iter::<f32>().collect::<Vec<_>>()
        };
        for (path, std) in [("embeddings.word", 0.02), ("layers.0.sublayers.0.convolution.weight", 112f32.powf(-0.5))] {
            let drawn = values(&weights, path);
            assert!(drawn.iter().all(|value| value.abs() <= 2.0 * std));
            let variance = drawn.iter().map(|value| value * value).sum::<f32>() / drawn.len() as f32;
            // What is left of a normal distribution within two standard deviations.
            assert!((variance / (std * std) - 0.774).abs() < 0.05, "{path}: {variance}");
            assert_eq!(drawn, values(&again, path));
            assert_ne!(drawn, values(&others, path));
        }
        assert!(values(&weights, "layers.0.norms.1.gamma").iter().all(|gamma| *gamma == 1.0));
    }
}
