//! Two linear maps, one for the first rows of every sequence and one for the rest, into one tensor.

use super::buffer::{contiguous, numbers, present, slice, tensor};
use super::linear::Weight;
use crate::ops;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::Linear;
use std::ops::Range;

/// [`crate::ops::linear_by_rows`] as an extension of Burn's backends. A bias that is absent is a tensor without elements.
#[backend_extension(Flex, Autodiff)]
pub(super) trait LinearByRowsOps: Backend {
    /// `x [b, t, in]`; the first map takes rows `..split` of every sequence.
    fn linear_by_rows(
        x: FloatTensor<Self>,
        first: FloatTensor<Self>,
        first_bias: FloatTensor<Self>,
        rest: FloatTensor<Self>,
        rest_bias: FloatTensor<Self>,
        split: usize,
    ) -> FloatTensor<Self>;
}

/// See [`crate::ops::linear_by_rows`].
pub fn linear_by_rows(x: Tensor<3>, first: ops::Map, rest: ops::Map, split: usize) -> Tensor<3> {
    let device = x.device();
    let vector = |x: Option<Tensor<1>>| x.unwrap_or_else(|| Tensor::zeros([0], &device)).into_dispatch();
    Tensor::from_dispatch(<Dispatch as LinearByRowsOps>::linear_by_rows(
        x.into_dispatch(),
        first.weight.into_dispatch(),
        vector(first.bias),
        rest.weight.into_dispatch(),
        vector(rest.bias),
        split,
    ))
}

/// What the backward pass reads.
#[derive(Debug, Clone)]
struct Saved {
    x: FlexTensor,
    /// The map of the first rows, and of the rest.
    weights: [Weight; 2],
    split: usize,
}

impl Saved {
    /// The rows of a map among all rows, one range per sequence.
    fn rows(&self, map: usize) -> impl Iterator<Item = Range<usize>> {
        let (shape, split) = (self.x.layout().shape(), self.split);
        let (batch, rows) = (shape[0], shape[1]);
        let part = if map == 0 { 0..split } else { split..rows };
        (0..batch).map(move |entry| entry * rows + part.start..entry * rows + part.end)
    }

    /// A map's sizes for so many rows.
    fn linear(&self, map: usize, rows: usize) -> Linear {
        Linear { rows, ..self.weights[map].sizes(&self.x) }
    }

    fn forward(&self, biases: &[Option<FlexTensor>; 2]) -> FlexTensor {
        let shape = self.x.layout().shape();
        let Linear { rows, input, output, .. } = self.weights[0].sizes(&self.x);
        let mut y = numbers(rows * output);
        for (map, bias) in biases.iter().enumerate() {
            let weight = slice(&self.weights[map].data);
            for Range { start, end } in self.rows(map) {
                let (x, y) = (&slice(&self.x)[start * input..end * input], &mut y[start * output..end * output]);
                self.linear(map, end - start).forward(x, weight, bias.as_ref().map(slice), y);
            }
        }
        tensor(y, [shape[0], shape[1], output])
    }

    fn input_gradient(&self, grad: &[f32]) -> FlexTensor {
        let Linear { input, output, .. } = self.weights[0].sizes(&self.x);
        let mut dx = numbers(slice(&self.x).len());
        for map in 0..self.weights.len() {
            let weight = slice(&self.weights[map].data);
            for Range { start, end } in self.rows(map) {
                let (grad, dx) = (&grad[start * output..end * output], &mut dx[start * input..end * input]);
                self.linear(map, end - start).input_gradient(grad, weight, dx);
            }
        }
        tensor(dx, self.x.layout().shape().clone())
    }

    fn weight_gradient(&self, map: usize, grad: &[f32]) -> FlexTensor {
        let mut dweight = numbers(slice(&self.weights[map].data).len());
        for (index, Range { start, end }) in self.rows(map).enumerate() {
            let linear = self.linear(map, end - start);
            let x = &slice(&self.x)[start * linear.input..end * linear.input];
            let grad = &grad[start * linear.output..end * linear.output];
            match index {
                0 => linear.weight_gradient(x, grad, &mut dweight),
                _ => linear.add_weight_gradient(x, grad, &mut dweight),
            }
        }
        self.weights[map].gradient(dweight)
    }

    fn bias_gradient(&self, map: usize, grad: &[f32]) -> FlexTensor {
        let output = self.linear(map, 0).output;
        let (mut dbias, mut part) = (vec![0.0; output], vec![0.0; output]);
        for Range { start, end } in self.rows(map) {
            let linear = self.linear(map, end - start);
            linear.bias_gradient(&grad[start * output..end * output], &mut part);
            percept_kernels::add(&mut dbias, &part);
        }
        tensor(dbias, [output])
    }
}

fn forward(x: FlexTensor, weights: [FlexTensor; 2], biases: [FlexTensor; 2], split: usize) -> (FlexTensor, Saved) {
    let saved = Saved { x: contiguous(x), weights: weights.map(Weight::new), split };
    (saved.forward(&biases.map(present)), saved)
}

impl LinearByRowsOps for Flex {
    fn linear_by_rows(
        x: FlexTensor,
        first: FlexTensor,
        first_bias: FlexTensor,
        rest: FlexTensor,
        rest_bias: FlexTensor,
        split: usize,
    ) -> FlexTensor {
        forward(x, [first, rest], [first_bias, rest_bias], split).0
    }
}

#[derive(Debug)]
struct LinearByRowsBackward;

impl Backward<Flex, 5> for LinearByRowsBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (saved, grad) = (ops.state, slice(&grad));
        for (place, parent) in ops.parents.iter().enumerate() {
            let Some(parent) = parent else { continue };
            let result = match place {
                0 => saved.input_gradient(grad),
                1 | 3 => saved.weight_gradient(place / 2, grad),
                _ => saved.bias_gradient(place / 2 - 1, grad),
            };
            grads.register::<Flex>(parent.id, result);
        }
    }
}

impl<C: CheckpointStrategy> LinearByRowsOps for Autodiff<Flex, C> {
    fn linear_by_rows(
        x: FloatTensor<Self>,
        first: FloatTensor<Self>,
        first_bias: FloatTensor<Self>,
        rest: FloatTensor<Self>,
        rest_bias: FloatTensor<Self>,
        split: usize,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (first, first_node), (rest, rest_node)) =
            (x.into_parts(), first.into_parts(), rest.into_parts());
        let ((first_bias, first_bias_node), (rest_bias, rest_bias_node)) =
            (first_bias.into_parts(), rest_bias.into_parts());
        let (y, saved) = forward(x, [first, rest], [first_bias, rest_bias], split);
        let nodes = [x_node, first_node, first_bias_node, rest_node, rest_bias_node];
        match LinearByRowsBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(saved, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
