//! RWKV's token shift.

use super::buffer::{contiguous, numbers, slice, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::Shift;

/// [`crate::ops::shift`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait ShiftOps: Backend {
    /// `x [b, t, d]`, `first [b, d]`, `mix [d]`.
    fn shift(x: FloatTensor<Self>, first: FloatTensor<Self>, mix: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// See [`crate::ops::shift`].
pub fn shift(x: Tensor<3>, first: Tensor<2>, mix: Tensor<1>) -> Tensor<3> {
    let (x, first) = (x.into_dispatch(), first.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ShiftOps>::shift(x, first, mix.into_dispatch()))
}

fn sizes(x: &FlexTensor) -> Shift {
    let x = x.layout().shape();
    Shift { batch: x[0], rows: x[1], channels: x[2] }
}

fn forward([x, first, mix]: &[FlexTensor; 3]) -> FlexTensor {
    let mut y = numbers(slice(x).len());
    sizes(x).forward(slice(x), slice(first), slice(mix), &mut y);
    tensor(y, x.layout().shape().clone())
}

impl ShiftOps for Flex {
    fn shift(x: FlexTensor, first: FlexTensor, mix: FlexTensor) -> FlexTensor {
        forward(&[x, first, mix].map(contiguous))
    }
}

#[derive(Debug)]
struct ShiftBackward;

impl Backward<Flex, 2> for ShiftBackward {
    /// x, first and mix.
    type State = [FlexTensor; 3];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let [x, first, mix] = ops.state;
        let (mut dx, mut dmix) = (numbers(slice(&x).len()), numbers(slice(&mix).len()));
        sizes(&x).backward((slice(&x), slice(&first)), slice(&mix), slice(&grad), (&mut dx, &mut dmix));
        let results = [tensor(dx, x.layout().shape().clone()), tensor(dmix, mix.layout().shape().clone())];
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, result);
            }
        }
    }
}

impl<C: CheckpointStrategy> ShiftOps for Autodiff<Flex, C> {
    fn shift(x: FloatTensor<Self>, first: FloatTensor<Self>, mix: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (first, _), (mix, mix_node)) = (x.into_parts(), first.into_parts(), mix.into_parts());
        let parts = [x, first, mix].map(contiguous);
        let y = forward(&parts);
        match ShiftBackward.prepare::<C>([x_node, mix_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(parts, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
