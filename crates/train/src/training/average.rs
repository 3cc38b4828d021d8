//! The moving average of the weights.

use percept_model::parameters::{self, Tensors};
use percept_model::{Role, Trainable};

/// Exponential moving average of the weights. Buffers have none: a model with averaged weights keeps its own.
#[derive(Debug, Clone)]
pub(crate) struct Average {
    decay: f64,
    weights: Tensors,
}

impl Average {
    /// Starts at the model's weights.
    pub(crate) fn new<M: Trainable>(decay: f64, model: &M) -> Self {
        let weights = parameters::collect(model).into_iter();
        let weights = weights.filter(|(path, tensor)| model.role(path, &tensor.shape) != Role::Buffer);
        Self { decay, weights: weights.map(|(path, tensor)| (path, tensor.data)).collect() }
    }

    /// Takes in the weights after `step` steps. Early on the decay is (1 + step) / (10 + step), so that the
    /// initial weights are soon forgotten.
    pub(crate) fn add(&mut self, model: &impl Trainable, step: u64) {
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        for (path, tensor) in parameters::collect(model) {
            if let Some(average) = self.weights.remove(&path) {
                let average = average.mul_scalar(decay) + tensor.data.mul_scalar(1.0 - decay);
                self.weights.insert(path, average);
            }
        }
    }

    /// The model with the averaged weights.
    pub(crate) fn applied_to<M: Trainable>(&self, model: M) -> M {
        parameters::replace(model, &self.weights)
    }
}
