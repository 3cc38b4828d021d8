//! Depthwise causal convolution.

use super::buffer::{contiguous, numbers, slice, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::Convolution;

/// [`crate::ops::convolution`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait ConvolutionOps: Backend {
    /// `x [b, t, d]`, `taps [w, d]`.
    fn convolution(x: FloatTensor<Self>, taps: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// See [`crate::ops::convolution`].
pub fn convolution(x: Tensor<3>, taps: Tensor<2>) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as ConvolutionOps>::convolution(x.into_dispatch(), taps.into_dispatch()))
}

fn sizes(x: &FlexTensor, taps: &FlexTensor) -> Convolution {
    let (x, taps) = (x.layout().shape(), taps.layout().shape());
    Convolution { batch: x[0], rows: x[1], channels: x[2], width: taps[0] }
}

fn forward(x: &FlexTensor, taps: &FlexTensor) -> FlexTensor {
    let mut y = numbers(slice(x).len());
    sizes(x, taps).forward(slice(x), slice(taps), &mut y);
    tensor(y, x.layout().shape().clone())
}

impl ConvolutionOps for Flex {
    fn convolution(x: FlexTensor, taps: FlexTensor) -> FlexTensor {
        forward(&contiguous(x), &contiguous(taps))
    }
}

#[derive(Debug)]
struct ConvolutionBackward;

impl Backward<Flex, 2> for ConvolutionBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (x, taps) = ops.state;
        let (mut dx, mut dtaps) = (numbers(slice(&x).len()), numbers(slice(&taps).len()));
        sizes(&x, &taps).backward(slice(&x), slice(&taps), slice(&grad), &mut dx, &mut dtaps);
        let results = [tensor(dx, x.layout().shape().clone()), tensor(dtaps, taps.layout().shape().clone())];
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, result);
            }
        }
    }
}

impl<C: CheckpointStrategy> ConvolutionOps for Autodiff<Flex, C> {
    fn convolution(x: FloatTensor<Self>, taps: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (taps, taps_node)) = (x.into_parts(), taps.into_parts());
        let (x, taps) = (contiguous(x), contiguous(taps));
        let y = forward(&x, &taps);
        match ConvolutionBackward.prepare::<C>([x_node, taps_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x, taps), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
