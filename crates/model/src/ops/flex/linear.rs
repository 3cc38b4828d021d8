//! Linear maps.

use super::buffer::{contiguous, numbers, slice, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::{Linear, Precision, WeightOrder};

use crate::ops::precision;

/// [`crate::ops::linear`] as an extension of Burn's backends; `x [b, t, in]`.
#[backend_extension(Flex, Autodiff)]
pub(super) trait LinearOps: Backend {
    /// `x * weight`.
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
    /// `x * weight + bias`.
    fn biased_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// See [`crate::ops::linear`].
pub fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => <Dispatch as LinearOps>::biased_linear(x, weight, bias.into_dispatch()),
        None => <Dispatch as LinearOps>::linear(x, weight),
    })
}

/// A weight whose elements lie in the given order; the tensor is `[in, out]` or, in the other order, `[out, in]`. It keeps
/// the precision of the forward pass for the backward pass.
#[derive(Debug, Clone)]
pub(super) struct Weight {
    pub(super) data: FlexTensor,
    order: WeightOrder,
    precision: Precision,
}

impl Weight {
    /// The transpose of a contiguous tensor (a head that shares the embedding, say) is taken as it lies.
    pub(super) fn new(weight: FlexTensor) -> Self {
        let turned = weight.transpose(0, 1);
        let (data, order) = match weight.as_slice::<f32>().is_none() && turned.as_slice::<f32>().is_some() {
            true => (turned, WeightOrder::OutputInput),
            false => (contiguous(weight), WeightOrder::InputOutput),
        };
        Self { data, order, precision: precision::current() }
    }

    /// A gradient with the elements in the order of this weight, as `[in, out]`.
    pub(super) fn gradient(&self, data: Vec<f32>) -> FlexTensor {
        let gradient = tensor(data, self.data.layout().shape().clone());
        match self.order {
            WeightOrder::InputOutput => gradient,
            WeightOrder::OutputInput => gradient.transpose(0, 1),
        }
    }

    /// The sizes of the map on `x [b, t, in]`.
    pub(super) fn sizes(&self, x: &FlexTensor) -> Linear {
        let (x, weight) = (x.layout().shape(), self.data.layout().shape());
        let (input, output) = match self.order {
            WeightOrder::InputOutput => (weight[0], weight[1]),
            WeightOrder::OutputInput => (weight[1], weight[0]),
        };
        assert_eq!(x[2], input, "a linear map of {input} channels on rows of {}", x[2]);
        Linear { rows: x[0] * x[1], input, output, order: self.order, precision: self.precision }
    }
}

fn forward(x: &FlexTensor, weight: &Weight, bias: Option<&FlexTensor>) -> FlexTensor {
    let linear = weight.sizes(x);
    let shape = x.layout().shape();
    let mut y = numbers(linear.rows * linear.output);
    linear.forward(slice(x), slice(&weight.data), bias.map(slice), &mut y);
    tensor(y, [shape[0], shape[1], linear.output])
}

impl LinearOps for Flex {
    fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        forward(&contiguous(x), &Weight::new(weight), None)
    }

    fn biased_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        forward(&contiguous(x), &Weight::new(weight), Some(&contiguous(bias)))
    }
}

/// The input and the weight; the number of parents tells whether there was a bias.
#[derive(Debug)]
struct LinearBackward;

impl<const N: usize> Backward<Flex, N> for LinearBackward {
    type State = (FlexTensor, Weight);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (x, weight) = ops.state;
        let linear = weight.sizes(&x);
        for (place, parent) in ops.parents.iter().enumerate() {
            let Some(parent) = parent else { continue };
            let result = match place {
                0 => {
                    let mut dx = numbers(slice(&x).len());
                    linear.input_gradient(slice(&grad), slice(&weight.data), &mut dx);
                    tensor(dx, x.layout().shape().clone())
                }
                1 => {
                    let mut dweight = numbers(slice(&weight.data).len());
                    linear.weight_gradient(slice(&x), slice(&grad), &mut dweight);
                    weight.gradient(dweight)
                }
                _ => {
                    let mut dbias = numbers(linear.output);
                    linear.bias_gradient(slice(&grad), &mut dbias);
                    tensor(dbias, [linear.output])
                }
            };
            grads.register::<Flex>(parent.id, result);
        }
    }
}

impl<C: CheckpointStrategy> LinearOps for Autodiff<Flex, C> {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (x, weight) = (contiguous(x), Weight::new(weight));
        let y = forward(&x, &weight, None);
        let prepared = Backward::<Flex, 2>::prepare::<C>(LinearBackward, [x_node, weight_node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x, weight), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn biased_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (bias, bias_node) = bias.into_parts();
        let (x, weight) = (contiguous(x), Weight::new(weight));
        let y = forward(&x, &weight, Some(&contiguous(bias)));
        let prepared = Backward::<Flex, 3>::prepare::<C>(LinearBackward, [x_node, weight_node, bias_node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x, weight), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
