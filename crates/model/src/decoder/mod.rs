//! Decoding without a framework: one token of one or several streams is one pass over packed weights.
//!
//! A [`Decoder`] is built once per model and shared by its sessions. It runs the layers whose mixer describes its
//! [`DecodeStep`](crate::mixer::DecodeStep), on the CPU, in f32; everything else goes through the tensors of
//! [`crate::session`]. A [`Stream`] holds what one text has left behind: a ring of keys and values per layer.

mod build;
mod layer;
mod stream;
mod workspace;

use std::sync::{Mutex, PoisonError};

use percept_kernels::WeightOrder;
use percept_kernels::decode::{Epilogue, PackedLinear, Pages, Team, WeightPrecision, log_softmax};

use layer::{Layer, RowNorm};
pub use stream::{Ring, Stream};
use workspace::Workspace;

/// A model's weights, packed for decoding.
#[derive(Debug)]
pub struct Decoder {
    pages: Pages,
    /// `[V, d]`.
    embedding: Vec<f32>,
    layers: Vec<Layer>,
    norm: RowNorm,
    head: PackedLinear,
    /// What the rotated pairs turn by per position; empty where no layer rotates.
    frequencies: Vec<f64>,
    /// Buffers of calls that are over, for the next ones.
    workspaces: Mutex<Vec<Workspace>>,
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
        self.layers.iter().map(Layer::bytes).sum::<usize>() + self.head.bytes()
    }

    /// A stream that has seen nothing.
    pub fn stream(&self) -> Stream {
        Stream::new(self.layers.iter().map(|layer| (layer.ring, layer.values)), self.dim())
    }

    /// Feeds one token to each stream, all in one pass over the weights; allocates nothing once it has run for as many
    /// streams. What a stream computes does not depend on the others.
    ///
    /// # Panics
    /// If the numbers of streams and tokens differ, a token is outside the vocabulary, or a stream is another model's.
    pub fn step(&self, streams: &mut [&mut Stream], tokens: &[u32]) {
        assert_eq!(streams.len(), tokens.len(), "a token for each stream");
        self.with_workspace(streams.len(), |work| {
            let mut crew = Team::global().crew();
            for (row, (stream, token)) in streams.iter().zip(tokens).enumerate() {
                let at = *token as usize * self.dim();
                work.x_row(row).copy_from_slice(&self.embedding[at..at + self.dim()]);
                work.turn(row, stream.position(), &self.frequencies);
            }
            for (index, layer) in self.layers.iter().enumerate() {
                layer.run(index, &mut crew, &self.pages, streams, work);
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
        work.prepare(rows, self.dim(), self.frequencies.len(), &self.layers);
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
