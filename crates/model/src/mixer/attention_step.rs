//! Attention of one new position to the keys that its stream has kept.

use std::sync::Arc;

use percept_kernels::decode::{Epilogue, PackedLinear, RingAttention};
use percept_kernels::{Pattern, Rotary, RotaryTable, Visibility};

use super::projection::Projection;
use crate::decoder::{BuildStep, Pass, RowNorm, Step, parts};
use crate::layers::{Linear, Norm};

/// Another output projection for the positions below a limit.
#[derive(Debug)]
pub(super) struct FirstOutput<L> {
    pub(super) linear: L,
    pub(super) limit: usize,
}

/// The step of a mixer whose new query sees keys and values as [`Projection::state`] declares them; `patterns`: which ones,
/// a rule for each equal share of the heads.
pub(super) fn build<'a>(
    norm: &'a Norm,
    projection: &'a Projection,
    patterns: Vec<Pattern>,
    first_output: Option<FirstOutput<&'a Linear>>,
) -> BuildStep<'a> {
    Box::new(move |packer, state| {
        let inputs: Vec<&Linear> = [&projection.query, &projection.key].into_iter().chain(&projection.value).collect();
        let (heads, groups) = projection.heads();
        let keys = &state[0];
        Box::new(AttentionStep {
            norm: RowNorm::of(norm),
            inputs: packer.joined(&inputs),
            query_norm: projection.query_norm.as_ref().map(RowNorm::of),
            key_norm: projection.key_norm.as_ref().map(RowNorm::of),
            key_value_norm: projection.key_value_norm.as_ref().map(RowNorm::of),
            rotary: projection.rotary(),
            aim: projection.rotary().filter(|_| projection.aim() > 0).map(|rotary| rotary.table(projection.aim(), 1)),
            heads,
            ring: RingAttention { capacity: keys.capacity(), groups, width: keys.width() / groups },
            patterns,
            output: packer.linear(&projection.output),
            first_output: first_output
                .map(|FirstOutput { linear, limit }| FirstOutput { linear: packer.linear(linear), limit }),
        })
    })
}

#[derive(Debug)]
struct AttentionStep {
    norm: RowNorm,
    /// Queries, keys and, where they are apart, values, in one pass: `[d, (H + G (+ G)) e]`.
    inputs: PackedLinear,
    query_norm: Option<RowNorm>,
    key_norm: Option<RowNorm>,
    key_value_norm: Option<RowNorm>,
    rotary: Option<Rotary>,
    /// By how much a query is turned beyond its own position, where it asks for another one.
    aim: Option<Arc<RotaryTable>>,
    heads: usize,
    ring: RingAttention,
    patterns: Vec<Pattern>,
    output: PackedLinear,
    first_output: Option<FirstOutput<PackedLinear>>,
}

/// Index of the keys' and of the values' buffer.
const KEYS: usize = 0;
const VALUES: usize = 1;

impl Step for AttentionStep {
    fn bytes(&self) -> usize {
        self.inputs.bytes() + self.output.bytes()
    }

    fn scratch(&self) -> usize {
        self.sizes(1).iter().sum()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let rows = pass.streams.len();
        self.project(rows, pass, x);
        self.attend(rows, pass, x);
    }
}

impl AttentionStep {
    /// Queries, attended rows, scores; normalised rows, projected rows, keys on their way into the ring.
    fn sizes(&self, rows: usize) -> [usize; 6] {
        let (dim, width) = (self.inputs.inputs(), self.output.inputs());
        let scores = self.heads * self.ring.capacity;
        let keys = self.ring.groups * self.ring.width;
        [width, width, scores, dim, self.inputs.outputs(), keys].map(|size| rows * size)
    }

    /// Queries into the scratch, keys and values into the rings.
    fn project(&self, rows: usize, pass: &mut Pass<'_, '_>, x: &[f32]) {
        let Pass { crew, pages, scratch, streams, angles, .. } = pass;
        let [queries, _, _, normalised, projected, keys] = parts(scratch, self.sizes(rows));
        self.norm.apply(x, normalised);
        self.inputs.apply(crew, pages, normalised, projected, Epilogue::Replace);
        let angles = self.rotary.as_ref().map(|rotary| (rotary.channels / 2, angles.of(rotary, streams)));
        let (query_width, key_width) = (self.output.inputs(), self.ring.groups * self.ring.width);
        let scratch = &mut keys[..key_width];
        for (row, projected) in projected.chunks_exact_mut(self.inputs.outputs()).enumerate() {
            let turn = angles.map(|(pairs, (cos, sin))| (&cos[row * pairs..][..pairs], &sin[row * pairs..][..pairs]));
            let (q, pair) = projected.split_at_mut(query_width);
            let (k, v) = pair.split_at_mut(key_width);
            let queries = &mut queries[row * query_width..][..query_width];
            normalised_into(&self.query_norm, q, queries);
            self.rotate(queries, turn);
            self.rotate(queries, self.aim.as_ref().map(|aim| (&aim.cos_f32[..], &aim.sin_f32[..])));
            normalised_into(&self.key_norm, k, scratch);
            self.rotate(scratch, turn);
            let position = streams.position(row);
            let buffers = streams.buffers_mut(row);
            normalised_into(&self.key_value_norm, scratch, k);
            buffers[KEYS].put(position, k);
            buffers[VALUES].put(position, if v.is_empty() { k } else { v });
        }
    }

    /// Attention of every head of every row to its stream, and the output projection, added to the residual.
    fn attend(&self, rows: usize, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, .. } = pass;
        let [queries, attended, scores, ..] = parts(scratch, self.sizes(rows));
        let (dim, width) = (self.output.outputs(), self.output.inputs());
        let streams = &*streams;
        let ring = |row: usize| {
            let buffers = streams.buffers(row);
            buffers[KEYS].ring(&buffers[self.read_as_values()])
        };
        let visible = |row: usize, head: usize| {
            let position = streams.position(row);
            let pattern = self.patterns[head * self.patterns.len() / self.heads];
            let seen = Visibility { pattern, query_start: position, key_start: 0 }.range(0, position + 1);
            seen.start.max(streams.buffers(row)[KEYS].first())..seen.end
        };
        self.ring.attend_rows(crew, self.heads, (queries, scores, attended), ring, visible);
        let mut done = 0;
        while done < rows {
            let output = self.output_at(streams.position(done));
            let run =
                (done..rows).take_while(|&row| std::ptr::eq(output, self.output_at(streams.position(row)))).count();
            let here = done..done + run;
            let (from, to) = (here.start * width..here.end * width, here.start * dim..here.end * dim);
            output.apply(crew, pages, &attended[from], &mut x[to], Epilogue::Add);
            done = here.end;
        }
    }

    /// Where the keys are the values too, both buffers hold the same: reading one keeps half as much in the caches.
    fn read_as_values(&self) -> usize {
        let keys = self.output.inputs() + self.ring.groups * self.ring.width;
        if self.inputs.outputs() == keys { KEYS } else { VALUES }
    }

    fn output_at(&self, position: usize) -> &PackedLinear {
        match &self.first_output {
            Some(first) if position < first.limit => &first.linear,
            _ => &self.output,
        }
    }

    fn rotate(&self, heads: &mut [f32], angles: Option<(&[f32], &[f32])>) {
        if let (Some(rotary), Some(angles)) = (&self.rotary, angles) {
            rotary.rotate_row(heads, self.ring.width, angles);
        }
    }
}

/// The heads in `x`, normalised where there is a norm, into `y`.
pub(super) fn normalised_into(norm: &Option<RowNorm>, x: &[f32], y: &mut [f32]) {
    match norm {
        Some(norm) => norm.apply(x, y),
        None => y.copy_from_slice(x),
    }
}
