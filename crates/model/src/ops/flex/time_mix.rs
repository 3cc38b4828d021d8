//! RWKV-7's time mix between its maps.

use super::buffer::{contiguous, numbers, primitive, slice, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, TensorData};
use percept_kernels::{TimeMix, TimeMixGradients, TimeMixInputs};

use crate::ops::elements;

/// [`crate::ops::time_mix`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
#[allow(clippy::too_many_arguments, reason = "an operation takes its parents one by one")]
pub(super) trait TimeMixOps: Backend {
    /// r, d, k, v, alpha and g, `[b, t, d]` each; `vectors [5, d]`.
    fn time_mix(
        receptance: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rate: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        vectors: FloatTensor<Self>,
        mix: TimeMix,
    ) -> FloatTensor<Self>;
}

/// See [`crate::ops::time_mix`].
pub fn time_mix(rows: [Tensor<3>; 6], vectors: Tensor<2>, mix: &TimeMix) -> Tensor<3> {
    let [r, d, k, v, alpha, g] = rows.map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as TimeMixOps>::time_mix(r, d, k, v, alpha, g, vectors.into_dispatch(), *mix))
}

/// See [`crate::ops::time_mix_from`]; without gradients.
pub fn time_mix_from(
    rows: [Tensor<3>; 6],
    vectors: Tensor<2>,
    mix: &TimeMix,
    state: Tensor<4>,
) -> (Tensor<3>, Tensor<4>) {
    let (dims, of_state, device) = (rows[0].dims(), state.dims(), state.device());
    let inputs = Inputs { rows: rows.map(|x| contiguous(primitive(x))), vectors: contiguous(primitive(vectors)) };
    let (mut y, mut state) = (vec![0.0; slice(&inputs.rows[0]).len()], elements(state));
    mix.forward(&inputs.slices(), &mut state, &mut y);
    let y = Tensor::from_data(TensorData::new(y, dims), &device);
    (y, Tensor::from_data(TensorData::new(state, of_state), &device))
}

/// What the kernel reads.
#[derive(Debug, Clone)]
struct Inputs {
    rows: [FlexTensor; 6],
    vectors: FlexTensor,
}

impl Inputs {
    fn slices(&self) -> TimeMixInputs<'_> {
        TimeMixInputs { rows: self.rows.each_ref().map(slice), vectors: slice(&self.vectors) }
    }

    fn output(&self, y: Vec<f32>) -> FlexTensor {
        tensor(y, self.rows[0].layout().shape().clone())
    }

    fn forward(&self, mix: &TimeMix) -> FlexTensor {
        let mut y = numbers(slice(&self.rows[0]).len());
        mix.forward(&self.slices(), &mut vec![0.0; mix.state_len()], &mut y);
        self.output(y)
    }
}

#[allow(clippy::too_many_arguments, reason = "see the trait")]
impl TimeMixOps for Flex {
    fn time_mix(
        receptance: FlexTensor,
        decay: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        rate: FlexTensor,
        gate: FlexTensor,
        vectors: FlexTensor,
        mix: TimeMix,
    ) -> FlexTensor {
        let rows = [receptance, decay, key, value, rate, gate].map(contiguous);
        Inputs { rows, vectors: contiguous(vectors) }.forward(&mix)
    }
}

#[derive(Debug)]
struct TimeMixBackward;

impl Backward<Flex, 7> for TimeMixBackward {
    /// The inputs, and what the kernel has saved.
    type State = (Inputs, FlexTensor, TimeMix);

    fn backward(self, ops: Ops<Self::State, 7>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (inputs, saved, mix) = ops.state;
        let mut rows = inputs.rows.each_ref().map(|rows| numbers(slice(rows).len()));
        let mut vectors = numbers(slice(&inputs.vectors).len());
        let gradients = TimeMixGradients { rows: rows.each_mut().map(Vec::as_mut_slice), vectors: &mut vectors };
        mix.backward(&inputs.slices(), slice(&saved), slice(&grad), gradients);
        let vectors = tensor(vectors, inputs.vectors.layout().shape().clone());
        let results = rows.into_iter().map(|rows| inputs.output(rows)).chain([vectors]);
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, result);
            }
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "see the trait")]
impl<C: CheckpointStrategy> TimeMixOps for Autodiff<Flex, C> {
    fn time_mix(
        receptance: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rate: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        vectors: FloatTensor<Self>,
        mix: TimeMix,
    ) -> FloatTensor<Self> {
        let parts = [receptance, decay, key, value, rate, gate, vectors];
        let [r, d, k, v, alpha, g, vectors] = parts.each_ref().map(|part| contiguous(part.primitive().clone()));
        let nodes = parts.map(|part| part.into_parts().1);
        let inputs = Inputs { rows: [r, d, k, v, alpha, g], vectors };
        match TimeMixBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (mut y, mut saved) = (numbers(slice(&inputs.rows[0]).len()), numbers(mix.saved_len()));
                mix.forward_saving(&inputs.slices(), &mut saved, &mut y);
                let (y, saved) = (inputs.output(y), tensor(saved, [mix.saved_len()]));
                prepared.finish((inputs, saved, mix), y)
            }
            OpsKind::UnTracked(prepared) => {
                let y = inputs.forward(&mix);
                prepared.finish(y)
            }
        }
    }
}
