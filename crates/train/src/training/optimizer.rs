//! AdamW (arXiv 1711.05101) and LAMB (arXiv 1904.00962) with their moments stored under parameter paths, and clipping by the global norm.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use percept_model::ops::{self, AdamW};
use percept_model::parameters::{self, NamedTensor, Tensors};
use percept_model::{Gradients, Role, Trainable, Training};

use crate::config::{OptimizerKind, TrainConfig};

/// First and second moment of one parameter's gradient, flattened.
#[derive(Debug, Clone)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

/// What the optimizer knows of one tensor of the model.
#[derive(Debug, Clone)]
struct Slot {
    training: Training,
    /// None before its first gradient.
    moments: Option<Moments>,
}

/// The optimizer's constants and state.
#[derive(Debug, Clone)]
pub(crate) struct Optimizer {
    kind: OptimizerKind,
    hyper: AdamW,
    weight_decay: f64,
    clip: f64,
    slots: BTreeMap<String, Slot>,
}

/// The norm of the whole gradient: squares summed within each parameter in a fixed order, then over
/// the parameters in the order of their paths.
pub(crate) fn global_norm(gradients: &Gradients) -> f64 {
    gradients.0.values().map(|gradient| ops::squared_norm(gradient.clone())).sum::<f64>().sqrt()
}

impl Optimizer {
    /// Before the first step of a model.
    pub(crate) fn new<M: Trainable>(config: &TrainConfig, model: &M) -> Self {
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
        let slot = |(path, tensor): (String, NamedTensor)| {
            let training = model.training(&path, &tensor.shape);
            (path, Slot { training, moments: None })
        };
        let slots = parameters::collect(model).into_iter().map(slot).collect();
        Self { kind: config.optimizer, hyper, weight_decay: config.weight_decay, clip: config.clip, slots }
    }

    /// Step `step`, counted from 1. `norm` is the gradients' [`global_norm`]: above `clip`, all of them shrink alike.
    pub(crate) fn step<M: Trainable>(
        &mut self,
        model: M,
        mut gradients: Gradients,
        norm: f64,
        learning_rate: f64,
        step: u64,
    ) -> M {
        let mut hyper = self.hyper.at_step(step);
        hyper.grad_scale = if self.clip > 0.0 && norm > self.clip { self.clip / norm } else { 1.0 };
        parameters::map(model, |path, shape, parameter| {
            let trained = self.slots.get_mut(path).filter(|slot| slot.training.role != Role::Buffer);
            let (Some(slot), Some(gradient)) = (trained, gradients.0.remove(path)) else { return parameter };
            let Training { role, rate, epsilon } = slot.training;
            hyper.lr = learning_rate * rate;
            hyper.eps = epsilon.unwrap_or(self.hyper.eps);
            hyper.weight_decay = if role == Role::Decayed { self.weight_decay } else { 0.0 };
            let zeros = || Moments { first: gradient.zeros_like(), second: gradient.zeros_like() };
            let Moments { first, second } = slot.moments.take().unwrap_or_else(zeros);
            let (parameter, first, second) = match self.kind {
                // Vectors have no length that would mean anything: the authors leave norms and biases alone.
                OptimizerKind::Lamb if shape.len() >= 2 => lamb(parameter, gradient, first, second, &hyper),
                _ => ops::adamw(parameter, gradient, first, second, &hyper),
            };
            slot.moments = Some(Moments { first, second });
            parameter
        })
    }

    /// The moments under `first.PATH` and `second.PATH`.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (String, Tensor<1>)> {
        self.moments().flat_map(|(path, moments)| {
            [(format!("first.{path}"), moments.first.clone()), (format!("second.{path}"), moments.second.clone())]
        })
    }

    fn moments(&self) -> impl Iterator<Item = (&String, &Moments)> {
        self.slots.iter().filter_map(|(path, slot)| Some((path, slot.moments.as_ref()?)))
    }

    /// Takes its moments out of `tensors`.
    pub(crate) fn restore(&mut self, tensors: &mut Tensors) -> Result<()> {
        let paths: Vec<String> =
            tensors.keys().filter_map(|name| name.strip_prefix("first.").map(str::to_owned)).collect();
        for path in paths {
            let first = tensors.remove(&format!("first.{path}"));
            let second = tensors.remove(&format!("second.{path}"));
            let (Some(first), Some(second)) = (first, second) else {
                return Err(Fault::environment(format!("the optimizer's state lacks the second moment of {path}")));
            };
            let Some(slot) = self.slots.get_mut(&path) else {
                return Err(Fault::environment(format!("the optimizer's state is of another model: it has {path}")));
            };
            slot.moments = Some(Moments { first, second });
        }
        Ok(())
    }
}

/// One update of LAMB (algorithm 2): with AdamW's direction u, its decay included, x - lr |x| / |u| u; where either has no length,
/// x - lr u.
fn lamb(
    x: Tensor<1>,
    gradient: Tensor<1>,
    first: Tensor<1>,
    second: Tensor<1>,
    hyper: &AdamW,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    // At a learning rate of 1, AdamW goes the whole of its direction.
    let (moved, first, second) = ops::adamw(x.clone(), gradient, first, second, &AdamW { lr: 1.0, ..*hyper });
    let direction = x.clone() - moved;
    let [length, step] = [&x, &direction].map(|tensor| ops::squared_norm(tensor.clone()).sqrt());
    let ratio = if length > 0.0 && step > 0.0 { length / step } else { 1.0 };
    (x - direction * (hyper.lr * ratio), first, second)
}

/// The device of a model without autodiff: where moments live.
pub(crate) fn plain_device(model: &impl Module) -> Device {
    model.devices().into_iter().next().unwrap_or_default().without_autodiff()
}

#[cfg(test)]
mod tests {
    use percept_model::{LanguageModel, ModelConfig};

    use super::super::average::Average;
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
        let mut model = model();
        let mut optimizer = Optimizer::new(&config, &model);
        let (before, rates, scales) = (weights(&model), [0.01, 0.02, 0.005], [1.0, -0.5, 0.25]);
        let given: Vec<Gradients> = scales.iter().map(|scale| gradients(&model, *scale)).collect();
        for (step, (gradients, rate)) in (1..).zip(given.iter().zip(rates)) {
            model = optimizer.step(model, gradients.clone(), 1.0, rate, step);
        }
        for (path, after) in weights(&model) {
            let shape = parameters::collect(&model)[&path].shape.clone();
            let decay = if model.role(&path, &shape) == Role::Decayed { 0.3 } else { 0.0 };
            for (index, after) in after.iter().enumerate() {
                let history: Vec<f64> = given.iter().map(|gradients| values(&gradients.0[&path])[index]).collect();
                let expected = reference(before[&path][index], &history, &rates, decay, &config);
                assert!((after - expected).abs() < 2e-6, "{path}[{index}] is {after}, not {expected}");
            }
        }
    }

    #[test]
    fn a_step_of_lamb_is_as_long_as_the_matrix() {
        let config =
            TrainConfig { optimizer: OptimizerKind::Lamb, clip: 0.0, weight_decay: 0.3, ..TrainConfig::default() };
        let model = model();
        let mut optimizer = Optimizer::new(&config, &model);
        let (before, given) = (weights(&model), gradients(&model, 1.0));
        let shapes = parameters::collect(&model);
        let after = weights(&optimizer.step(model.clone(), given.clone(), 1.0, 0.02, 1));
        for (path, before) in &before {
            let decay = if model.role(path, &shapes[path].shape) == Role::Decayed { 0.3 } else { 0.0 };
            let gradient = values(&given.0[path]);
            // The first step of Adam: the sign of the gradient.
            let adam = |gradient: f64| gradient / (gradient.abs() + config.epsilon);
            let direction: Vec<f64> = gradient.iter().zip(before).map(|(g, x)| adam(*g) + decay * x).collect();
            let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
            let ratio = if shapes[path].shape.len() >= 2 { norm(before) / norm(&direction) } else { 1.0 };
            for ((after, before), direction) in after[path].iter().zip(before).zip(&direction) {
                let expected = before - 0.02 * ratio * direction;
                assert!((after - expected).abs() < 1e-6, "{path}: {after} is not {expected}");
            }
        }
        // A matrix of zeros has no length, and moves all the same.
        let zeros = parameters::map(model, |_, _, tensor| tensor.zeros_like());
        let mut optimizer = Optimizer::new(&config, &zeros);
        let moved = weights(&optimizer.step(zeros, given, 1.0, 0.02, 1));
        assert!(moved["head.weight"].iter().any(|value| value.abs() > 0.01));
    }

    #[test]
    fn decay_is_for_matrices_but_not_for_the_embedding() {
        let model = model();
        let decaying: Vec<String> = parameters::collect(&model)
            .into_iter()
            .filter(|(path, tensor)| model.role(path, &tensor.shape) == Role::Decayed)
            .map(|(path, _)| path)
            .collect();
        assert!(decaying.iter().any(|path| path == "head.weight"), "{decaying:?}");
        assert!(decaying.iter().all(|path| path.ends_with(".weight") && !path.contains("norm")), "{decaying:?}");
        assert!(!decaying.contains(&"embedding.weight".to_owned()));
    }

    #[test]
    fn a_sublayer_declares_how_fast_its_parameters_learn() {
        let config = ModelConfig { layers: "rwkv4".into(), ..model().config().clone() };
        let model = LanguageModel::new(&config, 3, &Device::flex().autodiff()).unwrap();
        let before = weights(&model);
        let gradients = Gradients(
            parameters::collect(&model).into_iter().map(|(path, tensor)| (path, tensor.data.ones_like())).collect(),
        );
        let mut optimizer =
            Optimizer::new(&TrainConfig { clip: 0.0, weight_decay: 0.0, ..TrainConfig::default() }, &model);
        // The first step of Adam is the rate, whatever the gradient.
        let after = weights(&optimizer.step(model, gradients, 1.0, 0.01, 1));
        for (name, times) in [("decay", 2.0), ("bonus", 3.0), ("mix_key", 1.0), ("key.weight", 1.0)] {
            let path = format!("blocks.0.mixer.{name}");
            for (after, before) in after[&path].iter().zip(&before[&path]) {
                assert!((before - after - 0.01 * times).abs() < 1e-6, "{name}: {before} became {after}");
            }
        }
    }

    #[test]
    fn clipping_shrinks_the_whole_gradient_to_the_limit() {
        let config = TrainConfig { clip: 0.5, beta1: 0.0, ..TrainConfig::default() };
        let model = model();
        let large = gradients(&model, 2.0);
        let norm = global_norm(&large);
        let sum: f64 = large.0.values().flat_map(values).map(|value| value * value).sum();
        assert!((norm - sum.sqrt()).abs() < 1e-9 * norm);
        let mut optimizer = Optimizer::new(&config, &model);
        optimizer.step(model, large, norm, 1e-3, 1);
        // With beta1 = 0 the first moments are the clipped gradient.
        let clipped = Gradients(optimizer.moments().map(|(path, m)| (path.clone(), m.first.clone())).collect());
        assert!((global_norm(&clipped) - 0.5).abs() < 1e-6, "{}", global_norm(&clipped));
    }

    #[test]
    fn small_gradients_are_left_alone() {
        let config = TrainConfig { clip: 1e6, beta1: 0.0, ..TrainConfig::default() };
        let model = model();
        let given = gradients(&model, 1.0);
        let norm = global_norm(&given);
        let mut optimizer = Optimizer::new(&config, &model);
        optimizer.step(model, given.clone(), norm, 1e-3, 1);
        for (path, moments) in optimizer.moments() {
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
