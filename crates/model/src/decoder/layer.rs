//! One layer of the decoder: attention and feed-forward sublayer, pre-norm, with residuals.

use percept_kernels::decode::{Crew, Epilogue, PackedLinear, Pages, RingAttention};
use percept_kernels::{Norm, Pattern, Rotary, Visibility};

use super::stream::{Stream, Values};
use super::workspace::Workspace;

/// A normalisation over rows of `gamma.len()` numbers.
#[derive(Debug)]
pub(super) struct RowNorm {
    pub(super) norm: Norm,
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Option<Vec<f32>>,
    pub(super) eps: f32,
}

impl RowNorm {
    pub(super) fn apply(&self, x: &[f32], y: &mut [f32]) {
        self.norm.few_rows(x, (&self.gamma, self.beta.as_deref()), self.eps, y);
    }
}

/// The output projection of the positions below `limit`.
#[derive(Debug)]
pub(super) struct FirstOutput {
    pub(super) linear: PackedLinear,
    pub(super) limit: usize,
}

/// See [`crate::block::Block`].
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) mixer_norm: RowNorm,
    /// Queries, keys and, where they are apart, values, in one pass: `[d, (H + G (+ G)) e]`.
    pub(super) projection: PackedLinear,
    pub(super) query_norm: Option<RowNorm>,
    pub(super) key_norm: Option<RowNorm>,
    pub(super) key_value_norm: Option<RowNorm>,
    pub(super) rotary: Option<Rotary>,
    pub(super) heads: usize,
    pub(super) values: Values,
    pub(super) ring: RingAttention,
    /// Which keys a query sees: a rule for each equal share of the heads.
    pub(super) patterns: Vec<Pattern>,
    pub(super) output: PackedLinear,
    pub(super) first_output: Option<FirstOutput>,
    pub(super) feed_forward_norm: RowNorm,
    pub(super) gate: Option<PackedLinear>,
    pub(super) up: PackedLinear,
    pub(super) down: PackedLinear,
}

impl Layer {
    /// Bytes of weights that one token reads.
    pub(super) fn bytes(&self) -> usize {
        let linears = [&self.projection, &self.output, &self.up, &self.down].into_iter().chain(&self.gate);
        linears.map(PackedLinear::bytes).sum()
    }

    /// Moves the rows of `work.x`, one per stream, through the layer, whose index is `index`.
    pub(super) fn run(
        &self,
        index: usize,
        crew: &mut Crew<'_>,
        pages: &Pages,
        streams: &mut [&mut Stream],
        work: &mut Workspace,
    ) {
        self.project(index, crew, pages, streams, work);
        self.attend(index, crew, pages, streams, work);
        let (rows, dim) = (streams.len(), self.up.inputs());
        let (x, normalised) = (&mut work.x[..rows * dim], &mut work.normalised[..rows * dim]);
        let hidden = &mut work.hidden[..rows * self.up.outputs()];
        self.feed_forward_norm.apply(x, normalised);
        match &self.gate {
            Some(gate) => PackedLinear::swiglu(gate, &self.up, crew, pages, normalised, hidden),
            None => self.up.apply(crew, pages, normalised, hidden, Epilogue::Gelu),
        }
        self.down.apply(crew, pages, hidden, x, Epilogue::Add);
    }

    /// Queries into the workspace, keys and values into the rings.
    fn project(
        &self,
        index: usize,
        crew: &mut Crew<'_>,
        pages: &Pages,
        streams: &mut [&mut Stream],
        work: &mut Workspace,
    ) {
        let (rows, dim, width) = (streams.len(), self.projection.inputs(), self.projection.outputs());
        let normalised = &mut work.normalised[..rows * dim];
        let projected = &mut work.projected[..rows * width];
        self.mixer_norm.apply(&work.x[..rows * dim], normalised);
        self.projection.apply(crew, pages, normalised, projected, Epilogue::Replace);
        let (query_width, key_width) = (self.output.inputs(), self.ring.groups * self.ring.width);
        let pairs = self.rotary.map_or(0, |rotary| rotary.channels / 2);
        let (queries, scratch) = (&mut work.queries[..rows * query_width], &mut work.keys[..key_width]);
        for (row, (stream, projected)) in streams.iter_mut().zip(projected.chunks_exact_mut(width)).enumerate() {
            let angles = (&work.cos[row * pairs..][..pairs], &work.sin[row * pairs..][..pairs]);
            let (q, pair) = projected.split_at_mut(query_width);
            let (k, v) = pair.split_at_mut(key_width);
            let position = stream.position();
            let (keys, values) = stream.ring_mut(index).row_mut(position);
            let queries = &mut queries[row * query_width..][..query_width];
            normalised_into(&self.query_norm, q, queries);
            self.rotate(queries, angles);
            normalised_into(&self.key_norm, k, scratch);
            self.rotate(scratch, angles);
            normalised_into(&self.key_value_norm, scratch, keys);
            if let Some(values) = values {
                values.copy_from_slice(v);
            }
        }
    }

    /// Attention of every head of every row to its stream, and the output projection, added to the residual.
    fn attend(&self, index: usize, crew: &mut Crew<'_>, pages: &Pages, streams: &[&mut Stream], work: &mut Workspace) {
        let (rows, dim, width) = (streams.len(), self.output.outputs(), self.output.inputs());
        let attended = &mut work.attended[..rows * width];
        let ring = |row: usize| streams[row].rings()[index].pair();
        let visible = |row: usize, head: usize| {
            let position = streams[row].position();
            let pattern = self.patterns[head * self.patterns.len() / self.heads];
            Visibility { pattern, query_start: position, key_start: 0 }.range(0, position + 1)
        };
        let parts = (&work.queries[..rows * width], &mut work.scores[..], &mut *attended);
        self.ring.attend_rows(crew, self.heads, parts, ring, visible);
        let x = &mut work.x[..rows * dim];
        let mut done = 0;
        for run in streams.chunk_by(|a, b| self.is_first(a) == self.is_first(b)) {
            let output = match &self.first_output {
                Some(first) if self.is_first(run[0]) => &first.linear,
                _ => &self.output,
            };
            let here = done..done + run.len();
            let (from, to) = (here.start * width..here.end * width, here.start * dim..here.end * dim);
            output.apply(crew, pages, &attended[from], &mut x[to], Epilogue::Add);
            done = here.end;
        }
    }

    fn is_first(&self, stream: &Stream) -> bool {
        self.first_output.as_ref().is_some_and(|first| stream.position() < first.limit)
    }

    fn rotate(&self, heads: &mut [f32], angles: (&[f32], &[f32])) {
        if let Some(rotary) = &self.rotary {
            rotary.rotate_row(heads, self.ring.width, angles);
        }
    }
}

/// The heads in `x`, normalised where there is a norm, into `y`.
fn normalised_into(norm: &Option<RowNorm>, x: &[f32], y: &mut [f32]) {
    match norm {
        Some(norm) => norm.apply(x, y),
        None => y.copy_from_slice(x),
    }
}
