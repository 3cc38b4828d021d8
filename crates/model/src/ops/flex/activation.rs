//! GELU and the gate of SwiGLU.

use super::buffer::{contiguous, numbers, owned, slice, slice_mut, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;

/// Activations as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait ActivationOps: Backend {
    /// [`crate::ops::gelu`].
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// [`crate::ops::swiglu`].
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// See [`crate::ops::gelu`].
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::exact_gelu(x.into_dispatch()))
}

/// See [`crate::ops::swiglu`].
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::swiglu(gate.into_dispatch(), up.into_dispatch()))
}

fn gelu_forward(x: &FlexTensor) -> FlexTensor {
    let mut y = numbers(slice(x).len());
    percept_kernels::gelu(slice(x), &mut y);
    tensor(y, x.layout().shape().clone())
}

fn swiglu_forward(gate: &FlexTensor, up: &FlexTensor) -> FlexTensor {
    let mut y = numbers(slice(gate).len());
    percept_kernels::swiglu(slice(gate), slice(up), &mut y);
    tensor(y, gate.layout().shape().clone())
}

impl ActivationOps for Flex {
    fn exact_gelu(x: FlexTensor) -> FlexTensor {
        gelu_forward(&contiguous(x))
    }

    fn swiglu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        swiglu_forward(&contiguous(gate), &contiguous(up))
    }
}

#[derive(Debug)]
struct GeluBackward;

impl Backward<Flex, 1> for GeluBackward {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut grad = owned(grads.consume::<Flex>(&ops.node));
        percept_kernels::gelu_backward(slice(&ops.state), slice_mut(&mut grad));
        if let [Some(x)] = ops.parents {
            grads.register::<Flex>(x.id, grad);
        }
    }
}

#[derive(Debug)]
struct SwigluBackward;

impl Backward<Flex, 2> for SwigluBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut dup = owned(grads.consume::<Flex>(&ops.node));
        let (gate, up) = ops.state;
        let mut dgate = numbers(slice(&gate).len());
        percept_kernels::swiglu_backward(slice(&gate), slice(&up), slice_mut(&mut dup), &mut dgate);
        let [gate_node, up_node] = ops.parents;
        if let Some(node) = gate_node {
            grads.register::<Flex>(node.id, tensor(dgate, gate.layout().shape().clone()));
        }
        if let Some(node) = up_node {
            grads.register::<Flex>(node.id, dup);
        }
    }
}

impl<C: CheckpointStrategy> ActivationOps for Autodiff<Flex, C> {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let x = contiguous(x);
        let y = gelu_forward(&x);
        match GeluBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(x, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((gate, gate_node), (up, up_node)) = (gate.into_parts(), up.into_parts());
        let (gate, up) = (contiguous(gate), contiguous(up));
        let y = swiglu_forward(&gate, &up);
        match SwigluBackward.prepare::<C>([gate_node, up_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((gate, up), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
