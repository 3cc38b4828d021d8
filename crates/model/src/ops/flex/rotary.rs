//! Rotary position embedding.

use super::buffer::{owned, slice_mut};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::{Rotary, Turn};

/// [`crate::ops::rotary`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait RotaryOps: Backend {
    /// Rotates `x [b, t, h, e]`.
    fn rotary(x: FloatTensor<Self>, start: usize, rotary: Rotary) -> FloatTensor<Self>;
}

/// See [`crate::ops::rotary`].
pub fn rotary(x: Tensor<4>, start: usize, rotary: &Rotary) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as RotaryOps>::rotary(x.into_dispatch(), start, *rotary))
}

/// In place where nobody else holds `x`.
fn turn(x: FlexTensor, start: usize, rotary: &Rotary, turn: Turn) -> FlexTensor {
    let mut x = owned(x);
    let shape = x.layout().shape();
    let sizes = [shape[0], shape[1], shape[2], shape[3]];
    rotary.rotate(slice_mut(&mut x), sizes, start, turn);
    x
}

impl RotaryOps for Flex {
    fn rotary(x: FlexTensor, start: usize, rotary: Rotary) -> FlexTensor {
        turn(x, start, &rotary, Turn::Forward)
    }
}

#[derive(Debug)]
struct RotaryBackward;

impl Backward<Flex, 1> for RotaryBackward {
    type State = (usize, Rotary);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (start, rotary) = ops.state;
        let grad = turn(grads.consume::<Flex>(&ops.node), start, &rotary, Turn::Back);
        if let [Some(x)] = ops.parents {
            grads.register::<Flex>(x.id, grad);
        }
    }
}

impl<C: CheckpointStrategy> RotaryOps for Autodiff<Flex, C> {
    fn rotary(x: FloatTensor<Self>, start: usize, rotary: Rotary) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = turn(x, start, &rotary, Turn::Forward);
        match RotaryBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((start, rotary), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
