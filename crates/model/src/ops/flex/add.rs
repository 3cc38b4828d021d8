//! Sums of tensors of one shape.

use super::buffer::{contiguous, owned, slice, slice_mut};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;

/// [`crate::ops::add`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait AddOps: Backend {
    /// `x + y`.
    fn add_onto(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// See [`crate::ops::add`].
pub fn add<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as AddOps>::add_onto(x.into_dispatch(), y.into_dispatch()))
}

fn sum(x: FlexTensor, y: FlexTensor) -> FlexTensor {
    assert_eq!(x.layout().shape(), y.layout().shape(), "shapes of a sum");
    let mut x = owned(x);
    percept_kernels::add(slice_mut(&mut x), slice(&contiguous(y)));
    x
}

impl AddOps for Flex {
    fn add_onto(x: FlexTensor, y: FlexTensor) -> FlexTensor {
        sum(x, y)
    }
}

#[derive(Debug)]
struct AddBackward;

impl Backward<Flex, 2> for AddBackward {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        for parent in ops.parents.into_iter().flatten() {
            grads.register::<Flex>(parent.id, grad.clone());
        }
    }
}

impl<C: CheckpointStrategy> AddOps for Autodiff<Flex, C> {
    fn add_onto(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (y, y_node)) = (x.into_parts(), y.into_parts());
        let z = sum(x, y);
        match AddBackward.prepare::<C>([x_node, y_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((), z),
            OpsKind::UnTracked(prepared) => prepared.finish(z),
        }
    }
}
