//! Dropout.

use super::buffer::{owned, slice_mut};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::Dropout;

/// [`crate::ops::dropout`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait DropoutOps: Backend {
    /// Multiplies by the mask.
    fn dropout(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self>;
}

/// See [`crate::ops::dropout`].
pub fn dropout<const D: usize>(x: Tensor<D>, dropout: Option<Dropout>) -> Tensor<D> {
    let Some(dropout) = dropout.filter(|d| d.rate > 0.0) else { return x };
    Tensor::from_dispatch(<Dispatch as DropoutOps>::dropout(x.into_dispatch(), dropout))
}

/// In place where nobody else holds `x`.
fn masked(x: FlexTensor, dropout: &Dropout) -> FlexTensor {
    let mut x = owned(x);
    dropout.apply(slice_mut(&mut x));
    x
}

impl DropoutOps for Flex {
    fn dropout(x: FlexTensor, dropout: Dropout) -> FlexTensor {
        masked(x, &dropout)
    }
}

#[derive(Debug)]
struct DropoutBackward;

impl Backward<Flex, 1> for DropoutBackward {
    type State = Dropout;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = masked(grads.consume::<Flex>(&ops.node), &ops.state);
        if let [Some(x)] = ops.parents {
            grads.register::<Flex>(x.id, grad);
        }
    }
}

impl<C: CheckpointStrategy> DropoutOps for Autodiff<Flex, C> {
    fn dropout(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = masked(x, &dropout);
        match DropoutBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(dropout, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
