//! The feed-forward sublayer as one operation.

use super::buffer::{contiguous, numbers, present, recycle, slice, tensor};
use super::linear::Weight;
use crate::ops;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::{Dropout, Norm, RowStatistics, add, gelu, gelu_backward, swiglu, swiglu_backward};

/// Everything but the tensors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    norm: Norm,
    eps: f32,
    dropout: Option<Dropout>,
}

/// [`crate::ops::feed_forward`] as an extension of Burn's backends. A parameter that is absent is a tensor without elements.
#[backend_extension(Flex, Autodiff)]
#[allow(clippy::too_many_arguments, reason = "an operation takes its parents one by one")]
pub(super) trait FeedForwardOps: Backend {
    /// `x` plus the sublayer's output.
    fn feed_forward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        gate_bias: FloatTensor<Self>,
        up: FloatTensor<Self>,
        up_bias: FloatTensor<Self>,
        down: FloatTensor<Self>,
        down_bias: FloatTensor<Self>,
        rule: Rule,
    ) -> FloatTensor<Self>;
}

/// See [`crate::ops::feed_forward`].
pub fn feed_forward(x: Tensor<3>, parameters: ops::FeedForward, dropout: Option<Dropout>) -> Tensor<3> {
    let ops::FeedForward { gamma, beta, eps, gate, up, down } = parameters;
    let norm = if beta.is_some() { Norm::Layer } else { Norm::Rms };
    let rule = Rule { norm, eps: eps as f32, dropout };
    let device = x.device();
    let vector = |x: Option<Tensor<1>>| x.unwrap_or_else(|| Tensor::zeros([0], &device)).into_dispatch();
    let (gate, gate_bias) = match gate {
        Some(gate) => (gate.weight, gate.bias),
        None => (Tensor::zeros([0, 0], &device), None),
    };
    Tensor::from_dispatch(<Dispatch as FeedForwardOps>::feed_forward(
        x.into_dispatch(),
        gamma.into_dispatch(),
        vector(beta),
        gate.into_dispatch(),
        vector(gate_bias),
        up.weight.into_dispatch(),
        vector(up.bias),
        down.weight.into_dispatch(),
        vector(down.bias),
        rule,
    ))
}

/// The parameters; the biases of the first maps are in what those have computed.
#[derive(Debug, Clone)]
struct Parameters {
    gamma: FlexTensor,
    beta: Option<FlexTensor>,
    gate: Option<Weight>,
    up: Weight,
    down: Weight,
}

/// What enters the activation, `[b, t, hidden]` each.
#[derive(Debug, Clone)]
struct Hidden {
    gate: Option<FlexTensor>,
    up: FlexTensor,
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Saved {
    x: FlexTensor,
    parameters: Parameters,
    hidden: Hidden,
    rule: Rule,
}

impl Parameters {
    /// From gamma, beta, and the weights of gate, up and down.
    fn new([gamma, beta, gate, up, down]: [FlexTensor; 5]) -> Self {
        let gate = (gate.layout().shape().num_elements() > 0).then(|| Weight::new(gate));
        Self { gamma: contiguous(gamma), beta: present(beta), gate, up: Weight::new(up), down: Weight::new(down) }
    }

    fn normalised(&self, x: &FlexTensor, rule: &Rule) -> (Vec<f32>, Vec<RowStatistics>) {
        let mut z = numbers(slice(x).len());
        let mut statistics = vec![RowStatistics::default(); z.len() / slice(&self.gamma).len().max(1)];
        let scale = (slice(&self.gamma), self.beta.as_ref().map(slice));
        rule.norm.forward(slice(x), scale, rule.eps, &mut z, &mut statistics);
        (z, statistics)
    }
}

impl Hidden {
    /// What leaves the activation, after dropout.
    fn activated(&self, rule: &Rule) -> Vec<f32> {
        let up = slice(&self.up);
        let mut y = numbers(up.len());
        match &self.gate {
            Some(gate) => swiglu(slice(gate), up, &mut y),
            None => gelu(up, &mut y),
        }
        if let Some(dropout) = &rule.dropout {
            dropout.apply(&mut y);
        }
        y
    }
}

/// The sublayer's output and what the backward pass needs; the biases are those of gate, up and down.
fn forward(x: FlexTensor, parameters: Parameters, biases: [FlexTensor; 3], rule: Rule) -> (FlexTensor, Saved) {
    let x = contiguous(x);
    let [gate_bias, up_bias, down_bias] = biases.map(present);
    let (z, _) = parameters.normalised(&x, &rule);
    let map = |weight: &Weight, bias: Option<&FlexTensor>| {
        let linear = weight.sizes(&x);
        let mut y = numbers(linear.rows * linear.output);
        linear.forward(&z, slice(&weight.data), bias.map(slice), &mut y);
        let shape = x.layout().shape();
        tensor(y, [shape[0], shape[1], linear.output])
    };
    let gate = parameters.gate.as_ref().map(|gate| map(gate, gate_bias.as_ref()));
    let hidden = Hidden { gate, up: map(&parameters.up, up_bias.as_ref()) };
    recycle(z);
    let activated = hidden.activated(&rule);
    let down = parameters.down.sizes(&hidden.up);
    let mut y = numbers(slice(&x).len());
    let bias = down_bias.as_ref().map(slice);
    down.forward_onto(slice(&x), &activated, slice(&parameters.down.data), bias, &mut y);
    recycle(activated);
    (tensor(y, x.layout().shape().clone()), Saved { x, parameters, hidden, rule })
}

/// Gradients of a weight and of its bias.
fn map_gradients(weight: &Weight, x: &[f32], like: &FlexTensor, grad: &[f32]) -> [FlexTensor; 2] {
    let linear = weight.sizes(like);
    let mut dweight = numbers(slice(&weight.data).len());
    linear.weight_gradient(x, grad, &mut dweight);
    let mut dbias = numbers(linear.output);
    linear.bias_gradient(grad, &mut dbias);
    [weight.gradient(dweight), tensor(dbias, [linear.output])]
}

impl Saved {
    /// The gradients of x, gamma, beta, and of weight and bias of gate, up and down, in the order of the parents.
    fn backward(self, grad: &[f32]) -> [Option<FlexTensor>; 9] {
        let Self { x, parameters, hidden, rule } = self;
        let mut dhidden = hidden.activated(&rule);
        let down = &parameters.down;
        let [ddown, ddown_bias] = map_gradients(down, &dhidden, &hidden.up, grad);
        down.sizes(&hidden.up).input_gradient(grad, slice(&down.data), &mut dhidden);
        if let Some(dropout) = &rule.dropout {
            dropout.apply(&mut dhidden);
        }
        let dgated = match &hidden.gate {
            Some(gate) => {
                let mut dgated = numbers(dhidden.len());
                swiglu_backward(slice(gate), slice(&hidden.up), &mut dhidden, &mut dgated);
                Some(dgated)
            }
            None => {
                gelu_backward(slice(&hidden.up), &mut dhidden);
                None
            }
        };
        drop(hidden);
        let (mut z, statistics) = parameters.normalised(&x, &rule);
        let up = &parameters.up;
        let [dup, dup_bias] = map_gradients(up, &z, &x, &dhidden);
        let gate = parameters.gate.as_ref().zip(dgated);
        let dgate = gate.as_ref().map(|(gate, dgated)| map_gradients(gate, &z, &x, dgated));
        up.sizes(&x).input_gradient(&dhidden, slice(&up.data), &mut z);
        recycle(dhidden);
        if let Some((gate, dgated)) = gate {
            gate.sizes(&x).add_input_gradient(&dgated, slice(&gate.data), &mut z);
            recycle(dgated);
        }
        let width = slice(&parameters.gamma).len();
        let (mut dgamma, mut dbeta) = (numbers(width), numbers(width));
        let scale = (&mut dgamma[..], parameters.beta.is_some().then_some(&mut dbeta[..]));
        rule.norm.backward(slice(&x), slice(&parameters.gamma), &statistics, &mut z, scale);
        add(&mut z, grad);
        let [dgate, dgate_bias] = dgate.map_or([None, None], |gradients| gradients.map(Some));
        let vectors = [dgamma, dbeta].map(|data| Some(tensor(data, [width])));
        let [dgamma, dbeta] = vectors;
        let dx = Some(tensor(z, x.layout().shape().clone()));
        [dx, dgamma, dbeta, dgate, dgate_bias, Some(dup), Some(dup_bias), Some(ddown), Some(ddown_bias)]
    }
}

#[derive(Debug)]
struct FeedForwardBackward;

impl Backward<Flex, 9> for FeedForwardBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Self::State, 9>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let gradients = ops.state.backward(slice(&grad));
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "see the trait")]
impl FeedForwardOps for Flex {
    fn feed_forward(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        gate: FlexTensor,
        gate_bias: FlexTensor,
        up: FlexTensor,
        up_bias: FlexTensor,
        down: FlexTensor,
        down_bias: FlexTensor,
        rule: Rule,
    ) -> FlexTensor {
        let parameters = Parameters::new([gamma, beta, gate, up, down]);
        forward(x, parameters, [gate_bias, up_bias, down_bias], rule).0
    }
}

#[allow(clippy::too_many_arguments, reason = "see the trait")]
impl<C: CheckpointStrategy> FeedForwardOps for Autodiff<Flex, C> {
    fn feed_forward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        gate_bias: FloatTensor<Self>,
        up: FloatTensor<Self>,
        up_bias: FloatTensor<Self>,
        down: FloatTensor<Self>,
        down_bias: FloatTensor<Self>,
        rule: Rule,
    ) -> FloatTensor<Self> {
        let inputs = [x, gamma, beta, gate, gate_bias, up, up_bias, down, down_bias];
        let data = inputs.each_ref().map(|input| input.primitive().clone());
        let nodes = inputs.map(|input| input.into_parts().1);
        let [x, gamma, beta, gate, gate_bias, up, up_bias, down, down_bias] = data;
        let parameters = Parameters::new([gamma, beta, gate, up, down]);
        let (y, saved) = forward(x, parameters, [gate_bias, up_bias, down_bias], rule);
        match FeedForwardBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(saved, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
