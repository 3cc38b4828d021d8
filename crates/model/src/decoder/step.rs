//! What runs one position through one sublayer.

use std::fmt::Debug;

use percept_kernels::decode::{Crew, Pages};

use super::packer::Packer;
use super::stream::{Buffer, StepState, Stream};
use super::workspace::{Angles, RowCarry};
use crate::layer::StateTensor;

/// Packs the weights of a sublayer whose state is declared as given.
pub type BuildStep<'a> = Box<dyn FnOnce(&mut Packer, &[StateTensor]) -> Box<dyn Step> + 'a>;

/// One new position of one or several streams through one sublayer, made of pieces of `percept_kernels::decode`. What a
/// stream computes must not depend on the others.
pub trait Step: Debug + Send + Sync {
    /// Bytes of weights that a pass reads.
    fn bytes(&self) -> usize;

    /// Elements of scratch that it needs per row.
    fn scratch(&self) -> usize;

    /// `x`: `[streams, d]`, replaced by what leaves the sublayer, residual included. Allocates nothing.
    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]);

    /// Whether its state is kept as tensors, because it runs on those.
    fn keeps_tensors(&self) -> bool {
        false
    }
}

/// What a step works with.
#[derive(Debug)]
pub struct Pass<'a, 'b> {
    /// The threads.
    pub crew: &'a mut Crew<'static>,
    /// The packed weights.
    pub pages: &'a Pages,
    /// [`Step::scratch`] elements per row, of any content.
    pub scratch: &'a mut [f32],
    /// The streams, in the order of the rows.
    pub streams: Streams<'a, 'b>,
    /// Cosines and sines of the rows' positions.
    pub angles: &'a mut Angles,
    /// Values from earlier layers.
    pub carry: &'a mut RowCarry,
}

/// The streams as one step sees them: its own state in each.
#[derive(Debug)]
pub struct Streams<'a, 'b> {
    pub(super) streams: &'a mut [&'b mut Stream],
    /// Index of the step.
    pub(super) step: usize,
    /// What is added to a stream's position here (Perceiver V3 moves its latents up).
    pub(super) shift: usize,
}

impl Streams<'_, '_> {
    /// Number of streams.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The position of the new token of a row.
    pub fn position(&self, row: usize) -> usize {
        self.streams[row].position() + self.shift
    }

    /// The state of a row, a buffer for each declared tensor.
    pub fn buffers(&self, row: usize) -> &[Buffer] {
        self.streams[row].state(self.step).buffers()
    }

    pub(super) fn state_mut(&mut self, row: usize) -> &mut StepState {
        self.streams[row].state_mut(self.step)
    }

    /// The buffers, to be written.
    pub fn buffers_mut(&mut self, row: usize) -> &mut [Buffer] {
        self.streams[row].state_mut(self.step).buffers_mut()
    }
}

/// Consecutive parts of `scratch`, of the given sizes.
///
/// # Panics
/// If the scratch is too short.
pub fn parts<const N: usize>(mut scratch: &mut [f32], sizes: [usize; N]) -> [&mut [f32]; N] {
    sizes.map(|size| {
        let (part, rest) = std::mem::take(&mut scratch).split_at_mut(size);
        scratch = rest;
        part
    })
}
