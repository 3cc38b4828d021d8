//! RMSNorm and LayerNorm over the last dimension.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::config::NormKind;
use crate::ops;

/// A normalisation over the last dimension; `beta` is there for LayerNorm only.
#[derive(Module, Debug)]
pub struct Norm {
    /// `[width]`.
    pub gamma: Param<Tensor<1>>,
    /// `[width]`; its presence makes this a LayerNorm.
    pub beta: Option<Param<Tensor<1>>>,
    eps: f64,
}

impl Norm {
    /// gamma 1, beta 0.
    pub fn new(kind: NormKind, width: usize, eps: f64, device: &Device) -> Self {
        Self {
            gamma: Param::from_tensor(Tensor::ones([width], device)),
            beta: (kind == NormKind::Layer).then(|| Param::from_tensor(Tensor::zeros([width], device))),
            eps,
        }
    }

    /// The same shape out as in.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match &self.beta {
            Some(beta) => ops::layer_norm(x, self.gamma.val(), Some(beta.val()), self.eps),
            None => ops::rms_norm(x, self.gamma.val(), self.eps),
        }
    }

    /// What is added to the variance or mean square.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// Weights of a normalisation of this width.
    pub fn parameters(kind: NormKind, width: usize) -> u64 {
        match kind {
            NormKind::Rms => width as u64,
            NormKind::Layer => 2 * width as u64,
        }
    }
}
