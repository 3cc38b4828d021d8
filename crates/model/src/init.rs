//! Initialisation: a function of (seed, path, shape) alone, so the same seed gives the same weights
//! whatever the order or the device.
//!
//! - `normal` (default): matrices normal(0, std), where the sublayer that holds one says std
//!   ([`crate::layer::Sublayer::initial_std`]): `init_std`, divided by sqrt(2 L) in the projections into the residual stream, as
//!   GPT-2 does; biases 0; norms 1 and 0.
//! - `pytorch`: what PyTorch leaves: embedding normal(0, 1); linear weights and biases
//!   uniform(+-1/sqrt(fan-in)); norms 1 and 0; other vectors as their sublayer makes them.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal, Uniform};
use sha2::{Digest, Sha256};

use crate::config::{Initialisation, LayerSpec, ModelConfig};
use crate::parameters;

/// Fills every weight.
pub(crate) fn initialise<M: Module>(model: M, config: &ModelConfig, layers: &[LayerSpec], seed: u64) -> M {
    let shapes = parameters::collect(&model).into_iter().map(|(path, weight)| (path, weight.shape)).collect();
    parameters::map(model, |path, shape, tensor| {
        let rule = match config.initialisation {
            Initialisation::Normal if shape.len() == 1 => Rule::Keep,
            Initialisation::Normal => Rule::Normal(normal_std(path, shape, config, layers).unwrap_or(config.init_std)),
            Initialisation::Pytorch => pytorch_rule(path, &shapes, config),
        };
        let values = match rule {
            Rule::Keep => return tensor,
            Rule::Normal(std) => sample(Normal::new(0.0, std as f32).ok(), seed, path, shape),
            Rule::Uniform(bound) => sample(Uniform::new(-bound as f32, bound as f32).ok(), seed, path, shape),
        };
        match values {
            Some(values) => {
                Tensor::from_data(TensorData::new(values, [shape.iter().product::<usize>()]), &tensor.device())
            }
            None => tensor,
        }
    })
}

enum Rule {
    /// Zeros, and ones for the norms.
    Keep,
    Normal(f64),
    Uniform(f64),
}

/// What the sublayer that holds a matrix says of it.
fn normal_std(path: &str, shape: &[usize], config: &ModelConfig, layers: &[LayerSpec]) -> Option<f64> {
    let (index, rest) = path.strip_prefix("blocks.")?.split_once('.')?;
    let layer = layers.get(index.parse::<usize>().ok()?)?;
    let (half, path) = rest.split_once('.')?;
    match half {
        "mixer" => Some((layer.kind.contract().initial_std)(config, path, shape)),
        "feed_forward" => Some((layer.channel.contract().initial_std)(config, path, shape)),
        _ => None,
    }
}

/// A bias has the fan-in of the matrix beside it.
fn pytorch_rule(path: &str, shapes: &BTreeMap<String, Vec<usize>>, config: &ModelConfig) -> Rule {
    let inputs = |path: &str| shapes.get(path).filter(|shape| shape.len() == 2).map(|shape| shape[0]);
    let fan_in = match path {
        "embedding.weight" => return Rule::Normal(1.0),
        "head.weight" | "head.bias" => config.dim,
        _ if path.contains("norm") => return Rule::Keep,
        _ if shapes.get(path).is_some_and(|shape| shape.len() == 1) && !path.ends_with("bias") => return Rule::Keep,
        _ => {
            let matrix = path.strip_suffix("bias").map(|module| format!("{module}weight"));
            inputs(path).or_else(|| inputs(&matrix?)).unwrap_or(config.dim)
        }
    };
    Rule::Uniform((fan_in as f64).powf(-0.5))
}

fn sample(distribution: Option<impl Distribution<f32>>, seed: u64, path: &str, shape: &[usize]) -> Option<Vec<f32>> {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(path.as_bytes());
    let rng = ChaCha8Rng::from_seed(hash.finalize().into());
    distribution.map(|distribution| distribution.sample_iter(rng).take(shape.iter().product()).collect())
}
