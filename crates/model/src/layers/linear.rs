//! x W + b.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::config::Biases;
use crate::ops;

/// Whether a layer has a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// x W + b.
    With,
    /// x W.
    Without,
}

impl Bias {
    /// Of a map that is no query, key or value.
    pub fn of(biases: Biases) -> Self {
        if biases == Biases::None { Self::Without } else { Self::With }
    }

    /// Of a query, key or value.
    pub fn of_input(biases: Biases) -> Self {
        if biases == Biases::All { Self::With } else { Self::Without }
    }
}

/// A linear layer `[.., inputs] -> [.., outputs]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[inputs, outputs]`.
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Zeros.
    pub fn new(inputs: usize, outputs: usize, bias: Bias, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros([inputs, outputs], device)),
            bias: (bias == Bias::With).then(|| Param::from_tensor(Tensor::zeros([outputs], device))),
        }
    }

    /// `x`: `[B, T, inputs]`; returns `[B, T, outputs]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        ops::linear(x, self.weight.val(), self.bias.as_ref().map(|bias| bias.val()))
    }

    /// Weight and bias.
    pub fn values(&self) -> ops::Map {
        ops::Map { weight: self.weight.val(), bias: self.bias.as_ref().map(|bias| bias.val()) }
    }

    /// Weights of a layer of this shape.
    pub fn parameters(inputs: usize, outputs: usize, bias: Bias) -> u64 {
        (inputs * outputs + if bias == Bias::With { outputs } else { 0 }) as u64
    }
}
