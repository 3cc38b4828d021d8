//! The speed of this machine on a configuration, measured on a few steps of a shallow copy of it.

use std::time::Instant;

use percept_fault::Result;
use percept_model::ops::in_precision;
use percept_model::properties::Properties;
use percept_model::{Batch, LanguageModel, Mode, ModelConfig, Trainable};
use percept_train::{Device, DeviceChoice, Precision, PrecisionChoice, RunConfig, TaskKind};
use serde::Serialize;

use super::{encoder, training_flops};

/// A measured training speed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// Floating-point operations per second, counted as [`super::Plan`] counts them.
    pub flops_per_second: f64,
    /// Where it was measured.
    pub device: String,
    /// Number format of the large products.
    pub precision: PrecisionChoice,
    /// Layers of the model that was measured; the rate is taken over to all of them.
    pub measured_layers: usize,
}

impl Speed {
    /// A speed that was not measured here.
    pub fn given(flops_per_second: f64, precision: PrecisionChoice) -> Self {
        Self { flops_per_second, device: "as given".to_owned(), precision, measured_layers: 0 }
    }
}

/// Runs a warm-up and `steps` training steps (the fastest counts) of one window on the configured device in the configured
/// precision, with the fewest layers that hold every kind of mixer.
///
/// # Errors
/// A wrong configuration, or a device or precision that is not there.
///
/// ```
/// use percept_plan::{measure_speed, plan};
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.model.layers = "llp(segment=8)".into();
/// # (config.model.dim, config.model.depth, config.model.heads, config.model.context) = (16, 4, 2, 32);
/// # config.train.device = "cpu".into();
/// let speed = measure_speed(&config, 1)?;
/// // Two of the four layers were enough, as all are alike.
/// assert_eq!((speed.device.as_str(), speed.measured_layers), ("cpu", 2));
/// assert!(plan(&config)?.at_speed(speed).seconds_total.unwrap() > 0.0);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn measure_speed(config: &RunConfig, steps: usize) -> Result<Speed> {
    let (device, name) = config.train.device.parse::<DeviceChoice>()?.open()?;
    let precision = config.clone().take_precision(&device)?.precision;
    let device = device.autodiff();
    let (flops, best, measured_layers) = match config.task {
        TaskKind::NextToken => {
            let (model, batch, flops) = measured(config, &device)?;
            (flops, fastest(&model, &batch, config, precision, steps)?, model.config().depth)
        }
        TaskKind::Masked => {
            let (model, batch, flops) = encoder::measured(config, &device)?;
            (flops, fastest(&model, &batch, config, precision, steps)?, model.config().depth)
        }
    };
    Ok(Speed { flops_per_second: flops / best, device: name, precision: precision.into(), measured_layers })
}

/// A shallow copy of the model with a window, and the operations of a training step on it.
fn measured(config: &RunConfig, device: &Device) -> Result<(LanguageModel, Batch, f64)> {
    let model_config = shallow(&super::with_vocabulary(config)?)?;
    let length = model_config.context;
    // Any tokens do: the time does not depend on them.
    let tokens: Vec<u32> = (0..length).map(|at| (at * 31 % model_config.vocab) as u32).collect();
    let batch = Batch { targets: tokens.clone(), tokens, rows: 1, length };
    let flops = training_flops(&Properties::of(&model_config)?, length, &config.train) * length as f64;
    Ok((LanguageModel::new(&model_config, config.train.seed, device)?, batch, flops))
}

/// Seconds of the fastest of some training steps, after one that warms up.
fn fastest<M: Trainable>(
    model: &M,
    batch: &M::Batch,
    config: &RunConfig,
    precision: Precision,
    steps: usize,
) -> Result<f64> {
    let mut best = f64::INFINITY;
    for step in 0..=steps as u64 {
        let begin = Instant::now();
        let mode = Mode::Training { seed: config.train.seed, step };
        let recompute = config.train.recompute.into();
        let learned = in_precision(precision, || model.loss_and_gradients(batch, mode, recompute, 1.0))?;
        // Reading an element waits for devices that work behind the program's back.
        if let Some(gradient) = learned.gradients.0.into_values().next() {
            let _ = gradient.into_data();
        }
        if step > 0 {
            best = best.min(begin.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

/// The same model cut to the fewest layers that hold every kind of layer.
fn shallow(config: &ModelConfig) -> Result<ModelConfig> {
    let layers = config.layer_specs()?;
    let new =
        |at: &usize| !layers[..*at].iter().any(|l| (l.kind, &l.options) == (layers[*at].kind, &layers[*at].options));
    let depth = (0..layers.len()).rev().find(new).unwrap_or(0) + 1;
    let depth = depth.max(2).min(config.depth);
    // Fewer layers than blocks share none.
    let blocks = if config.blocks < depth { config.blocks } else { 0 };
    // The rate of the products is that of any objective.
    let (objective, order_agnostic) = Default::default();
    Ok(ModelConfig { depth, blocks, objective, order_agnostic, ..config.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shallow_copy_holds_every_kind_of_layer() {
        let depth = |layers: &str| {
            let config = ModelConfig { layers: layers.into(), vocab: 257, depth: 12, ..ModelConfig::default() };
            shallow(&config).unwrap().depth
        };
        assert_eq!((depth("llp"), depth("llp*3, transformer"), depth("llp(segment=4)*2, llp(segment=8)")), (2, 4, 3));
        let blocks = |blocks: usize| {
            let config = ModelConfig { vocab: 257, depth: 12, blocks, ..ModelConfig::default() };
            shallow(&config).unwrap().blocks
        };
        assert_eq!([blocks(0), blocks(1), blocks(6)], [0, 1, 0]);
    }

    #[test]
    fn a_speed_is_measured() {
        let mut config = RunConfig::default();
        config.model =
            ModelConfig { dim: 16, depth: 1, heads: 2, context: 16, ..config.model.with("segment", 4).unwrap() };
        config.train.device = "cpu".into();
        let speed = measure_speed(&config, 1).unwrap();
        assert!(speed.flops_per_second > 0.0 && speed.flops_per_second.is_finite());
        assert_eq!((speed.device.as_str(), speed.measured_layers), ("cpu", 1));
    }
}
