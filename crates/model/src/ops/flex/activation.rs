//! GELU, squared ReLU, sigmoid and tanh, the gates of SwiGLU and GLU, and blends.

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
    /// [`crate::ops::relu_squared`].
    fn relu_squared(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// [`crate::ops::sigmoid`].
    fn plain_sigmoid(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// [`crate::ops::tanh`].
    fn plain_tanh(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// [`crate::ops::blend`].
    fn blend(share: FloatTensor<Self>, value: FloatTensor<Self>, other: FloatTensor<Self>) -> FloatTensor<Self>;
    /// [`crate::ops::swiglu`].
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
    /// [`crate::ops::glu`].
    fn glu(gate: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// See [`crate::ops::gelu`].
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::exact_gelu(x.into_dispatch()))
}

/// See [`crate::ops::relu_squared`].
pub fn relu_squared<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::relu_squared(x.into_dispatch()))
}

/// See [`crate::ops::sigmoid`].
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::plain_sigmoid(x.into_dispatch()))
}

/// See [`crate::ops::tanh`].
pub fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::plain_tanh(x.into_dispatch()))
}

/// See [`crate::ops::blend`].
pub fn blend<const D: usize>(share: Tensor<D>, value: Tensor<D>, other: Tensor<D>) -> Tensor<D> {
    let (share, value, other) = (share.into_dispatch(), value.into_dispatch(), other.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ActivationOps>::blend(share, value, other))
}

/// See [`crate::ops::swiglu`].
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::swiglu(gate.into_dispatch(), up.into_dispatch()))
}

/// See [`crate::ops::glu`].
pub fn glu<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::glu(gate.into_dispatch(), x.into_dispatch()))
}

/// A kernel of one input: reads it, writes the output.
type Plain = fn(&[f32], &mut [f32]);
/// Its backward pass: reads the input, turns the gradient of the output into its own.
type PlainBackward = fn(&[f32], &mut [f32]);

fn plain_forward(x: &FlexTensor, kernel: Plain) -> FlexTensor {
    let mut y = numbers(slice(x).len());
    kernel(slice(x), &mut y);
    tensor(y, x.layout().shape().clone())
}

/// A kernel of a gate and what it lets through.
type Kernel = fn(&[f32], &[f32], &mut [f32]);
/// Its backward pass.
type BackwardKernel = fn(&[f32], &[f32], &mut [f32], &mut [f32]);

fn gate_forward(gate: &FlexTensor, x: &FlexTensor, kernel: Kernel) -> FlexTensor {
    let mut y = numbers(slice(gate).len());
    kernel(slice(gate), slice(x), &mut y);
    tensor(y, gate.layout().shape().clone())
}

fn blend_forward([share, value, other]: &[FlexTensor; 3]) -> FlexTensor {
    let mut y = numbers(slice(share).len());
    percept_kernels::blend(slice(share), slice(value), slice(other), &mut y);
    tensor(y, share.layout().shape().clone())
}

impl ActivationOps for Flex {
    fn exact_gelu(x: FlexTensor) -> FlexTensor {
        plain_forward(&contiguous(x), percept_kernels::gelu)
    }

    fn relu_squared(x: FlexTensor) -> FlexTensor {
        plain_forward(&contiguous(x), percept_kernels::relu_squared_into)
    }

    fn plain_sigmoid(x: FlexTensor) -> FlexTensor {
        plain_forward(&contiguous(x), percept_kernels::sigmoid)
    }

    fn plain_tanh(x: FlexTensor) -> FlexTensor {
        plain_forward(&contiguous(x), percept_kernels::tanh)
    }

    fn blend(share: FlexTensor, value: FlexTensor, other: FlexTensor) -> FlexTensor {
        blend_forward(&[share, value, other].map(contiguous))
    }

    fn swiglu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        gate_forward(&contiguous(gate), &contiguous(up), percept_kernels::swiglu)
    }

    fn glu(gate: FlexTensor, x: FlexTensor) -> FlexTensor {
        gate_forward(&contiguous(gate), &contiguous(x), percept_kernels::glu)
    }
}

#[derive(Debug)]
struct ActivationBackward(PlainBackward);

impl Backward<Flex, 1> for ActivationBackward {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut grad = owned(grads.consume::<Flex>(&ops.node));
        (self.0)(slice(&ops.state), slice_mut(&mut grad));
        if let [Some(x)] = ops.parents {
            grads.register::<Flex>(x.id, grad);
        }
    }
}

#[derive(Debug)]
struct GateBackward(BackwardKernel);

impl Backward<Flex, 2> for GateBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut dx = owned(grads.consume::<Flex>(&ops.node));
        let (gate, x) = ops.state;
        let mut dgate = numbers(slice(&gate).len());
        (self.0)(slice(&gate), slice(&x), slice_mut(&mut dx), &mut dgate);
        let [gate_node, x_node] = ops.parents;
        if let Some(node) = gate_node {
            grads.register::<Flex>(node.id, tensor(dgate, gate.layout().shape().clone()));
        }
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, dx);
        }
    }
}

#[derive(Debug)]
struct BlendBackward;

impl Backward<Flex, 3> for BlendBackward {
    type State = [FlexTensor; 3];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut dvalue = owned(grads.consume::<Flex>(&ops.node));
        let inputs = ops.state.each_ref().map(slice);
        let [mut dshare, mut dother] = [(); 2].map(|()| numbers(inputs[0].len()));
        percept_kernels::blend_backward(inputs, slice_mut(&mut dvalue), &mut dshare, &mut dother);
        let [dshare, dother] = [dshare, dother].map(|data| tensor(data, ops.state[0].layout().shape().clone()));
        for (parent, result) in ops.parents.into_iter().zip([dshare, dvalue, dother]) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, result);
            }
        }
    }
}

fn tracked<C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<Flex, C>>,
    kernel: Plain,
    backward: PlainBackward,
) -> FloatTensor<Autodiff<Flex, C>> {
    let (x, node) = x.into_parts();
    let x = contiguous(x);
    let y = plain_forward(&x, kernel);
    match ActivationBackward(backward).prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(x, y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    }
}

fn tracked_gate<C: CheckpointStrategy>(
    gate: FloatTensor<Autodiff<Flex, C>>,
    x: FloatTensor<Autodiff<Flex, C>>,
    kernel: Kernel,
    backward: BackwardKernel,
) -> FloatTensor<Autodiff<Flex, C>> {
    let ((gate, gate_node), (x, x_node)) = (gate.into_parts(), x.into_parts());
    let (gate, x) = (contiguous(gate), contiguous(x));
    let y = gate_forward(&gate, &x, kernel);
    match GateBackward(backward).prepare::<C>([gate_node, x_node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((gate, x), y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    }
}

impl<C: CheckpointStrategy> ActivationOps for Autodiff<Flex, C> {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        tracked::<C>(x, percept_kernels::gelu, percept_kernels::gelu_backward)
    }

    fn relu_squared(x: FloatTensor<Self>) -> FloatTensor<Self> {
        tracked::<C>(x, percept_kernels::relu_squared_into, percept_kernels::relu_squared_backward)
    }

    fn plain_sigmoid(x: FloatTensor<Self>) -> FloatTensor<Self> {
        tracked::<C>(x, percept_kernels::sigmoid, percept_kernels::sigmoid_backward)
    }

    fn plain_tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
        tracked::<C>(x, percept_kernels::tanh, percept_kernels::tanh_backward)
    }

    fn blend(share: FloatTensor<Self>, value: FloatTensor<Self>, other: FloatTensor<Self>) -> FloatTensor<Self> {
        let parts = [share, value, other];
        let inputs = parts.each_ref().map(|part| contiguous(part.primitive().clone()));
        let nodes = parts.map(|part| part.into_parts().1);
        let y = blend_forward(&inputs);
        match BlendBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(inputs, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        tracked_gate::<C>(gate, up, percept_kernels::swiglu, percept_kernels::swiglu_backward)
    }

    fn glu(gate: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self> {
        tracked_gate::<C>(gate, x, percept_kernels::glu, percept_kernels::glu_backward)
    }
}
