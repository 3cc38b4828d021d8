//! What one text has left behind.

use burn::tensor::{Device, Tensor, TensorData};
use percept_kernels::decode::Part;

use crate::layer::{Extent, LayerState, StateTensor};

/// A declared tensor of a state ([`StateTensor`]) in plain memory: its last rows in a ring, position p in row
/// `p % capacity`; a fixed tensor is a ring of one row.
#[derive(Debug)]
pub struct Buffer {
    data: Part,
    width: usize,
    capacity: usize,
    /// The first position whose row was ever written.
    first: usize,
}

impl Buffer {
    /// Elements that a tensor needs.
    fn length(tensor: &StateTensor) -> usize {
        tensor.capacity() * tensor.width()
    }

    fn new(tensor: &StateTensor, data: Part) -> Self {
        Self { data, width: tensor.width(), capacity: tensor.capacity(), first: 0 }
    }

    /// All rows, `[capacity, width]`.
    pub fn all(&self) -> &[f32] {
        &self.data
    }

    /// The first position that has a row: after a latent reset, the first latent of a layer that sees only those.
    pub fn first(&self) -> usize {
        self.first
    }

    /// The row of a position.
    pub fn row(&self, position: usize) -> &[f32] {
        &self.data[self.at(position)..][..self.width]
    }

    /// The row of a position, to be written.
    pub fn row_mut(&mut self, position: usize) -> &mut [f32] {
        let at = self.at(position);
        &mut self.data[at..][..self.width]
    }

    fn at(&self, position: usize) -> usize {
        position % self.capacity.max(1) * self.width
    }

    /// Takes the rows of the last positions before `end`.
    fn load(&mut self, end: usize, rows: &[f32]) {
        let count = rows.len() / self.width.max(1);
        self.first = end.saturating_sub(count);
        for (position, row) in (self.first..end).zip(rows.chunks_exact(self.width.max(1))) {
            self.row_mut(position).copy_from_slice(row);
        }
    }

    /// The rows of the last `count` positions before `end`.
    fn last(&self, end: usize, count: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(count * self.width);
        (end - count..end).for_each(|position| rows.extend_from_slice(self.row(position)));
        rows
    }
}

/// The state of a step.
#[derive(Debug)]
pub(super) enum StepState {
    /// One buffer for each declared tensor.
    Buffers(Vec<Buffer>),
    /// Where the step runs on tensors.
    Tensors(LayerState),
}

impl StepState {
    /// Those of several steps in one block of plain memory, before the first position; as tensors where nothing is declared.
    pub(super) fn all<'a>(steps: impl Iterator<Item = Option<&'a [StateTensor]>>) -> Vec<Self> {
        let steps: Vec<Option<&[StateTensor]>> = steps.collect();
        let lengths: Vec<usize> = steps.iter().flatten().copied().flatten().map(Buffer::length).collect();
        let mut parts = Part::zeroed(&lengths).into_iter();
        let state = |declared: Option<&[StateTensor]>| match declared {
            None => Self::Tensors(LayerState::default()),
            Some(declared) => {
                Self::Buffers(declared.iter().zip(&mut parts).map(|(tensor, part)| Buffer::new(tensor, part)).collect())
            }
        };
        steps.into_iter().map(state).collect()
    }

    pub(super) fn buffers(&self) -> &[Buffer] {
        match self {
            Self::Buffers(buffers) => buffers,
            Self::Tensors(_) => &[],
        }
    }

    pub(super) fn buffers_mut(&mut self) -> &mut [Buffer] {
        match self {
            Self::Buffers(buffers) => buffers,
            Self::Tensors(_) => &mut [],
        }
    }

    /// Takes what a state holds after the position `end`; `declared` names its tensors.
    pub(super) fn load(&mut self, mut state: LayerState, declared: &[StateTensor], end: usize) {
        match self {
            Self::Tensors(own) => *own = state,
            Self::Buffers(buffers) => {
                for (buffer, tensor) in buffers.iter_mut().zip(declared) {
                    if let Some(flat) = state.take(tensor.name) {
                        let end = if tensor.extent == Extent::Fixed { 1 } else { end };
                        // Taken out, the elements are read where they are; a copy of them may be 100 MB.
                        let data = flat.into_data().convert::<f32>();
                        buffer.load(end, data.as_slice().unwrap_or_default());
                    }
                }
            }
        }
    }

    /// What it holds after the position `end`, as the tensors that are declared for that position.
    pub(super) fn export(&self, declared: &[StateTensor], end: usize, device: &Device) -> LayerState {
        let buffers = match self {
            Self::Tensors(own) => return own.clone(),
            Self::Buffers(buffers) => buffers,
        };
        let mut state = LayerState::default();
        for (buffer, tensor) in buffers.iter().zip(declared) {
            let values = match tensor.extent {
                Extent::Fixed => buffer.all().to_vec(),
                Extent::Rows { kept, .. } => buffer.last(end, kept),
            };
            let size = values.len();
            state.set_flat(tensor.name, tensor.dims(), Tensor::from_data(TensorData::new(values, [size]), device));
        }
        state
    }
}

/// One text's state; a copy lies in a block of its own.
#[derive(Debug)]
pub struct Stream {
    position: usize,
    states: Vec<StepState>,
    /// After the last norm, `[d]`.
    hidden: Vec<f32>,
}

impl Clone for Stream {
    fn clone(&self) -> Self {
        let buffers = self.states.iter().flat_map(StepState::buffers);
        let mut parts = Part::copied(buffers.map(|buffer| &buffer.data)).into_iter();
        let copy = |state: &StepState| match state {
            StepState::Tensors(tensors) => StepState::Tensors(tensors.clone()),
            StepState::Buffers(buffers) => StepState::Buffers(
                buffers.iter().zip(&mut parts).map(|(buffer, data)| Buffer { data, ..*buffer }).collect(),
            ),
        };
        Self { states: self.states.iter().map(copy).collect(), position: self.position, hidden: self.hidden.clone() }
    }
}

impl Stream {
    pub(super) fn new(states: Vec<StepState>, dim: usize) -> Self {
        Self { position: 0, states, hidden: vec![0.0; dim] }
    }

    /// Tokens seen; the next one has this position.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The hidden state of the last position after the last norm, `[d]`; zeros before the first.
    pub fn hidden(&self) -> &[f32] {
        &self.hidden
    }

    pub(super) fn resume(&mut self, position: usize, hidden: &[f32]) {
        self.position = position;
        self.hidden.copy_from_slice(hidden);
    }

    pub(super) fn state(&self, step: usize) -> &StepState {
        &self.states[step]
    }

    pub(super) fn state_mut(&mut self, step: usize) -> &mut StepState {
        &mut self.states[step]
    }

    pub(super) fn advance(&mut self, hidden: &[f32]) {
        self.hidden.copy_from_slice(hidden);
        self.position += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::elements;

    fn state(device: &Device) -> LayerState {
        let mut state = LayerState::default();
        let values = |from: usize, count: usize| (from..from + count).map(|x| x as f32).collect::<Vec<f32>>();
        state.set_flat("key", vec![1, 3, 2], Tensor::from_data(TensorData::new(values(10, 6), [6]), device));
        state.set_flat("sum", vec![1, 2, 2], Tensor::from_data(TensorData::new(values(50, 4), [4]), device));
        state
    }

    #[test]
    fn a_state_of_rows_and_of_a_fixed_tensor_comes_back_from_plain_memory() {
        let device = Device::default();
        let declared = [StateTensor::rows("key", (3, 4), [2]), StateTensor::fixed("sum", [2, 2])];
        let mut plain = StepState::all(std::iter::once(Some(declared.as_slice()))).remove(0);
        plain.load(state(&device), &declared, 6);
        assert_eq!((plain.buffers()[0].first(), plain.buffers()[0].row(5)), (3, [14.0, 15.0].as_slice()));
        assert_eq!(plain.buffers()[1].all(), [50.0, 51.0, 52.0, 53.0]);
        plain.buffers_mut()[0].row_mut(6).copy_from_slice(&[16.0, 17.0]);
        let later = [StateTensor::rows("key", (4, 4), [2]), StateTensor::fixed("sum", [2, 2])];
        let mut exported = plain.export(&later, 7, &device);
        assert_eq!(exported.dims("sum"), Some([1, 2, 2].as_slice()));
        let mut values = |name| elements(exported.take(name).expect("a tensor"));
        assert_eq!(values("key"), [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0]);
        assert_eq!(values("sum"), [50.0, 51.0, 52.0, 53.0]);
    }
}
