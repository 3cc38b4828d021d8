//! Gates in the place of residual connections (arXiv 2203.07852, section 3.2).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cost::LinearCall;
use crate::init::Initial;
use crate::layers::{Bias, Linear};
use crate::ops;

/// How a state takes in what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecurrentGate {
    /// c g + z (1 - g): each channel forgets at a learned rate, sigmoid of a weight.
    Fixed,
    /// c f + z i with z in a tanh: what is kept and taken in depends on the state and what it reads, as in an LSTM.
    Lstm,
}

impl RecurrentGate {
    /// Vectors of d channels that the map gives.
    fn parts(self) -> usize {
        match self {
            Self::Fixed => 1,
            Self::Lstm => 3,
        }
    }

    /// The map of a gate.
    pub(super) fn call(self, rows: usize, input: usize, dim: usize) -> LinearCall {
        LinearCall { rows, input, output: self.parts() * dim }
    }

    /// Weights of a gate.
    pub(super) fn parameters(self, input: usize, dim: usize) -> u64 {
        let keep = if self == Self::Fixed { dim as u64 } else { 0 };
        Linear::parameters(input, self.parts() * dim, Bias::With) + keep
    }

    /// The bias of the map: an LSTM-style gate begins with remembering.
    pub(super) fn initial_bias(self, dim: usize) -> Initial {
        match self {
            Self::Fixed => Initial::Keep,
            Self::Lstm => Initial::Values([0.0, -1.0, 1.0].into_iter().flat_map(|x| vec![x; dim]).collect()),
        }
    }
}

/// One gate.
#[derive(Module, Debug)]
pub struct Gate {
    /// `[inputs, d]`: z; of an LSTM-style gate `[inputs, 3 d]`: z before its tanh, and the logits of i and of f.
    pub map: Linear,
    /// `[d]`: logits of g of a fixed gate.
    pub keep: Option<Param<Tensor<1>>>,
}

impl Gate {
    /// Zeros.
    pub(super) fn new(kind: RecurrentGate, inputs: usize, dim: usize, device: &Device) -> Self {
        Self {
            map: Linear::new(inputs, kind.parts() * dim, Bias::With, device),
            keep: (kind == RecurrentGate::Fixed).then(|| Param::from_tensor(Tensor::zeros([dim], device))),
        }
    }

    /// The next state of `state [B, S, d]`, which has read `input [B, S, inputs]`.
    pub(super) fn forward(&self, state: Tensor<3>, input: Tensor<3>) -> Tensor<3> {
        let (new, [_, _, dim]) = (self.map.forward(input), state.dims());
        if let Some(keep) = &self.keep {
            return ops::blend(keep.val().unsqueeze::<3>().expand(state.dims()), new, state);
        }
        let [candidate, input, forget] = [0, 1, 2].map(|part| new.clone().narrow(2, part * dim, dim));
        ops::add(ops::glu(forget, state), ops::glu(input, ops::tanh(candidate)))
    }
}
