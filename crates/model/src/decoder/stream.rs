//! What one text has left behind.

use burn::tensor::{DType, Device, Tensor, TensorData};
use bytemuck::Pod;
use half::bf16;
use percept_kernels::decode::{Part, Ring, to_bf16};

use crate::layer::{Extent, Format, KeyValuePrecision, LayerState, StateTensor};

/// A declared tensor of a state ([`StateTensor`]) in plain memory: its last rows in a ring, position p in row
/// `p % capacity`; a fixed tensor is a ring of one row.
#[derive(Debug)]
pub struct Buffer {
    /// Of halves, two lie in each element.
    data: Part,
    format: Format,
    width: usize,
    capacity: usize,
    /// The first position whose row was ever written.
    first: usize,
}

impl Buffer {
    /// Elements of plain memory that a tensor needs.
    fn length(tensor: &StateTensor, precision: KeyValuePrecision) -> usize {
        let elements = tensor.capacity() * tensor.width();
        match tensor.format(precision) {
            Format::Full => elements,
            Format::Half => elements.div_ceil(2),
        }
    }

    fn new(tensor: &StateTensor, precision: KeyValuePrecision, data: Part) -> Self {
        let format = tensor.format(precision);
        Self { data, format, width: tensor.width(), capacity: tensor.capacity(), first: 0 }
    }

    /// All rows, `[capacity, width]`; none where they are kept as halves.
    pub fn all(&self) -> &[f32] {
        match self.format {
            Format::Full => &self.data,
            Format::Half => &[],
        }
    }

    /// All rows where they are kept as halves: keys and values alone may be ([`StateTensor::key_value`]).
    pub fn halves(&self) -> Option<&[u16]> {
        (self.format == Format::Half).then(|| self.elements())
    }

    /// Keys and the values beside them, as attention reads them.
    pub fn ring<'a>(&'a self, values: &'a Self) -> Ring<'a> {
        match (self.halves(), values.halves()) {
            (Some(keys), Some(values)) => Ring::Bf16([keys, values]),
            _ => Ring::F32([self.all(), values.all()]),
        }
    }

    /// The elements in their format.
    fn elements<E: Pod>(&self) -> &[E] {
        &bytemuck::cast_slice(&self.data)[..self.capacity * self.width]
    }

    fn elements_mut<E: Pod>(&mut self) -> &mut [E] {
        let length = self.capacity * self.width;
        &mut bytemuck::cast_slice_mut(&mut self.data)[..length]
    }

    /// Writes the row of a position, in its format.
    pub fn put(&mut self, position: usize, row: &[f32]) {
        let here = self.at(position)..self.at(position) + self.width;
        match self.format {
            Format::Full => self.data[here].copy_from_slice(row),
            Format::Half => to_bf16(row, &mut self.elements_mut()[here]),
        }
    }

    /// The first position that has a row: after a latent reset, the first latent of a layer that sees only those.
    pub fn first(&self) -> usize {
        self.first
    }

    /// The row of a position, of a tensor that is never kept as halves.
    pub fn row(&self, position: usize) -> &[f32] {
        &self.data[self.at(position)..][..self.width]
    }

    /// The row of a position, to be written, of a tensor that is never kept as halves.
    pub fn row_mut(&mut self, position: usize) -> &mut [f32] {
        let at = self.at(position);
        &mut self.data[at..][..self.width]
    }

    fn at(&self, position: usize) -> usize {
        position % self.capacity.max(1) * self.width
    }

    /// Takes the rows of the last positions before `end`.
    fn load(&mut self, end: usize, rows: TensorData) {
        match self.format {
            Format::Full => self.place(end, rows.convert::<f32>().as_slice::<f32>().unwrap_or_default()),
            Format::Half => self.place(end, rows.convert::<bf16>().as_slice::<bf16>().unwrap_or_default()),
        }
    }

    fn place<E: Pod>(&mut self, end: usize, rows: &[E]) {
        let width = self.width.max(1);
        self.first = end.saturating_sub(rows.len() / width);
        for (position, row) in (self.first..end).zip(rows.chunks_exact(width)) {
            let at = self.at(position);
            self.elements_mut()[at..at + width].copy_from_slice(row);
        }
    }

    /// What is kept after the position `end`, as the tensor that is declared for it.
    fn export(&self, tensor: &StateTensor, end: usize, device: &Device) -> Tensor<1> {
        let (data, dtype) = match self.format {
            Format::Full => (self.last::<f32>(tensor, end), DType::F32),
            Format::Half => (self.last::<bf16>(tensor, end), DType::BF16),
        };
        Tensor::from_data(data, (device, dtype))
    }

    fn last<E: Pod + burn::tensor::Element>(&self, tensor: &StateTensor, end: usize) -> TensorData {
        let positions = match tensor.extent {
            Extent::Fixed => 0..1,
            Extent::Rows { kept, .. } => end - kept..end,
        };
        let mut rows: Vec<E> = Vec::with_capacity(tensor.elements());
        positions.for_each(|position| rows.extend_from_slice(&self.elements()[self.at(position)..][..self.width]));
        let size = rows.len();
        TensorData::new(rows, [size])
    }
}

/// What a step keeps, as declared, and where.
#[derive(Debug, Clone, Copy)]
pub(super) enum Declared<'a> {
    /// In a buffer each.
    Buffers(&'a [StateTensor]),
    /// As tensors.
    Tensors(&'a [StateTensor]),
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
    /// Those of several steps before the first position: what is to be plain memory in one block of it.
    pub(super) fn all(steps: &[Declared<'_>], precision: KeyValuePrecision) -> Vec<Self> {
        let plain = steps.iter().filter_map(|step| match step {
            Declared::Buffers(declared) => Some(*declared),
            Declared::Tensors(_) => None,
        });
        let lengths: Vec<usize> = plain.flatten().map(|tensor| Buffer::length(tensor, precision)).collect();
        let mut parts = Part::zeroed(&lengths).into_iter();
        let state = |step: &Declared<'_>| match step {
            Declared::Tensors(declared) => Self::Tensors(LayerState::new(declared, precision)),
            Declared::Buffers(declared) => {
                let pairs = declared.iter().zip(&mut parts);
                Self::Buffers(pairs.map(|(tensor, part)| Buffer::new(tensor, precision, part)).collect())
            }
        };
        steps.iter().map(state).collect()
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
                        buffer.load(end, flat.into_data());
                    }
                }
            }
        }
    }

    /// What it holds after the position `end`, as the tensors that are declared for that position.
    pub(super) fn export(
        &self,
        (declared, precision): (&[StateTensor], KeyValuePrecision),
        end: usize,
        device: &Device,
    ) -> LayerState {
        let buffers = match self {
            Self::Tensors(own) => return own.clone(),
            Self::Buffers(buffers) => buffers,
        };
        let mut state = LayerState::new(declared, precision);
        for (buffer, tensor) in buffers.iter().zip(declared) {
            state.set_flat(tensor.name, tensor.dims(), buffer.export(tensor, end, device));
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
        for precision in KeyValuePrecision::ALL {
            // The third row lies across the words of the halves' ring.
            let [declared, later] =
                [3, 4].map(|kept| [StateTensor::key_value("key", (kept, 5), [2]), StateTensor::fixed("sum", [2, 2])]);
            let mut plain = StepState::all(&[Declared::Buffers(&declared)], precision).remove(0);
            plain.load(state(&device), &declared, 6);
            let keys = &plain.buffers()[0];
            assert_eq!((keys.first(), keys.halves().is_some()), (3, precision == KeyValuePrecision::Bf16));
            assert_eq!(keys.all().len(), if precision == KeyValuePrecision::Bf16 { 0 } else { 10 });
            assert_eq!(plain.buffers()[1].all(), [50.0, 51.0, 52.0, 53.0]);
            plain.buffers_mut()[0].put(6, &[16.0, 16.001]);
            let mut exported = plain.export((&later, precision), 7, &device);
            assert_eq!(exported.dims("sum"), Some([1, 2, 2].as_slice()));
            let mut values = |name| elements(exported.take(name).expect("a tensor"));
            let last = if precision == KeyValuePrecision::Bf16 { 16.0 } else { 16.001 };
            assert_eq!(values("key"), [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, last]);
            assert_eq!(values("sum"), [50.0, 51.0, 52.0, 53.0]);
        }
    }

    #[test]
    fn keys_and_values_take_half_of_the_memory_as_halves() {
        let declared = [StateTensor::key_value("key", (0, 3), [5]), StateTensor::fixed("sum", [7])];
        let lengths = |precision| declared.each_ref().map(|tensor| Buffer::length(tensor, precision));
        assert_eq!(KeyValuePrecision::ALL.map(lengths), [[15, 7], [8, 7]]);
    }
}
