//! Causal token statistics self-attention.

use super::buffer::{contiguous, numbers, owned, primitive, slice, slice_mut, tensor};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::{Tssa, TssaGradients, TssaInputs, TssaSaved, TssaSums};
use std::sync::Arc;

/// [`crate::ops::tssa`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait TssaOps: Backend {
    /// `u [b, t, d]`, `temperature [h]`, `offsets [t, h]`.
    fn tssa(
        u: FloatTensor<Self>,
        temperature: FloatTensor<Self>,
        offsets: FloatTensor<Self>,
        tssa: Tssa,
    ) -> FloatTensor<Self>;
}

/// See [`crate::ops::tssa`].
pub fn tssa(u: Tensor<3>, temperature: Tensor<1>, offsets: Tensor<2>, tssa: &Tssa) -> Tensor<3> {
    let (u, temperature, offsets) = (u.into_dispatch(), temperature.into_dispatch(), offsets.into_dispatch());
    Tensor::from_dispatch(<Dispatch as TssaOps>::tssa(u, temperature, offsets, *tssa))
}

/// See [`crate::ops::tssa_extend`].
pub fn tssa_extend(
    u: Tensor<3>,
    temperature: Tensor<1>,
    offsets: Tensor<2>,
    sums: [Tensor<3>; 3],
    tssa: &Tssa,
) -> (Tensor<3>, [Tensor<3>; 3]) {
    let sums = sums.map(|pair| contiguous(primitive(pair)));
    let mut sums = TssaSums::of_pairs(sums.each_ref().map(slice));
    let saved = Saved::new(primitive(u), primitive(temperature), primitive(offsets), *tssa);
    let (y, _) = forward(&saved, &mut sums);
    let pairs = sums.pairs().map(|pair| {
        let width = pair.len() / 2;
        Tensor::from_primitive::<Flex>(tensor(pair, [1, 2, width]))
    });
    (Tensor::from_primitive::<Flex>(y), pairs)
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Saved {
    u: FlexTensor,
    temperature: FlexTensor,
    offsets: FlexTensor,
    tssa: Tssa,
}

impl Saved {
    fn new(u: FlexTensor, temperature: FlexTensor, offsets: FlexTensor, tssa: Tssa) -> Self {
        let [u, temperature, offsets] = [u, temperature, offsets].map(contiguous);
        Self { u, temperature, offsets, tssa }
    }

    fn inputs(&self) -> TssaInputs<'_> {
        TssaInputs { u: slice(&self.u), temperature: slice(&self.temperature), offsets: slice(&self.offsets) }
    }
}

fn forward(saved: &Saved, sums: &mut TssaSums) -> (FlexTensor, TssaSaved) {
    let mut y = numbers(slice(&saved.u).len());
    let statistics = saved.tssa.forward(&saved.inputs(), sums, &mut y);
    (tensor(y, saved.u.layout().shape().clone()), statistics)
}

impl TssaOps for Flex {
    fn tssa(u: FlexTensor, temperature: FlexTensor, offsets: FlexTensor, tssa: Tssa) -> FlexTensor {
        forward(&Saved::new(u, temperature, offsets, tssa), &mut TssaSums::zero(&tssa)).0
    }
}

#[derive(Debug)]
struct TssaBackward;

impl Backward<Flex, 3> for TssaBackward {
    type State = (Saved, Arc<TssaSaved>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut grad = owned(grads.consume::<Flex>(&ops.node));
        let (saved, statistics) = ops.state;
        let inputs = saved.inputs();
        let [mut du, mut dtemperature, mut doffsets] =
            [inputs.u, inputs.temperature, inputs.offsets].map(|x| numbers(x.len()));
        let gradients = TssaGradients { u: &mut du, temperature: &mut dtemperature, offsets: &mut doffsets };
        saved.tssa.backward(&inputs, &statistics, slice_mut(&mut grad), gradients);
        let results = [(du, &saved.u), (dtemperature, &saved.temperature), (doffsets, &saved.offsets)];
        for (parent, (result, of)) in ops.parents.into_iter().zip(results) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, tensor(result, of.layout().shape().clone()));
            }
        }
    }
}

impl<C: CheckpointStrategy> TssaOps for Autodiff<Flex, C> {
    fn tssa(
        u: FloatTensor<Self>,
        temperature: FloatTensor<Self>,
        offsets: FloatTensor<Self>,
        tssa: Tssa,
    ) -> FloatTensor<Self> {
        let (u, u_node) = u.into_parts();
        let (temperature, temperature_node) = temperature.into_parts();
        let (offsets, offsets_node) = offsets.into_parts();
        let saved = Saved::new(u, temperature, offsets, tssa);
        let (y, statistics) = forward(&saved, &mut TssaSums::zero(&tssa));
        match TssaBackward.prepare::<C>([u_node, temperature_node, offsets_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((saved, statistics.into()), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
