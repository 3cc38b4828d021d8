//! Maps whose channels fall into groups that do not mix.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_kernels::{Grouped, Precision};

use super::Bias;
use crate::cost::Call;
use crate::ops;

/// A causal convolution in groups of channels, `[B, T, inputs] -> [B, T, outputs]`; of a width of 1, a linear map with a
/// block-diagonal matrix. See [`ops::grouped`].
#[derive(Module, Debug)]
pub struct GroupedLinear {
    /// `[width inputs / groups, outputs]`: row i (inputs / groups) + c weighs channel c of a group, i rows back.
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
    groups: usize,
}

/// Sizes of a grouped map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupedShape {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Groups, which divide both.
    pub groups: usize,
    /// Rows that an output sees, its own included.
    pub width: usize,
}

impl GroupedShape {
    /// Rows of the weight: what an output channel is a sum over.
    fn depth(&self) -> usize {
        self.width * self.inputs / self.groups
    }

    /// Weights of such a map.
    pub fn parameters(&self, bias: Bias) -> u64 {
        (self.depth() * self.outputs + if bias == Bias::With { self.outputs } else { 0 }) as u64
    }

    /// The sizes for so many rows of each sequence.
    pub fn of_rows(&self, batch: usize, rows: usize) -> Grouped {
        let Self { inputs, outputs, groups, width } = *self;
        let (input, output) = (inputs / groups, outputs / groups);
        Grouped { batch, rows, groups, input, output, width, precision: Precision::F32 }
    }

    /// Its work on the rows of a window.
    pub fn call(&self, rows: usize) -> Call {
        let forward = self.of_rows(1, rows).cost();
        Call::Other { forward, backward: forward * 2 }
    }
}

impl GroupedLinear {
    /// Zeros.
    pub fn new(shape: GroupedShape, bias: Bias, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros([shape.depth(), shape.outputs], device)),
            bias: (bias == Bias::With).then(|| Param::from_tensor(Tensor::zeros([shape.outputs], device))),
            groups: shape.groups,
        }
    }

    /// `x`: `[B, T, inputs]`; returns `[B, T, outputs]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let y = ops::grouped(x, self.weight.val(), self.groups);
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }

    /// Inputs and outputs of each group of a map of one row.
    pub fn parts(&self) -> Vec<[usize; 2]> {
        let [inputs, outputs] = self.weight.shape().dims();
        vec![[inputs, outputs / self.groups]; self.groups]
    }

    /// Groups.
    pub fn groups(&self) -> usize {
        self.groups
    }
}
