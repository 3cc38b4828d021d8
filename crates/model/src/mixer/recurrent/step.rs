//! One new position from packed weights.

use std::ops::Range;

use percept_kernels::decode::{Crew, Epilogue, PackedLinear, Pages, RingAttention};
use percept_kernels::{Pattern, Rotary};

use super::cell::{Cell, Memory};
use super::gate::Gate;
use super::{Recurrent, STATE};
use crate::decoder::{Buffer, BuildStep, Packer, Pass, RowNorm, Step, elements, parts};
use crate::layers::{Linear, Norm};
use crate::mixer::attention_step::{self, normalised_into};

/// Index of the first buffer that is the state's; before it are the tokens' keys and values.
const VECTORS: usize = 2;

pub(super) fn build<'a>(norm: &'a Norm, layer: &'a Recurrent) -> BuildStep<'a> {
    Box::new(move |packer, state| {
        let patterns = vec![Pattern::SegmentPair { length: layer.segment }];
        let attention = attention_step::build(norm, &layer.projection, patterns, None)(packer, state);
        let (heads, groups) = layer.projection.heads();
        let width = state[0].width() / groups;
        let ring = |capacity: usize| RingAttention { capacity, groups, width };
        Box::new(RecurrentStep {
            norm: RowNorm::of(norm),
            attention,
            query: QueryStep::new(packer, &layer.state_query, &layer.state_query_norm),
            output: packer.linear(&layer.state_output),
            heads,
            segment: layer.segment,
            rotary: layer.projection.rotary(),
            cell: CellStep::new(&layer.cell, packer, heads, ring(state[0].capacity())),
        })
    })
}

#[derive(Debug)]
struct RecurrentStep {
    norm: RowNorm,
    /// Among the tokens.
    attention: Box<dyn Step>,
    /// To the state.
    query: QueryStep,
    output: PackedLinear,
    heads: usize,
    segment: usize,
    rotary: Option<Rotary>,
    cell: CellStep,
}

impl RecurrentStep {
    /// What the rows read; normalised rows, projected and normalised queries, scores; and the cell's.
    fn sizes(&self, rows: usize) -> [usize; 6] {
        let (dim, width) = (self.norm.width(), self.output.inputs());
        let scores = self.heads * self.cell.states.capacity;
        [width, dim, width, width, scores, self.cell.scratch()].map(|size| rows * size)
    }

    /// What every row reads of its state.
    fn read(&self, pass: &mut Pass<'_, '_>, x: &[f32], scratch: &mut [f32]) {
        let Pass { crew, pages, streams, .. } = pass;
        let [read, normalised, projected, queries, scores, _] = parts(scratch, self.sizes(streams.len()));
        self.norm.apply(x, normalised);
        self.query.apply(crew, pages, normalised, projected, queries);
        let streams = &*streams;
        let states = |row: usize| {
            let buffers = streams.buffers(row);
            buffers[VECTORS + 1].ring(&buffers[VECTORS + 2])
        };
        let all = 0..self.cell.states.capacity;
        self.cell.states.attend_rows(crew, self.heads, (queries, scores, read), states, |_, _| all.clone());
    }
}

impl Step for RecurrentStep {
    fn bytes(&self) -> usize {
        self.attention.bytes() + self.query.map.bytes() + self.output.bytes() + self.cell.bytes() / self.segment
    }

    fn scratch(&self) -> usize {
        self.sizes(1).iter().sum::<usize>() + self.attention.scratch()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let rows = pass.streams.len();
        let size = self.sizes(rows).iter().sum();
        let (own, rest) = std::mem::take(&mut pass.scratch).split_at_mut(size);
        pass.scratch = rest;
        for row in 0..rows {
            if pass.streams.position(row) == 0 {
                self.cell.begin(pass.streams.buffers_mut(row));
            }
        }
        self.read(pass, x, own);
        self.attention.run(pass, x);
        let [read, .., scratch] = parts(own, self.sizes(rows));
        self.output.apply(pass.crew, pass.pages, read, x, Epilogue::Add);
        for row in 0..rows {
            let end = pass.streams.position(row) + 1;
            if !end.is_multiple_of(self.segment) {
                continue;
            }
            let Pass { crew, pages, streams, angles, .. } = pass;
            let turn = self.rotary.as_ref().map(|rotary| {
                let (pairs, (cos, sin)) = (rotary.channels / 2, angles.of(rotary, streams));
                (rotary, (&cos[row * pairs..][..pairs], &sin[row * pairs..][..pairs]))
            });
            self.cell.advance((crew, pages), streams.buffers_mut(row), turn, end - self.segment..end, scratch);
        }
    }
}

/// How to turn queries at some position: its cosines and sines.
type Turn<'a> = Option<(&'a Rotary, (&'a [f32], &'a [f32]))>;

/// A map into heads, and their norm.
#[derive(Debug)]
struct QueryStep {
    map: PackedLinear,
    norm: Option<RowNorm>,
}

impl QueryStep {
    fn new(packer: &mut Packer, map: &Linear, norm: &Option<Norm>) -> Self {
        Self { map: packer.linear(map), norm: norm.as_ref().map(RowNorm::of) }
    }

    fn apply(&self, crew: &mut Crew<'_>, pages: &Pages, x: &[f32], projected: &mut [f32], heads: &mut [f32]) {
        self.map.apply(crew, pages, x, projected, Epilogue::Replace);
        normalised_into(&self.norm, projected, heads);
    }
}

/// [`Gate`].
#[derive(Debug)]
struct GateStep {
    map: PackedLinear,
    /// g, `[d]`.
    keep: Option<Vec<f32>>,
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl GateStep {
    fn new(packer: &mut Packer, gate: &Gate) -> Self {
        let keep = gate.keep.as_ref().map(|keep| elements(keep).into_iter().map(sigmoid).collect());
        Self { map: packer.linear(&gate.map), keep }
    }

    /// Changes `state [S, d]`; `new` has room for what the map gives.
    fn apply(&self, (crew, pages): (&mut Crew<'_>, &Pages), input: &[f32], new: &mut [f32], state: &mut [f32]) {
        let rows = input.len() / self.map.inputs();
        let new = &mut new[..rows * self.map.outputs()];
        self.map.apply(crew, pages, input, new, Epilogue::Replace);
        let dim = state.len() / rows;
        for (state, new) in state.chunks_exact_mut(dim).zip(new.chunks_exact(self.map.outputs())) {
            for (channel, c) in state.iter_mut().enumerate() {
                *c = match &self.keep {
                    Some(keep) => new[channel] + keep[channel] * (*c - new[channel]),
                    None => {
                        let [z, i, f] = [0, 1, 2].map(|part| new[part * dim + channel]);
                        sigmoid(f) * *c + sigmoid(i) * z.tanh()
                    }
                };
            }
        }
    }
}

/// [`Cell`].
#[derive(Debug)]
struct CellStep {
    /// Vectors, keys and values before the first segment.
    start: [Vec<f32>; STATE.len()],
    identity: Vec<f32>,
    norm: RowNorm,
    query: QueryStep,
    token_query: QueryStep,
    key: QueryStep,
    value: PackedLinear,
    reading_gate: Option<GateStep>,
    hidden_norm: Option<RowNorm>,
    hidden: Option<(PackedLinear, GateStep)>,
    heads: usize,
    states: RingAttention,
    tokens: RingAttention,
}

impl CellStep {
    fn new(cell: &Cell, packer: &mut Packer, heads: usize, tokens: RingAttention) -> Self {
        let Memory { vectors, key, value } = cell.start(1);
        let start = [crate::ops::elements(vectors), crate::ops::elements(key), crate::ops::elements(value)];
        let identity = elements(&cell.identity);
        let states = RingAttention { capacity: identity.len() / cell.norm.gamma.shape()[0], ..tokens };
        let hidden = cell.hidden.as_ref().zip(cell.hidden_gate.as_ref());
        Self {
            start,
            identity,
            norm: RowNorm::of(&cell.norm),
            query: QueryStep::new(packer, &cell.query, &cell.query_norm),
            token_query: QueryStep::new(packer, &cell.token_query, &cell.token_query_norm),
            key: QueryStep::new(packer, &cell.key, &cell.key_norm),
            value: packer.linear(&cell.value),
            reading_gate: cell.reading_gate.as_ref().map(|gate| GateStep::new(packer, gate)),
            hidden_norm: cell.hidden_norm.as_ref().map(RowNorm::of),
            hidden: hidden.map(|(map, gate)| (packer.linear(map), GateStep::new(packer, gate))),
            heads,
            states,
            tokens,
        }
    }

    /// Of all of its maps, which run once per segment.
    fn bytes(&self) -> usize {
        let queries = [&self.query, &self.token_query, &self.key].map(|query| query.map.bytes());
        let gates = self.reading_gate.iter().chain(self.hidden.iter().map(|(_, gate)| gate));
        queries.iter().sum::<usize>()
            + self.value.bytes()
            + gates.map(|gate| gate.map.bytes()).sum::<usize>()
            + self.hidden.as_ref().map_or(0, |(map, _)| map.bytes())
    }

    /// Placed vectors; projected and normalised heads, what each query reads, and that joined; scores; hidden rows; what gates give.
    fn sizes(&self) -> [usize; 7] {
        let (states, dim, width) = (self.states.capacity, self.norm.width(), self.query.map.outputs());
        let scores = states * self.heads * states.max(self.tokens.capacity);
        [states * dim, states * width, states * width, states * width, 2 * states * width, scores, 4 * states * dim]
    }

    fn scratch(&self) -> usize {
        self.sizes().iter().sum()
    }

    /// The state before the first segment.
    fn begin(&self, buffers: &mut [Buffer]) {
        for (buffer, start) in buffers[VECTORS..].iter_mut().zip(&self.start) {
            buffer.row_mut(0).copy_from_slice(start);
        }
    }

    /// The vectors, normalised, and each with its identity.
    fn place(&self, vectors: &[f32], placed: &mut [f32]) {
        self.norm.apply(vectors, placed);
        placed.iter_mut().zip(&self.identity).for_each(|(x, identity)| *x += identity);
    }

    /// The state after the segment at `positions`, whose last one `turn` is for.
    fn advance(
        &self,
        (crew, pages): (&mut Crew<'_>, &Pages),
        buffers: &mut [Buffer],
        turn: Turn<'_>,
        positions: Range<usize>,
        scratch: &mut [f32],
    ) {
        let [placed, projected, queries, attended, joined, scores, wide] = parts(scratch, self.sizes());
        self.place(buffers[VECTORS].row(0), placed);
        let (width, all) = (self.query.map.outputs(), 0..self.states.capacity);
        for (half, (query, ring, seen)) in
            [(&self.query, &self.states, all), (&self.token_query, &self.tokens, positions)].into_iter().enumerate()
        {
            query.apply(crew, pages, placed, projected, queries);
            let first = if half == 0 { VECTORS + 1 } else { 0 };
            if let (1, Some((rotary, angles))) = (half, turn) {
                queries.chunks_exact_mut(width).for_each(|row| rotary.rotate_row(row, ring.width, angles));
            }
            let pair = |_| buffers[first].ring(&buffers[first + 1]);
            ring.attend_rows(crew, self.heads, (queries, scores, attended), pair, |_, _| seen.clone());
            for (joined, attended) in joined.chunks_exact_mut(2 * width).zip(attended.chunks_exact(width)) {
                joined[half * width..][..width].copy_from_slice(attended);
            }
        }
        let [vectors, keys, values] = &mut buffers[VECTORS..] else { return };
        self.update((crew, pages), vectors.row_mut(0), joined, [placed, wide]);
        self.place(vectors.row(0), placed);
        let keys = keys.row_mut(0);
        self.key.apply(crew, pages, placed, &mut projected[..keys.len()], keys);
        self.value.apply(crew, pages, placed, values.row_mut(0), Epilogue::Replace);
    }

    /// [`Cell`]'s update of `vectors [S, d]`, in place.
    fn update(
        &self,
        (crew, pages): (&mut Crew<'_>, &Pages),
        vectors: &mut [f32],
        read: &[f32],
        [placed, wide]: [&mut [f32]; 2],
    ) {
        let (hidden_rows, new) = wide.split_at_mut(vectors.len());
        if let Some(gate) = &self.reading_gate {
            gate.apply((crew, pages), read, new, vectors);
        }
        let Some((hidden, gate)) = &self.hidden else { return };
        let input = match &self.hidden_norm {
            Some(norm) => {
                norm.apply(vectors, placed);
                &*placed
            }
            None => read,
        };
        hidden.apply(crew, pages, input, hidden_rows, Epilogue::Replace);
        hidden_rows.iter_mut().for_each(|x| *x = x.max(0.0));
        gate.apply((crew, pages), hidden_rows, new, vectors);
    }
}
