//! Initialisation: a function of (seed, path, shape) alone, so the same seed gives the same weights
//! whatever the order or the device.
//!
//! - `normal` (default): matrices normal(0, `init_std`); the projections into the residual stream
//!   (`output`, `first_output`, `down`) divided by sqrt(2 L), as GPT-2 does; what a sublayer
//!   says itself ([`crate::layer::Sublayer::initial_std`]); biases 0; norms 1 and 0.
//! - `pytorch`: what PyTorch leaves: embedding normal(0, 1); linear weights and biases
//!   uniform(+-1/sqrt(fan-in)); norms 1 and 0.

use burn::tensor::{Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal, Uniform};
use sha2::{Digest, Sha256};

use crate::config::{Initialisation, ModelConfig};
use crate::language_model::LanguageModel;
use crate::parameters;
use crate::schedule::LayerSpec;

/// Fills every weight.
pub fn initialise(model: LanguageModel, seed: u64) -> LanguageModel {
    let (config, layers) = (model.config().clone(), model.layers().to_vec());
    parameters::map(model, |path, shape, tensor| {
        let rule = match config.initialisation {
            Initialisation::Normal => match of_sublayer(path, shape, &layers) {
                Some(std) => Rule::Normal(std),
                None => normal_rule(path, shape, &config),
            },
            Initialisation::Pytorch => pytorch_rule(path, shape, &config),
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

/// What the sublayer that holds a weight says of it.
fn of_sublayer(path: &str, shape: &[usize], layers: &[LayerSpec]) -> Option<f64> {
    let (index, rest) = path.strip_prefix("blocks.")?.split_once('.')?;
    let layer = layers.get(index.parse::<usize>().ok()?)?;
    let (half, path) = rest.split_once('.')?;
    match half {
        "mixer" => (layer.kind.contract().initial_std)(path, shape),
        "feed_forward" => (layer.channel.contract().initial_std)(path, shape),
        _ => None,
    }
}

fn normal_rule(path: &str, shape: &[usize], config: &ModelConfig) -> Rule {
    let into_residual =
        [".output.weight", ".first_output.weight", ".down.weight"].iter().any(|end| path.ends_with(end));
    match shape.len() {
        1 => Rule::Keep,
        _ if into_residual => Rule::Normal(config.init_std / (2.0 * config.depth as f64).sqrt()),
        _ => Rule::Normal(config.init_std),
    }
}

fn pytorch_rule(path: &str, shape: &[usize], config: &ModelConfig) -> Rule {
    let fan_in = match path {
        "embedding.weight" => return Rule::Normal(1.0),
        "head.weight" | "head.bias" => config.dim,
        _ if path.contains("norm") => return Rule::Keep,
        _ if shape.len() == 2 => shape[0],
        _ if path.ends_with(".down.bias") => config.hidden_dim(),
        _ if path.ends_with(".compression.bias") => config.context - config.latents,
        _ => config.dim,
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
