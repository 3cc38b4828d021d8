//! What one text has left behind.

use percept_kernels::decode::RingAttention;

/// Whether a layer keeps values beside its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// It does.
    Separate,
    /// Its keys are its values.
    AreKeys,
}

/// The keys and values of the last positions, in a layer: `[capacity, G, e]`, position p in row `p % capacity`.
#[derive(Debug, Clone)]
pub struct Ring {
    pub(super) shape: RingAttention,
    pub(super) keys: Vec<f32>,
    /// Empty where the keys serve as values.
    pub(super) values: Vec<f32>,
}

impl Ring {
    fn new(shape: RingAttention, values: Values) -> Self {
        let values = if values == Values::Separate { vec![0.0; shape.len()] } else { Vec::new() };
        Self { shape, keys: vec![0.0; shape.len()], values }
    }

    /// Keys and values.
    pub(super) fn pair(&self) -> (&[f32], &[f32]) {
        (&self.keys, if self.values.is_empty() { &self.keys } else { &self.values })
    }

    /// The rows of one position, to be written.
    pub(super) fn row_mut(&mut self, position: usize) -> (&mut [f32], Option<&mut [f32]>) {
        let (at, width) = (self.shape.row(position), self.shape.groups * self.shape.width);
        let values = (!self.values.is_empty()).then(|| &mut self.values[at..at + width]);
        (&mut self.keys[at..at + width], values)
    }

    /// Heads G and channels e of a row.
    pub fn heads(&self) -> [usize; 2] {
        [self.shape.groups, self.shape.width]
    }

    /// Takes the rows `[T, G, e]` of the last T positions before `end`.
    pub fn load(&mut self, end: usize, keys: &[f32], values: &[f32]) {
        let width = self.shape.groups * self.shape.width;
        let start = end.saturating_sub(keys.len() / width);
        for (position, (k, v)) in (start..end).zip(keys.chunks_exact(width).zip(values.chunks_exact(width))) {
            let (keys, values) = self.row_mut(position);
            keys.copy_from_slice(k);
            if let Some(values) = values {
                values.copy_from_slice(v);
            }
        }
    }

    /// The keys and values `[rows, G, e]` of the last positions before `end`.
    pub fn last(&self, end: usize, rows: usize) -> (Vec<f32>, Vec<f32>) {
        let width = self.shape.groups * self.shape.width;
        let read = |data: &[f32]| -> Vec<f32> {
            (end - rows..end).flat_map(|position| data[self.shape.row(position)..][..width].iter().copied()).collect()
        };
        let (keys, values) = self.pair();
        (read(keys), read(values))
    }
}

/// One text's state.
#[derive(Debug, Clone)]
pub struct Stream {
    position: usize,
    rings: Vec<Ring>,
    /// After the last norm, `[d]`.
    hidden: Vec<f32>,
}

impl Stream {
    pub(super) fn new(rings: impl Iterator<Item = (RingAttention, Values)>, dim: usize) -> Self {
        let rings = rings.map(|(shape, values)| Ring::new(shape, values)).collect();
        Self { position: 0, rings, hidden: vec![0.0; dim] }
    }

    /// Tokens seen; the next one has this position.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The hidden state of the last position after the last norm, `[d]`; zeros before the first.
    pub fn hidden(&self) -> &[f32] {
        &self.hidden
    }

    /// One ring per layer.
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// Goes on at `position`, where `hidden` was the last state; `load` fills the ring of each layer.
    pub fn resume(&mut self, position: usize, hidden: &[f32], load: impl FnMut((usize, &mut Ring))) {
        self.position = position;
        self.hidden.copy_from_slice(hidden);
        self.rings.iter_mut().enumerate().for_each(load);
    }

    pub(super) fn ring_mut(&mut self, layer: usize) -> &mut Ring {
        &mut self.rings[layer]
    }

    pub(super) fn advance(&mut self, hidden: &[f32]) {
        self.hidden.copy_from_slice(hidden);
        self.position += 1;
    }
}
