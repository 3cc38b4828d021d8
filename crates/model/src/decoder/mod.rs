//! Decoding without a framework: one token of one or several streams is one pass over packed weights.
//!
//! A [`Decoder`] is built once per model and shared by its sessions. It runs a [`Step`] for each sublayer, which that brings
//! itself ([`crate::layer::Sublayer::step`]), on the CPU, in f32; a sublayer that brings none runs through its tensors, one
//! position at a time. A [`Stream`] holds what one text has left behind: the declared state of each sublayer in plain memory.

mod build;
mod packer;
mod step;
mod stream;
mod tensor_step;
mod workspace;

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use percept_kernels::WeightOrder;
use percept_kernels::decode::{Epilogue, PackedLinear, Pages, Team, WeightPrecision, log_softmax};

pub use packer::{Packer, RowNorm, elements};
pub use step::{BuildStep, Pass, Step, Streams, parts};
pub use stream::{Buffer, Stream};
use stream::{Declared, StepState};
use workspace::Workspace;
pub use workspace::{Angles, RowCarry};

use crate::layer::{BlockFacts, BlockState, KeyValuePrecision, StateTensor};

/// A model's weights, packed for decoding.
#[derive(Debug)]
pub struct Decoder {
    pages: Pages,
    /// `[V, d]`.
    embedding: Vec<f32>,
    /// One for each sublayer: mixer and channel sublayer of each layer in turn.
    slots: Vec<Slot>,
    /// How keys and values of a stream are kept.
    key_values: KeyValuePrecision,
    /// Elements of scratch that the steps need per row.
    scratch: usize,
    norm: RowNorm,
    head: PackedLinear,
    /// Buffers of calls that are over, for the next ones.
    workspaces: Mutex<Vec<Workspace>>,
}

/// A step in its place.
#[derive(Debug)]
struct Slot {
    /// Layers that share a block share its packed weights.
    step: Arc<dyn Step>,
    /// Its state as declared; how much of it is kept depends on the position.
    state: Vec<StateTensor>,
    /// See [`Streams`].
    shift: usize,
}

impl Slot {
    fn declared(&self) -> Declared<'_> {
        match self.step.keeps_tensors() {
            true => Declared::Tensors(&self.state),
            false => Declared::Buffers(&self.state),
        }
    }
}

impl Decoder {
    /// Model width d.
    pub fn dim(&self) -> usize {
        self.head.inputs()
    }

    /// Tokens of the vocabulary V.
    pub fn vocab(&self) -> usize {
        self.head.outputs()
    }

    /// Bytes of weights that one token reads, whatever the number of streams.
    pub fn bytes_per_token(&self) -> usize {
        self.slots.iter().map(|slot| slot.step.bytes()).sum::<usize>() + self.head.bytes()
    }

    /// A stream that has seen nothing.
    pub fn stream(&self) -> Stream {
        let declared: Vec<Declared<'_>> = self.slots.iter().map(Slot::declared).collect();
        Stream::new(StepState::all(&declared, self.key_values), self.dim())
    }

    /// The stream that goes on at `position` from the states of the layers; `hidden` was the last one.
    pub fn resume(&self, states: Vec<BlockState>, position: usize, hidden: &[f32]) -> Stream {
        let mut stream = self.stream();
        stream.resume(position, hidden);
        let states = states.into_iter().flat_map(|state| [state.mixer, state.channel]);
        for (index, (slot, state)) in self.slots.iter().zip(states).enumerate() {
            stream.state_mut(index).load(state, &slot.state, position + slot.shift);
        }
        stream
    }

    /// The states of the layers as tensors, with the rows that `facts` declare for them.
    pub fn export(&self, stream: &Stream, facts: &[BlockFacts], device: &Device) -> Vec<BlockState> {
        let export = |index: usize, declared: &[StateTensor]| {
            let end = stream.position() + self.slots[index].shift;
            stream.state(index).export((declared, self.key_values), end, device)
        };
        let layer = |(layer, facts): (usize, &BlockFacts)| BlockState {
            mixer: export(2 * layer, &facts.mixer.state),
            channel: export(2 * layer + 1, &facts.channel.state),
        };
        facts.iter().enumerate().map(layer).collect()
    }

    /// Feeds one token to each stream, all in one pass over the weights; allocates nothing once it has run for as many
    /// streams, unless a sublayer runs through tensors. What a stream computes does not depend on the others.
    ///
    /// # Panics
    /// If the numbers of streams and tokens differ, a token is outside the vocabulary, or a stream is another model's.
    pub fn step(&self, streams: &mut [&mut Stream], tokens: &[u32]) {
        assert_eq!(streams.len(), tokens.len(), "a token for each stream");
        if streams.is_empty() {
            return;
        }
        self.with_workspace(streams.len(), |work| {
            let mut crew = Team::global().crew();
            for (row, token) in tokens.iter().enumerate() {
                let at = *token as usize * self.dim();
                work.x_row(row).copy_from_slice(&self.embedding[at..at + self.dim()]);
            }
            for (step, slot) in self.slots.iter().enumerate() {
                let (x, scratch, angles, carry) = work.split();
                let streams = Streams { streams, step, shift: slot.shift };
                let mut pass = Pass { crew: &mut crew, pages: &self.pages, scratch, streams, angles, carry };
                slot.step.run(&mut pass, x);
            }
            let (x, normalised) = work.residual_and_normalised();
            self.norm.apply(x, normalised);
            for (stream, hidden) in streams.iter_mut().zip(normalised.chunks_exact(self.dim())) {
                stream.advance(hidden);
            }
        });
    }

    /// ln p of every token as the next one after each of some hidden states ([`Stream::hidden`]): `out [rows, V]`.
    /// Allocates nothing, as [`Decoder::step`].
    ///
    /// # Panics
    /// If there are more or fewer hidden states than rows in `out`, or one has another size.
    pub fn log_probabilities<'a>(&self, hidden: impl Iterator<Item = &'a [f32]>, out: &mut [f32]) {
        let vocab = self.vocab();
        let rows = out.len() / vocab;
        self.with_workspace(rows, |work| {
            let mut seen = 0;
            for hidden in hidden {
                work.x_row(seen).copy_from_slice(hidden);
                seen += 1;
            }
            assert_eq!((seen, out.len()), (rows, rows * vocab), "hidden states and rows of the output");
            let mut crew = Team::global().crew();
            self.head.apply(&mut crew, &self.pages, work.residual_and_normalised().0, out, Epilogue::Replace);
            out.chunks_exact_mut(vocab).for_each(log_softmax);
        });
    }

    fn with_workspace<R>(&self, rows: usize, body: impl FnOnce(&mut Workspace) -> R) -> R {
        let kept = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut work = kept.unwrap_or_default();
        work.prepare(rows, self.dim(), self.scratch);
        let result = body(&mut work);
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).push(work);
        result
    }
}

/// The order in which the head's and the embedding's `[V, d]` lie.
pub(crate) const HEAD_ORDER: WeightOrder = WeightOrder::OutputInput;

/// Whether weights of this precision are those of the model itself.
pub(crate) fn is_exact(precision: WeightPrecision) -> bool {
    precision == WeightPrecision::F32
}
