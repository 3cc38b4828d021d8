//! RMSNorm and LayerNorm.

use super::buffer::{contiguous, numbers, owned, slice, slice_mut, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::{Norm, RowStatistics};
use std::sync::Arc;

/// Normalisation over the last dimension as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait NormOps: Backend {
    /// [`crate::ops::rms_norm`], or [`crate::ops::layer_norm`] without beta.
    fn norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, norm: Norm, eps: f64) -> FloatTensor<Self>;
    /// [`crate::ops::layer_norm`] with beta.
    fn biased_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: Norm,
        eps: f64,
    ) -> FloatTensor<Self>;
}

/// See [`crate::ops::rms_norm`].
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, eps: f64) -> Tensor<D> {
    let (x, gamma) = (x.into_dispatch(), gamma.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NormOps>::norm(x, gamma, Norm::Rms, eps))
}

/// See [`crate::ops::layer_norm`].
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Option<Tensor<1>>, eps: f64) -> Tensor<D> {
    let (x, gamma) = (x.into_dispatch(), gamma.into_dispatch());
    Tensor::from_dispatch(match beta {
        Some(beta) => <Dispatch as NormOps>::biased_norm(x, gamma, beta.into_dispatch(), Norm::Layer, eps),
        None => <Dispatch as NormOps>::norm(x, gamma, Norm::Layer, eps),
    })
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Saved {
    x: FlexTensor,
    gamma: FlexTensor,
    statistics: Arc<[RowStatistics]>,
    norm: Norm,
}

fn forward(x: FlexTensor, gamma: FlexTensor, beta: Option<FlexTensor>, norm: Norm, eps: f64) -> (FlexTensor, Saved) {
    let (x, gamma, beta) = (contiguous(x), contiguous(gamma), beta.map(contiguous));
    let count = slice(&x).len();
    let mut y = numbers(count);
    let mut statistics = vec![RowStatistics::default(); count / slice(&gamma).len().max(1)];
    norm.forward(slice(&x), (slice(&gamma), beta.as_ref().map(slice)), eps as f32, &mut y, &mut statistics);
    let y = tensor(y, x.layout().shape().clone());
    (y, Saved { x, gamma, statistics: statistics.into(), norm })
}

impl NormOps for Flex {
    fn norm(x: FlexTensor, gamma: FlexTensor, norm: Norm, eps: f64) -> FlexTensor {
        forward(x, gamma, None, norm, eps).0
    }

    fn biased_norm(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, norm: Norm, eps: f64) -> FlexTensor {
        forward(x, gamma, Some(beta), norm, eps).0
    }
}

/// The third parent is beta, where there is one.
#[derive(Debug)]
struct NormBackward;

impl<const N: usize> Backward<Flex, N> for NormBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut grad = owned(grads.consume::<Flex>(&ops.node));
        let Saved { x, gamma, statistics, norm } = ops.state;
        let width = slice(&gamma).len();
        let (mut dgamma, mut dbeta) = (numbers(width), numbers(width));
        let gradients = (&mut dgamma[..], (N == 3).then_some(&mut dbeta[..]));
        norm.backward(slice(&x), slice(&gamma), &statistics, slice_mut(&mut grad), gradients);
        let results = [grad, tensor(dgamma, [width]), tensor(dbeta, [width])];
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, result);
            }
        }
    }
}

impl<C: CheckpointStrategy> NormOps for Autodiff<Flex, C> {
    fn norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, norm: Norm, eps: f64) -> FloatTensor<Self> {
        let ((x, x_node), (gamma, gamma_node)) = (x.into_parts(), gamma.into_parts());
        let (y, saved) = forward(x, gamma, None, norm, eps);
        let prepared = Backward::<Flex, 2>::prepare::<C>(NormBackward, [x_node, gamma_node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(saved, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn biased_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: Norm,
        eps: f64,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (gamma, gamma_node)) = (x.into_parts(), gamma.into_parts());
        let (beta, beta_node) = beta.into_parts();
        let (y, saved) = forward(x, gamma, Some(beta), norm, eps);
        let prepared = Backward::<Flex, 3>::prepare::<C>(NormBackward, [x_node, gamma_node, beta_node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(saved, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
