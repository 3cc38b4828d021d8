//! RWKV-4's recurrence.

use super::buffer::{contiguous, numbers, slice, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, TensorData};
use percept_kernels::{Wkv, WkvGradients, WkvInputs};

use crate::ops::elements;

/// [`crate::ops::wkv`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait WkvOps: Backend {
    /// `key, value [b, t, d]`, `decay, bonus [d]`.
    fn wkv(
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        bonus: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// See [`crate::ops::wkv`].
pub fn wkv(key: Tensor<3>, value: Tensor<3>, decay: Tensor<1>, bonus: Tensor<1>) -> Tensor<3> {
    let (key, value) = (key.into_dispatch(), value.into_dispatch());
    Tensor::from_dispatch(<Dispatch as WkvOps>::wkv(key, value, decay.into_dispatch(), bonus.into_dispatch()))
}

/// See [`crate::ops::wkv_from`]; without gradients.
pub fn wkv_from(
    [key, value]: [Tensor<3>; 2],
    [decay, bonus]: [Tensor<1>; 2],
    state: Tensor<3>,
) -> (Tensor<3>, Tensor<3>) {
    let (dims, of_state, device) = (key.dims(), state.dims(), key.device());
    let [batch, rows, channels] = dims;
    let ([key, value], mut state) = ([key, value].map(elements), elements(state));
    let [decay, bonus] = [decay, bonus].map(elements);
    let inputs = WkvInputs { key: &key, value: &value, decay: &decay, bonus: &bonus };
    let mut y = vec![0.0; key.len()];
    Wkv { batch, rows, channels }.forward(&inputs, &mut state, &mut y);
    let [y, state] =
        [(y, dims), (state, of_state)].map(|(values, dims)| Tensor::from_data(TensorData::new(values, dims), &device));
    (y, state)
}

fn sizes(key: &FlexTensor) -> Wkv {
    let key = key.layout().shape();
    Wkv { batch: key[0], rows: key[1], channels: key[2] }
}

fn inputs([key, value, decay, bonus]: &[FlexTensor; 4]) -> WkvInputs<'_> {
    WkvInputs { key: slice(key), value: slice(value), decay: slice(decay), bonus: slice(bonus) }
}

fn forward(parts: &[FlexTensor; 4]) -> FlexTensor {
    let wkv = sizes(&parts[0]);
    let (mut y, mut state) = (numbers(slice(&parts[0]).len()), vec![0.0; 3 * wkv.batch * wkv.channels]);
    wkv.forward(&inputs(parts), &mut state, &mut y);
    tensor(y, parts[0].layout().shape().clone())
}

impl WkvOps for Flex {
    fn wkv(key: FlexTensor, value: FlexTensor, decay: FlexTensor, bonus: FlexTensor) -> FlexTensor {
        forward(&[key, value, decay, bonus].map(contiguous))
    }
}

#[derive(Debug)]
struct WkvBackward;

impl Backward<Flex, 4> for WkvBackward {
    /// The inputs, and y.
    type State = ([FlexTensor; 4], FlexTensor);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (parts, y) = ops.state;
        let [mut key, mut value, mut decay, mut bonus] = parts.each_ref().map(|part| numbers(slice(part).len()));
        let gradients = WkvGradients { key: &mut key, value: &mut value, decay: &mut decay, bonus: &mut bonus };
        sizes(&parts[0]).backward(&inputs(&parts), slice(&y), slice(&grad), gradients);
        let results = [key, value, decay, bonus].into_iter().zip(&parts);
        for (parent, (result, part)) in ops.parents.into_iter().zip(results) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, tensor(result, part.layout().shape().clone()));
            }
        }
    }
}

impl<C: CheckpointStrategy> WkvOps for Autodiff<Flex, C> {
    fn wkv(
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        bonus: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let ((key, key_node), (value, value_node)) = (key.into_parts(), value.into_parts());
        let ((decay, decay_node), (bonus, bonus_node)) = (decay.into_parts(), bonus.into_parts());
        let parts = [key, value, decay, bonus].map(contiguous);
        let y = forward(&parts);
        let nodes = [key_node, value_node, decay_node, bonus_node];
        match WkvBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((parts, y.clone()), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
