//! Initialisation: a function of (seed, path, shape) alone, so the same seed gives the same weights
//! whatever the order or the device.
//!
//! A sublayer may say how a weight of its own begins ([`crate::layer::Sublayer::initial`]). For all others:
//!
//! - `normal` (default): matrices normal(0, std), where the sublayer that holds one says std
//!   ([`crate::layer::Sublayer::initial_std`]): `init_std`, divided by sqrt(2 L) in the projections into the residual stream, as
//!   GPT-2 does; biases 0; norms 1 and 0.
//! - `pytorch`: what PyTorch leaves: embedding normal(0, 1); linear weights and biases
//!   uniform(+-1/sqrt(fan-in)); norms 1 and 0; other vectors as their sublayer makes them.
//! - `rwkv`, `rwkv-modules`: as `normal`, but embedding uniform(+-1e-4) and head orthogonal.

mod orthogonal;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal, StandardNormal, Uniform};
use sha2::{Digest, Sha256};

use crate::config::{Initialisation, LayerSpec, ModelConfig};
use crate::parameters;

/// How a weight begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Initial {
    /// As it was allocated: zeros, and ones for the norms.
    Keep,
    /// normal(0, std).
    Normal(f64),
    /// uniform(-bound, bound).
    Uniform(f64),
    /// A matrix whose rows, or columns where these are fewer, are orthogonal and of this length (arXiv 1312.6120).
    Orthogonal(f64),
    /// These elements.
    Values(Vec<f32>),
}

/// Fills every weight.
pub(crate) fn initialise<M: Module>(model: M, config: &ModelConfig, layers: &[LayerSpec], seed: u64) -> M {
    let shapes = parameters::collect(&model).into_iter().map(|(path, weight)| (path, weight.shape)).collect();
    parameters::map(model, |path, shape, tensor| {
        let (count, rng) = (shape.iter().product::<usize>(), random(seed, path));
        let values = match rule(path, shape, &shapes, (config, layers)) {
            Initial::Keep => return tensor,
            Initial::Normal(std) => sample(Normal::new(0.0, std as f32).ok(), rng, count),
            Initial::Uniform(bound) => sample(Uniform::new(-bound as f32, bound as f32).ok(), rng, count),
            Initial::Orthogonal(length) => sample(Normal::new(0.0, 1.0).ok(), rng, count)
                .map(|values| orthogonal::orthogonal(values, shape, length as f32)),
            Initial::Values(values) => Some(values),
        };
        match values {
            Some(values) => Tensor::from_data(TensorData::new(values, [count]), &tensor.device()),
            None => tensor,
        }
    })
}

fn rule(
    path: &str,
    shape: &[usize],
    shapes: &BTreeMap<String, Vec<usize>>,
    (config, layers): (&ModelConfig, &[LayerSpec]),
) -> Initial {
    let holder = LayerSpec::holding(layers, path);
    let own = holder.and_then(|(layer, contract, path)| (contract.initial)(config, layer, path, shape));
    if let Some(own) = own {
        return own;
    }
    let std = || holder.map_or(config.init_std, |(_, contract, path)| (contract.initial_std)(config, path, shape));
    match (config.initialisation, path) {
        (Initialisation::Pytorch, _) => pytorch_rule(path, shapes, config),
        (Initialisation::Rwkv | Initialisation::RwkvModules, "embedding.weight") => Initial::Uniform(1e-4),
        (Initialisation::Rwkv | Initialisation::RwkvModules, "head.weight") => {
            Initial::Orthogonal(0.5 * (config.vocab as f64 / config.dim as f64).sqrt().max(1.0))
        }
        _ if shape.len() == 1 => Initial::Keep,
        _ => Initial::Normal(std()),
    }
}

/// A bias has the fan-in of the matrix beside it.
fn pytorch_rule(path: &str, shapes: &BTreeMap<String, Vec<usize>>, config: &ModelConfig) -> Initial {
    let inputs = |path: &str| shapes.get(path).filter(|shape| shape.len() == 2).map(|shape| shape[0]);
    let fan_in = match path {
        "embedding.weight" => return Initial::Normal(1.0),
        "head.weight" | "head.bias" => config.dim,
        _ if path.contains("norm") => return Initial::Keep,
        _ if shapes.get(path).is_some_and(|shape| shape.len() == 1) && !path.ends_with("bias") => return Initial::Keep,
        _ => {
            let matrix = path.strip_suffix("bias").map(|module| format!("{module}weight"));
            inputs(path).or_else(|| inputs(&matrix?)).unwrap_or(config.dim)
        }
    };
    Initial::Uniform((fan_in as f64).powf(-0.5))
}

fn random(seed: u64, path: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(path.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Values of normal(0, std) for the weight at a path, without those beyond two standard deviations.
pub(crate) fn truncated_normal(seed: u64, path: &str, std: f64, count: usize) -> Vec<f32> {
    let rng = random(seed, path);
    let values = StandardNormal.sample_iter(rng).filter(|value: &f32| value.abs() <= 2.0);
    values.take(count).map(|value| value * std as f32).collect()
}

fn sample(distribution: Option<impl Distribution<f32>>, rng: ChaCha8Rng, count: usize) -> Option<Vec<f32>> {
    distribution.map(|distribution| distribution.sample_iter(rng).take(count).collect())
}
