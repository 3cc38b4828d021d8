//! The embedding.

use super::buffer::{contiguous, numbers, slice, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{Int, Shape, Tensor};
use percept_kernels::embedding::{gather, scatter};
use std::sync::Arc;

/// [`crate::ops::embedding`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait EmbeddingOps: Backend {
    /// Rows `ids`, which have the shape `[b, t]`, of `weight`.
    fn rows(weight: FloatTensor<Self>, ids: Arc<[u32]>, shape: [usize; 2]) -> FloatTensor<Self>;
}

/// See [`crate::ops::embedding`].
pub fn embedding(weight: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    let shape = ids.dims();
    let ids: Arc<[u32]> = ids.into_data().iter::<i64>().map(|id| u32::try_from(id).unwrap_or(u32::MAX)).collect();
    Tensor::from_dispatch(<Dispatch as EmbeddingOps>::rows(weight.into_dispatch(), ids, shape))
}

fn forward(weight: &FlexTensor, ids: &[u32], shape: [usize; 2]) -> FlexTensor {
    let width = weight.layout().shape()[1];
    let mut y = numbers(ids.len() * width);
    gather(slice(weight), width, ids, &mut y);
    tensor(y, [shape[0], shape[1], width])
}

impl EmbeddingOps for Flex {
    fn rows(weight: FlexTensor, ids: Arc<[u32]>, shape: [usize; 2]) -> FlexTensor {
        forward(&contiguous(weight), &ids, shape)
    }
}

#[derive(Debug)]
struct EmbeddingBackward;

impl Backward<Flex, 1> for EmbeddingBackward {
    type State = (Arc<[u32]>, Shape);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (ids, shape) = ops.state;
        let mut dweight = numbers(shape.num_elements());
        scatter(slice(&grad), shape[1], &ids, &mut dweight);
        if let [Some(weight)] = ops.parents {
            grads.register::<Flex>(weight.id, tensor(dweight, shape));
        }
    }
}

impl<C: CheckpointStrategy> EmbeddingOps for Autodiff<Flex, C> {
    fn rows(weight: FloatTensor<Self>, ids: Arc<[u32]>, shape: [usize; 2]) -> FloatTensor<Self> {
        let (weight, node) = weight.into_parts();
        let weight = contiguous(weight);
        let y = forward(&weight, &ids, shape);
        match EmbeddingBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((ids, weight.layout().shape().clone()), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
