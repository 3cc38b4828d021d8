//! Convolutions and linear maps of groups of channels.

use super::buffer::{contiguous, numbers, slice, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::Grouped;

use crate::ops::precision;

/// [`crate::ops::grouped`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait GroupedOps: Backend {
    /// `x [b, t, groups in]`, `taps [w in, groups out]`.
    fn grouped(x: FloatTensor<Self>, taps: FloatTensor<Self>, groups: usize) -> FloatTensor<Self>;
}

/// See [`crate::ops::grouped`].
pub fn grouped(x: Tensor<3>, taps: Tensor<2>, groups: usize) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as GroupedOps>::grouped(x.into_dispatch(), taps.into_dispatch(), groups))
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Saved {
    x: FlexTensor,
    taps: FlexTensor,
    sizes: Grouped,
}

fn forward(x: FlexTensor, taps: FlexTensor, groups: usize) -> (FlexTensor, Saved) {
    let (x, taps) = (contiguous(x), contiguous(taps));
    let (of_x, of_taps) = (x.layout().shape(), taps.layout().shape());
    let input = of_x[2] / groups;
    let sizes = Grouped {
        batch: of_x[0],
        rows: of_x[1],
        groups,
        input,
        output: of_taps[1] / groups,
        width: of_taps[0] / input,
        precision: precision::current(),
    };
    let mut y = numbers(of_x[0] * of_x[1] * of_taps[1]);
    sizes.forward(slice(&x), slice(&taps), &mut y);
    (tensor(y, [of_x[0], of_x[1], of_taps[1]]), Saved { x, taps, sizes })
}

impl GroupedOps for Flex {
    fn grouped(x: FlexTensor, taps: FlexTensor, groups: usize) -> FlexTensor {
        forward(x, taps, groups).0
    }
}

#[derive(Debug)]
struct GroupedBackward;

impl Backward<Flex, 2> for GroupedBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let Saved { x, taps, sizes } = ops.state;
        let (mut dx, mut dtaps) = (numbers(slice(&x).len()), numbers(slice(&taps).len()));
        sizes.backward(slice(&x), slice(&taps), slice(&grad), &mut dx, &mut dtaps);
        let results = [tensor(dx, x.layout().shape().clone()), tensor(dtaps, taps.layout().shape().clone())];
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, result);
            }
        }
    }
}

impl<C: CheckpointStrategy> GroupedOps for Autodiff<Flex, C> {
    fn grouped(x: FloatTensor<Self>, taps: FloatTensor<Self>, groups: usize) -> FloatTensor<Self> {
        let ((x, x_node), (taps, taps_node)) = (x.into_parts(), taps.into_parts());
        let (y, saved) = forward(x, taps, groups);
        match GroupedBackward.prepare::<C>([x_node, taps_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(saved, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
