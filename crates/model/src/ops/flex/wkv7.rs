//! RWKV-7's recurrence.

use super::buffer::{contiguous, numbers, slice, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, TensorData};
use percept_kernels::{Wkv7, Wkv7Gradients, Wkv7Inputs};

use crate::ops::elements;

/// [`crate::ops::wkv7`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Wkv7Ops: Backend {
    /// r, w, k, v, a, b, `[b, t, h, e]` each.
    fn wkv7(
        receptance: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        removal: FloatTensor<Self>,
        replacement: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// See [`crate::ops::wkv7`].
pub fn wkv7(inputs: [Tensor<4>; 6]) -> Tensor<4> {
    let [r, w, k, v, a, b] = inputs.map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as Wkv7Ops>::wkv7(r, w, k, v, a, b))
}

/// See [`crate::ops::wkv7_from`]; without gradients.
pub fn wkv7_from(inputs: [Tensor<4>; 6], state: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let (dims, of_state, device) = (inputs[0].dims(), state.dims(), state.device());
    let [batch, rows, heads, width] = dims;
    let (inputs, mut state) = (inputs.map(elements), elements(state));
    let mut y = vec![0.0; inputs[0].len()];
    Wkv7 { batch, rows, heads, width }.forward(&of(inputs.each_ref().map(Vec::as_slice)), &mut state, &mut y);
    let [y, state] =
        [(y, dims), (state, of_state)].map(|(values, dims)| Tensor::from_data(TensorData::new(values, dims), &device));
    (y, state)
}

fn of([receptance, decay, key, value, removal, replacement]: [&[f32]; 6]) -> Wkv7Inputs<'_> {
    Wkv7Inputs { receptance, decay, key, value, removal, replacement }
}

fn sizes(inputs: &[FlexTensor; 6]) -> Wkv7 {
    let shape = inputs[0].layout().shape();
    Wkv7 { batch: shape[0], rows: shape[1], heads: shape[2], width: shape[3] }
}

fn output(y: Vec<f32>, inputs: &[FlexTensor; 6]) -> FlexTensor {
    tensor(y, inputs[0].layout().shape().clone())
}

impl Wkv7Ops for Flex {
    fn wkv7(
        receptance: FlexTensor,
        decay: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        removal: FlexTensor,
        replacement: FlexTensor,
    ) -> FlexTensor {
        let inputs = [receptance, decay, key, value, removal, replacement].map(contiguous);
        let wkv = sizes(&inputs);
        let (mut y, mut state) = (numbers(slice(&inputs[0]).len()), vec![0.0; wkv.state_len()]);
        wkv.forward(&of(inputs.each_ref().map(slice)), &mut state, &mut y);
        output(y, &inputs)
    }
}

#[derive(Debug)]
struct Wkv7Backward;

impl Backward<Flex, 6> for Wkv7Backward {
    /// The inputs, and the states of the chunks.
    type State = ([FlexTensor; 6], FlexTensor);

    fn backward(self, ops: Ops<Self::State, 6>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (inputs, saved) = ops.state;
        let mut results = inputs.each_ref().map(|input| numbers(slice(input).len()));
        let [receptance, decay, key, value, removal, replacement] = results.each_mut().map(Vec::as_mut_slice);
        let gradients = Wkv7Gradients { receptance, decay, key, value, removal, replacement };
        sizes(&inputs).backward(&of(inputs.each_ref().map(slice)), slice(&saved), slice(&grad), gradients);
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, output(result, &inputs));
            }
        }
    }
}

impl<C: CheckpointStrategy> Wkv7Ops for Autodiff<Flex, C> {
    fn wkv7(
        receptance: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        removal: FloatTensor<Self>,
        replacement: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let parts = [receptance, decay, key, value, removal, replacement].map(|part| part.into_parts());
        let [(r, of_r), (w, of_w), (k, of_k), (v, of_v), (a, of_a), (b, of_b)] = parts;
        let (inputs, nodes) = ([r, w, k, v, a, b].map(contiguous), [of_r, of_w, of_k, of_v, of_a, of_b]);
        let wkv = sizes(&inputs);
        let (mut y, mut saved) = (numbers(slice(&inputs[0]).len()), numbers(wkv.saved_len()));
        wkv.forward_saving(&of(inputs.each_ref().map(slice)), &mut saved, &mut y);
        let (y, saved) = (output(y, &inputs), tensor(saved, [wkv.saved_len()]));
        match Wkv7Backward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((inputs, saved), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
