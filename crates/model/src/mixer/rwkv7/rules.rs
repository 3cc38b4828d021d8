//! How the authors begin the weights of the time mix (RWKV-v7/train_temp/src/model.py).

use crate::config::{LayerSpec, ModelConfig};
use crate::init::Initial;
use crate::rwkv::{Schedule, matrix7};

/// Vectors and low-rank maps always begin by their rules, matrices where the configuration says so.
pub(super) fn initial(config: &ModelConfig, layer: &LayerSpec, path: &str, shape: &[usize]) -> Option<Initial> {
    let rule = Schedule::of(config, layer);
    let by_channel = |value: &dyn Fn(usize) -> f64| Some(rule.values(value));
    let mix = |power: f64| by_channel(&|i| 1.0 - rule.share(i).powf(power));
    // From -1/2 at the first channel to 1/2 at the last; and within each head from -1 to 1, bent.
    let line = |i: usize| rule.along(i) - 0.5;
    let width = config.dim / config.heads;
    let bow = |i: usize| {
        let along = 2.0 * (i % width) as f64 / (width.max(2) - 1) as f64 - 1.0;
        along * along.abs()
    };
    match path {
        "mix_receptance" | "mix_gate" => mix(0.2),
        "mix_decay" | "mix_rate" => mix(0.9),
        "mix_key" | "mix_value" => mix(0.7),
        "decay.second.bias" => {
            by_channel(&|i| -5.5 + 6.0 * rule.along(i).powf(1.0 + rule.depth.powf(0.3)) + 2.5 * bow(i))
        }
        "rate.second.bias" => by_channel(&|i| -0.19 + 0.3 * bow(i) + 0.4 * line(i)),
        "first_value.second.bias" => by_channel(&|i| 0.73 - 0.4 * line(i)),
        "removal_key" => by_channel(&|i| 0.71 - 0.1 * line(i)),
        "rate_key" => by_channel(&|_| 1.02),
        "bonus" => by_channel(&|_| -0.04),
        "head_gamma" => by_channel(&|_| ((layer.index + 1) as f64 / config.depth as f64).powf(0.7)),
        "head_beta" => Some(Initial::Keep),
        _ if path.ends_with("first.weight") => Some(Initial::Keep),
        _ if path.ends_with("second.weight") => {
            let [rows, columns] = shape.try_into().unwrap_or([1, 1]);
            Some(Initial::Orthogonal(0.1 * (rows as f64 / columns as f64).max(1.0).sqrt()))
        }
        "output.weight" => matrix7(config, 0.0),
        "key.weight" => matrix7(config, 0.1),
        _ => matrix7(config, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Initialisation;

    fn of(initialisation: Initialisation, index: usize, path: &str) -> Option<Initial> {
        let config = ModelConfig {
            layers: "rwkv7".into(),
            dim: 8,
            depth: 4,
            heads: 2,
            vocab: 9,
            initialisation,
            ..ModelConfig::default()
        };
        initial(&config, &config.layer_specs().unwrap()[index], path, &[8, 8])
    }

    fn values(index: usize, path: &str) -> Vec<f32> {
        match of(Initialisation::Rwkv, index, path) {
            Some(Initial::Values(values)) => values,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// By hand, from the authors' formulas.
    #[test]
    fn vectors_begin_as_the_authors_write() {
        let close = |a: f32, b: f64| assert!((f64::from(a) - b).abs() < 1e-6, "{a} {b}");
        close(values(0, "mix_receptance")[4], 1.0 - 0.5f64.powf(0.2));
        close(values(2, "mix_key")[4], 1.0 - 0.5f64.powf(0.35));
        close(values(1, "decay.second.bias")[7], -6.0 + 6.0 + 0.5 + 2.5);
        close(values(0, "decay.second.bias")[4], -6.0 + 6.0 * (4.0 / 7.0) + 0.5 - 2.5);
        close(values(3, "decay.second.bias")[5], -6.0 + 6.0 * (5.0f64 / 7.0).powi(2) + 0.5 - 2.5 / 9.0);
        close(values(0, "rate.second.bias")[0], -0.19 - 0.3 - 0.2);
        close(values(1, "first_value.second.bias")[0], 0.93);
        close(values(0, "removal_key")[7], 0.66);
        close(values(1, "head_gamma")[3], 0.5f64.powf(0.7));
    }

    #[test]
    fn matrices_begin_as_the_configuration_says() {
        let matrix = |initialisation, path| of(initialisation, 1, path);
        let bound = 8f64.sqrt().recip();
        for (path, scripts, modules) in [
            ("receptance.weight", Initial::Orthogonal(1.0), Initial::Uniform(0.5 * bound)),
            ("key.weight", Initial::Orthogonal(0.1), Initial::Uniform(0.05 * bound)),
            ("value.weight", Initial::Orthogonal(1.0), Initial::Uniform(0.5 * bound)),
            ("output.weight", Initial::Keep, Initial::Keep),
        ] {
            assert_eq!(matrix(Initialisation::Rwkv, path), Some(scripts), "{path}");
            assert_eq!(matrix(Initialisation::RwkvModules, path), Some(modules), "{path}");
            assert_eq!(matrix(Initialisation::Normal, path), None);
        }
        assert_eq!(matrix(Initialisation::Normal, "decay.second.weight"), Some(Initial::Orthogonal(0.1)));
    }
}
