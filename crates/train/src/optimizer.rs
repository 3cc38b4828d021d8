//! AdamW (arXiv 1711.05101) with its moments stored under parameter paths, and clipping by the global norm.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use percept_model::ops::{self, AdamW};
use percept_model::{Gradients, LanguageModel, parameters};

use crate::config::TrainConfig;

/// First and second moment of one parameter's gradient, flattened.
#[derive(Debug, Clone)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

/// The optimizer's constants and state.
#[derive(Debug, Clone)]
pub(crate) struct Optimizer {
    hyper: AdamW,
    weight_decay: f64,
    clip: f64,
    moments: BTreeMap<String, Moments>,
}

/// The norm of the whole gradient: squares summed within each parameter in a fixed order, then over
/// the parameters in the order of their paths.
pub(crate) fn global_norm(gradients: &Gradients) -> f64 {
    gradients.0.values().map(|gradient| ops::squared_norm(gradient.clone())).sum::<f64>().sqrt()
}

impl Optimizer {
    pub(crate) fn new(config: &TrainConfig) -> Self {
        let hyper = AdamW {
            lr: 0.0,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.epsilon,
            weight_decay: 0.0,
            correction1: 1.0,
            correction2: 1.0,
            grad_scale: 1.0,
        };
        Self { hyper, weight_decay: config.weight_decay, clip: config.clip, moments: BTreeMap::new() }
    }

    /// Step `step`, counted from 1. `norm` is the gradients' [`global_norm`]: above `clip`, all of them shrink alike.
    pub(crate) fn step(
        &mut self,
        model: LanguageModel,
        mut gradients: Gradients,
        norm: f64,
        learning_rate: f64,
        step: u64,
    ) -> LanguageModel {
        let mut hyper = self.hyper.at_step(step);
        hyper.lr = learning_rate;
        hyper.grad_scale = if self.clip > 0.0 && norm > self.clip { self.clip / norm } else { 1.0 };
        parameters::map(model, |path, shape, parameter| {
            let Some(gradient) = gradients.0.remove(path) else { return parameter };
            hyper.weight_decay = if decays(path, shape) { self.weight_decay } else { 0.0 };
            let Moments { first, second } = self
                .moments
                .remove(path)
                .unwrap_or_else(|| Moments { first: gradient.zeros_like(), second: gradient.zeros_like() });
            let (parameter, first, second) = ops::adamw(parameter, gradient, first, second, &hyper);
            self.moments.insert(path.to_owned(), Moments { first, second });
            parameter
        })
    }

    /// The moments under `first.PATH` and `second.PATH`.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (String, Tensor<1>)> {
        self.moments.iter().flat_map(|(path, moments)| {
            [(format!("first.{path}"), moments.first.clone()), (format!("second.{path}"), moments.second.clone())]
        })
    }

    /// Takes its moments out of `tensors`.
    pub(crate) fn restore(&mut self, tensors: &mut BTreeMap<String, Tensor<1>>) -> Result<()> {
        let paths: Vec<String> =
            tensors.keys().filter_map(|name| name.strip_prefix("first.").map(str::to_owned)).collect();
        for path in paths {
            let first = tensors.remove(&format!("first.{path}"));
            let second = tensors.remove(&format!("second.{path}"));
            let (Some(first), Some(second)) = (first, second) else {
                return Err(Fault::environment(format!("the optimizer's state lacks the second moment of {path}")));
            };
            self.moments.insert(path, Moments { first, second });
        }
        Ok(())
    }
}

/// Decay is for matrices: not for norms and biases (rank 1), nor for the embedding, which is a table of vectors.
fn decays(path: &str, shape: &[usize]) -> bool {
    shape.len() >= 2 && !path.starts_with("embedding.")
}

/// Exponential moving average of the weights.
#[derive(Debug, Clone)]
pub(crate) struct Average {
    decay: f64,
    weights: BTreeMap<String, Tensor<1>>,
}

impl Average {
    /// Starts at the model's weights.
    pub(crate) fn new(decay: f64, model: &LanguageModel) -> Self {
        let weights = parameters::collect(model).into_iter().map(|(path, tensor)| (path, tensor.data)).collect();
        Self { decay, weights }
    }

    /// Takes in the weights after `step` steps. Early on the decay is (1 + step) / (10 + step), so that the
    /// initial weights are soon forgotten.
    pub(crate) fn add(&mut self, model: &LanguageModel, step: u64) {
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        for (path, tensor) in parameters::collect(model) {
            if let Some(average) = self.weights.remove(&path) {
                let average = average.mul_scalar(decay) + tensor.data.mul_scalar(1.0 - decay);
                self.weights.insert(path, average);
            }
        }
    }

    /// The model with the averaged weights.
    pub(crate) fn applied_to(&self, model: LanguageModel) -> LanguageModel {
        replace(model, &self.weights)
    }
}

/// The model with the given weights where there are any.
pub(crate) fn replace(model: LanguageModel, weights: &BTreeMap<String, Tensor<1>>) -> LanguageModel {
    parameters::map(model, |path, _, old| weights.get(path).cloned().unwrap_or(old))
}

/// The model's device without autodiff: where moments live.
pub(crate) fn plain_device(model: &LanguageModel) -> Device {
    model.device().without_autodiff()
}

#[cfg(test)]
mod tests {
    use percept_model::ModelConfig;

    use super::*;

    fn model() -> LanguageModel {
        let config = ModelConfig {
            vocab: 9,
            dim: 8,
            depth: 1,
            heads: 2,
            context: 8,
            biases: percept_model::config::Biases::Paper,
            ..ModelConfig::default().with("segment", 4).unwrap()
        };
        LanguageModel::new(&config, 3, &Device::flex().autodiff()).unwrap()
    }

    /// Gradients that differ by place, scaled.
    fn gradients(model: &LanguageModel, scale: f32) -> Gradients {
        let mut gradients = Gradients::default();
        for (path, tensor) in parameters::collect(model) {
            let count = tensor.data.dims()[0];
            let values: Vec<f32> =
                (0..count).map(|i| scale * ((i * 7 + path.len()) % 11) as f32 - scale * 4.0).collect();
            gradients.0.insert(path, Tensor::from_floats(values.as_slice(), &Device::flex()));
        }
        gradients
    }

    fn values(tensor: &Tensor<1>) -> Vec<f64> {
        tensor.clone().into_data().convert::<f64>().iter::<f64>().collect()
    }

    fn weights(model: &LanguageModel) -> BTreeMap<String, Vec<f64>> {
        parameters::collect(model).into_iter().map(|(path, tensor)| (path, values(&tensor.data))).collect()
    }

    /// Algorithm 2 of arXiv 1711.05101 for one number in f64, with the decay `lr * lambda` as in PyTorch.
    fn reference(mut x: f64, gradients: &[f64], rates: &[f64], decay: f64, config: &TrainConfig) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, (g, lr)) in (1..).zip(gradients.iter().zip(rates)) {
            x -= lr * decay * x;
            m = config.beta1 * m + (1.0 - config.beta1) * g;
            v = config.beta2 * v + (1.0 - config.beta2) * g * g;
            let (m_hat, v_hat) = (m / (1.0 - config.beta1.powi(t)), v / (1.0 - config.beta2.powi(t)));
            x -= lr * m_hat / (v_hat.sqrt() + config.epsilon);
        }
        x
    }

    #[test]
    fn steps_follow_the_published_algorithm() {
        let config = TrainConfig { clip: 0.0, weight_decay: 0.3, ..TrainConfig::default() };
        let (mut optimizer, mut model) = (Optimizer::new(&config), model());
        let (before, rates, scales) = (weights(&model), [0.01, 0.02, 0.005], [1.0, -0.5, 0.25]);
        let given: Vec<Gradients> = scales.iter().map(|scale| gradients(&model, *scale)).collect();
        for (step, (gradients, rate)) in (1..).zip(given.iter().zip(rates)) {
            model = optimizer.step(model, gradients.clone(), 1.0, rate, step);
        }
        for (path, after) in weights(&model) {
            let shape = parameters::collect(&model)[&path].shape.clone();
            let decay = if decays(&path, &shape) { 0.3 } else { 0.0 };
            for (index, after) in after.iter().enumerate() {
                let history: Vec<f64> = given.iter().map(|gradients| values(&gradients.0[&path])[index]).collect();
                let expected = reference(before[&path][index], &history, &rates, decay, &config);
                assert!((after - expected).abs() < 2e-6, "{path}[{index}] is {after}, not {expected}");
            }
        }
    }

    #[test]
    fn decay_is_for_matrices_but_not_for_the_embedding() {
        let model = model();
        let decaying: Vec<String> = parameters::collect(&model)
            .into_iter()
            .filter(|(path, tensor)| decays(path, &tensor.shape))
            .map(|(path, _)| path)
            .collect();
        assert!(decaying.iter().any(|path| path == "head.weight"), "{decaying:?}");
        assert!(decaying.iter().all(|path| path.ends_with(".weight") && !path.contains("norm")), "{decaying:?}");
        assert!(!decaying.contains(&"embedding.weight".to_owned()));
    }

    #[test]
    fn clipping_shrinks_the_whole_gradient_to_the_limit() {
        let config = TrainConfig { clip: 0.5, beta1: 0.0, ..TrainConfig::default() };
        let model = model();
        let large = gradients(&model, 2.0);
        let norm = global_norm(&large);
        let sum: f64 = large.0.values().flat_map(values).map(|value| value * value).sum();
        assert!((norm - sum.sqrt()).abs() < 1e-9 * norm);
        let mut optimizer = Optimizer::new(&config);
        optimizer.step(model, large, norm, 1e-3, 1);
        // With beta1 = 0 the first moments are the clipped gradient.
        let clipped = Gradients(optimizer.moments.iter().map(|(path, m)| (path.clone(), m.first.clone())).collect());
        assert!((global_norm(&clipped) - 0.5).abs() < 1e-6, "{}", global_norm(&clipped));
    }

    #[test]
    fn small_gradients_are_left_alone() {
        let config = TrainConfig { clip: 1e6, beta1: 0.0, ..TrainConfig::default() };
        let model = model();
        let given = gradients(&model, 1.0);
        let norm = global_norm(&given);
        let mut optimizer = Optimizer::new(&config);
        optimizer.step(model, given.clone(), norm, 1e-3, 1);
        for (path, moments) in &optimizer.moments {
            assert_eq!(values(&moments.first), values(&given.0[path]), "{path}");
        }
    }

    #[test]
    fn the_average_follows_the_weights() {
        let model = model();
        let start = weights(&model);
        let mut average = Average::new(0.75, &model);
        let moved = parameters::map(model, |_, _, data| data + 1.0);
        // At step 100 the configured decay holds: 0.75 of the old, 0.25 of the new.
        average.add(&moved, 100);
        for (path, after) in weights(&average.applied_to(moved)) {
            for (after, start) in after.iter().zip(&start[&path]) {
                assert!((after - (start + 0.25)).abs() < 1e-6, "{path}: {after} from {start}");
            }
        }
    }
}
