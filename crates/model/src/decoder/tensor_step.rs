//! A sublayer without packed weights, one position at a time through its tensors.

use burn::tensor::{Device, Tensor, TensorData};

use super::step::{Pass, Step};
use super::stream::StepState;
use crate::channel::AnyChannel;
use crate::layer::{Carry, LayerContext, Mode, Rows, Sublayer};
use crate::layers::Norm;
use crate::mixer::AnyMixer;
use crate::ops::elements;

/// Which half of a layer it is.
#[derive(Debug)]
pub(super) enum Half {
    Mixer(Box<AnyMixer>),
    Channel(Box<AnyChannel>),
}

impl Half {
    fn sublayer(&self) -> &dyn Sublayer {
        match self {
            Self::Mixer(mixer) => &***mixer,
            Self::Channel(channel) => &***channel,
        }
    }
}

/// [`Sublayer::forward`] on one row of each stream.
#[derive(Debug)]
pub(super) struct TensorStep {
    pub(super) half: Half,
    pub(super) norm: Norm,
    /// Bytes of its weights.
    pub(super) bytes: usize,
    pub(super) device: Device,
}

impl TensorStep {
    fn tensor(&self, row: &[f32]) -> Tensor<3> {
        Tensor::from_data(TensorData::new(row.to_vec(), [1, 1, row.len()]), &self.device)
    }
}

impl Step for TensorStep {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn scratch(&self) -> usize {
        0
    }

    fn keeps_tensors(&self) -> bool {
        true
    }

    /// Tensors allocate: only a model with such a sublayer pays for it.
    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let streams = pass.streams.len();
        let row_of = |value: &[f32], row: usize| {
            let width = value.len() / streams;
            self.tensor(&value[row * width..][..width])
        };
        let mut carries = Vec::with_capacity(streams);
        for row in 0..streams {
            let mut carry = Carry::default();
            pass.carry.iter().for_each(|(name, value)| carry.set(name, row_of(value, row)));
            let rows = Rows::plain(1, pass.streams.position(row));
            // Which layer it is matters to dropout alone.
            let context = LayerContext { mode: Mode::Evaluation, layer: 0, rows };
            let input = row_of(x, row);
            let StepState::Tensors(state) = pass.streams.state_mut(row) else { continue };
            let output = self.half.sublayer().forward(input, &self.norm, Some(state), &mut carry, &context);
            let width = x.len() / streams;
            x[row * width..][..width].copy_from_slice(&elements(output));
            carries.push(carry);
        }
        let names: Vec<&'static str> =
            carries.first().map_or(Vec::new(), |carry| carry.iter().map(|(name, _)| name).collect());
        for name in names {
            let rows = carries.iter().filter_map(|carry| carry.get(name)).flat_map(|value| elements(value.clone()));
            pass.carry.set(name, &rows.collect::<Vec<f32>>());
        }
    }
}
