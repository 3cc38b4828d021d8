//! The output head with its cross-entropy.

use super::buffer::{contiguous, numbers, owned, slice, slice_mut, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::{Head, HeadGradients, Precision};

use crate::ops::precision;

/// The targets, the weight of the z-loss, and the format of the products.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    targets: Vec<u32>,
    z_loss: f32,
    precision: Precision,
}

/// [`crate::ops::head_cross_entropy`] as an extension of Burn's backends; the summed loss, `[1]`.
#[backend_extension(Flex, Autodiff)]
pub(super) trait HeadOps: Backend {
    /// Without bias.
    fn head_loss(hidden: FloatTensor<Self>, weight: FloatTensor<Self>, goal: Goal) -> FloatTensor<Self>;
    /// With bias.
    fn biased_head_loss(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        goal: Goal,
    ) -> FloatTensor<Self>;
}

/// See [`crate::ops::head_cross_entropy`].
pub fn head_cross_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    targets: &[u32],
    z_loss: f32,
) -> Tensor<1> {
    let goal = Goal { targets: targets.to_vec(), z_loss, precision: precision::current() };
    let (hidden, weight) = (hidden.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => <Dispatch as HeadOps>::biased_head_loss(hidden, weight, bias.into_dispatch(), goal),
        None => <Dispatch as HeadOps>::head_loss(hidden, weight, goal),
    })
}

struct Inputs {
    hidden: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    goal: Goal,
}

impl Inputs {
    fn new(hidden: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>, goal: Goal) -> Self {
        Self { hidden: contiguous(hidden), weight: contiguous(weight), bias: bias.map(contiguous), goal }
    }

    fn head(&self) -> Head<'_> {
        let dim = self.weight.layout().shape()[1];
        let (hidden, weight, bias) = (slice(&self.hidden), slice(&self.weight), self.bias.as_ref().map(slice));
        Head { hidden, weight, bias, targets: &self.goal.targets, dim, precision: self.goal.precision }
    }

    fn loss(&self) -> FlexTensor {
        tensor(vec![self.head().loss() as f32], [1])
    }

    /// The loss and the gradients of hidden rows, weight and (where there is one) bias.
    fn differentiated(&self) -> (FlexTensor, Vec<FlexTensor>) {
        let inputs = [Some(&self.hidden), Some(&self.weight), self.bias.as_ref()];
        let mut buffers: Vec<_> = inputs.into_iter().flatten().map(|x| numbers(slice(x).len())).collect();
        let mut views = buffers.iter_mut();
        let (Some(hidden), Some(weight)) = (views.next(), views.next()) else {
            unreachable!("there are two or three inputs")
        };
        let gradients =
            HeadGradients { hidden, weight, bias: views.next().map(|bias| &mut bias[..]), z_loss: self.goal.z_loss };
        let loss = self.head().loss_and_gradients(gradients);
        let shaped = buffers.into_iter().zip(inputs.into_iter().flatten());
        let gradients = shaped.map(|(data, input)| tensor(data, input.layout().shape().clone()));
        (tensor(vec![loss as f32], [1]), gradients.collect())
    }
}

impl HeadOps for Flex {
    fn head_loss(hidden: FlexTensor, weight: FlexTensor, goal: Goal) -> FlexTensor {
        Inputs::new(hidden, weight, None, goal).loss()
    }

    fn biased_head_loss(hidden: FlexTensor, weight: FlexTensor, bias: FlexTensor, goal: Goal) -> FlexTensor {
        Inputs::new(hidden, weight, Some(bias), goal).loss()
    }
}

/// Hands on the gradients that the forward pass has computed.
#[derive(Debug)]
struct HeadBackward;

impl<const N: usize> Backward<Flex, N> for HeadBackward {
    type State = Vec<FlexTensor>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let factor = slice(&contiguous(grads.consume::<Flex>(&ops.node)))[0];
        for (parent, gradient) in ops.parents.into_iter().zip(ops.state) {
            let Some(parent) = parent else { continue };
            let mut gradient = owned(gradient);
            percept_kernels::scale(slice_mut(&mut gradient), factor);
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}

impl<C: CheckpointStrategy> HeadOps for Autodiff<Flex, C> {
    fn head_loss(hidden: FloatTensor<Self>, weight: FloatTensor<Self>, goal: Goal) -> FloatTensor<Self> {
        let ((hidden, hidden_node), (weight, weight_node)) = (hidden.into_parts(), weight.into_parts());
        let inputs = Inputs::new(hidden, weight, None, goal);
        let prepared = Backward::<Flex, 2>::prepare::<C>(HeadBackward, [hidden_node, weight_node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (loss, gradients) = inputs.differentiated();
                prepared.finish(gradients, loss)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(inputs.loss()),
        }
    }

    fn biased_head_loss(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        goal: Goal,
    ) -> FloatTensor<Self> {
        let ((hidden, hidden_node), (weight, weight_node)) = (hidden.into_parts(), weight.into_parts());
        let (bias, bias_node) = bias.into_parts();
        let inputs = Inputs::new(hidden, weight, Some(bias), goal);
        let prepared = Backward::<Flex, 3>::prepare::<C>(HeadBackward, [hidden_node, weight_node, bias_node]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (loss, gradients) = inputs.differentiated();
                prepared.finish(gradients, loss)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(inputs.loss()),
        }
    }
}
