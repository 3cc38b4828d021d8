//! One new position of Combiner: a set that is now complete is summarised first, then what is read is read.

use std::sync::Arc;

use percept_kernels::decode::{Epilogue, PackedLinear};
use percept_kernels::{Listed, ListedMaximum, ListedPart, RotaryTable};

use super::Core;
use crate::decoder::{Buffer, BuildStep, Pass, RowNorm, Step, parts};
use crate::layers::{Linear, Norm};
use crate::mixer::attention_step::normalised_into;
use crate::mixer::projection::Projection;

/// The step; its state lies as [`Core::facts`] declares it.
pub(super) fn build<'a>(norm: &'a Norm, projection: &'a Projection, core: Core) -> BuildStep<'a> {
    Box::new(move |packer, state| {
        let inputs: Vec<&Linear> = [&projection.query, &projection.key].into_iter().chain(&projection.value).collect();
        let (heads, groups) = projection.heads();
        let (context, width) = (state[0].capacity(), state[0].width() / heads);
        let scale = (width as f64).powf(-0.5) as f32;
        let span = core.cover.kept_rows(context);
        Box::new(CombinerStep {
            norm: RowNorm::of(norm),
            inputs: packer.joined(&inputs),
            query_norm: projection.query_norm.as_ref().map(RowNorm::of),
            key_norm: projection.key_norm.as_ref().map(RowNorm::of),
            key_value_norm: projection.key_value_norm.as_ref().map(RowNorm::of),
            output: packer.linear(&projection.output),
            angles: core.rotary.map(|rotary| rotary.table(0, span)),
            core,
            terms: core.cover.most_terms(context),
            listed: Listed { batch: 1, queries: 1, heads, groups, width, scale },
        })
    })
}

#[derive(Debug)]
struct CombinerStep {
    norm: RowNorm,
    /// Queries, keys and, where they are apart, values.
    inputs: PackedLinear,
    query_norm: Option<RowNorm>,
    key_norm: Option<RowNorm>,
    key_value_norm: Option<RowNorm>,
    output: PackedLinear,
    core: Core,
    /// Of the positions in a span: a score depends on the distance alone.
    angles: Option<Arc<RotaryTable>>,
    /// The most rows that a query reads.
    terms: usize,
    listed: Listed,
}

impl Step for CombinerStep {
    fn bytes(&self) -> usize {
        self.inputs.bytes() + self.output.bytes()
    }

    fn scratch(&self) -> usize {
        self.sizes(1).iter().sum::<usize>() + self.row_sizes().iter().sum::<usize>()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, angles, .. } = pass;
        let rows = streams.len();
        let (of_rows, own) = scratch.split_at_mut(self.sizes(rows).iter().sum());
        let [normalised, projected, attended] = parts(of_rows, self.sizes(rows));
        self.norm.apply(x, normalised);
        if let Some(sinusoids) = &self.core.additive {
            let half = sinusoids.channels / 2;
            let (cos, sin) = angles.of(sinusoids, streams);
            for (row, x) in normalised.chunks_exact_mut(self.inputs.inputs()).enumerate() {
                let added = sin[row * half..][..half].iter().chain(&cos[row * half..][..half]);
                x.iter_mut().zip(added).for_each(|(x, added)| *x += added);
            }
        }
        self.inputs.apply(crew, pages, normalised, projected, Epilogue::Replace);
        let widths = (self.inputs.outputs(), self.output.inputs());
        let each = projected.chunks_exact_mut(widths.0).zip(attended.chunks_exact_mut(widths.1));
        for (row, (projected, attended)) in each.enumerate() {
            let position = streams.position(row);
            self.attend(position, projected, streams.buffers_mut(row), own, attended);
        }
        self.output.apply(crew, pages, attended, x, Epilogue::Add);
    }
}

impl CombinerStep {
    /// Normalised rows, projected rows, attended rows.
    fn sizes(&self, rows: usize) -> [usize; 3] {
        [self.inputs.inputs(), self.inputs.outputs(), self.output.inputs()].map(|size| rows * size)
    }

    /// What one row works in: scores, a query, and the rotated keys of its span.
    fn row_sizes(&self) -> [usize; 3] {
        let span = self.angles.as_ref().map_or(0, |table| table.cos_f32.len() / (self.turned() / 2).max(1));
        [self.terms, self.output.inputs(), span * self.key_width()]
    }

    /// Channels of a head that are rotated.
    fn turned(&self) -> usize {
        self.core.rotary.map_or(0, |rotary| rotary.channels)
    }

    fn key_width(&self) -> usize {
        self.listed.groups * self.listed.width
    }

    /// Takes a projected row into the state, and writes what its query reads.
    fn attend(
        &self,
        position: usize,
        projected: &[f32],
        buffers: &mut [Buffer],
        scratch: &mut [f32],
        attended: &mut [f32],
    ) {
        let [scores, query, turned] = parts(scratch, self.row_sizes());
        let [queries, keys, values, summary_keys, summary_values] = buffers else { return };
        if self.core.cover.sets(position, position + 1) > 0 {
            let slot = self.core.cover.slot(position);
            let key = &mut summary_keys.row_mut(0)[slot * self.key_width()..][..self.key_width()];
            let value = &mut summary_values.row_mut(0)[slot * query.len()..][..query.len()];
            let members = self.core.cover.members_at(position);
            let maximum = |x: &[f32], channels: usize, out: &mut [f32]| {
                ListedMaximum { batch: 1, sets: 1, channels, members }.set(x, 0, out);
            };
            maximum(queries.all(), query.len(), query);
            maximum(keys.all(), self.key_width(), key);
            let part = ListedPart { q: query, k: keys.all(), v: values.all(), rows: members };
            self.listed.row(&[part], scores, value);
        }
        self.store(position, projected, [queries, keys, values]);
        let [direct, sets] = self.core.cover.at(position);
        let (q, k) = self.turn(position, queries.row(position), keys.all(), (query, turned));
        let direct = ListedPart { q, k, v: values.all(), rows: direct };
        let (k, v) = (summary_keys.row(0), summary_values.row(0));
        let sets = ListedPart { q: queries.row(position), k, v, rows: sets };
        self.listed.row(&[direct, sets], scores, attended);
    }

    /// The query and the keys of direct terms, rotated where they are.
    fn turn<'a>(
        &self,
        position: usize,
        q: &'a [f32],
        k: &'a [f32],
        (query, keys): (&'a mut [f32], &'a mut [f32]),
    ) -> (&'a [f32], &'a [f32]) {
        let (Some(rotary), Some(table)) = (&self.core.rotary, &self.angles) else { return (q, k) };
        let (width, pairs) = (self.listed.width, rotary.channels / 2);
        let angles = |at: usize| (&table.cos_f32[at * pairs..][..pairs], &table.sin_f32[at * pairs..][..pairs]);
        let span = table.cos_f32.len() / pairs;
        query.copy_from_slice(q);
        rotary.rotate_row(query, width, angles(position % span));
        let seen = (position % span + 1) * self.key_width();
        keys[..seen].copy_from_slice(&k[..seen]);
        for (at, key) in keys[..seen].chunks_exact_mut(self.key_width()).enumerate() {
            rotary.rotate_row(key, width, angles(at));
        }
        (query, keys)
    }

    fn store(&self, position: usize, projected: &[f32], [queries, keys, values]: [&mut Buffer; 3]) {
        let (q, pair) = projected.split_at(self.output.inputs());
        let (k, v) = pair.split_at(self.key_width());
        normalised_into(&self.query_norm, q, queries.row_mut(position));
        match &self.key_value_norm {
            None => normalised_into(&self.key_norm, k, keys.row_mut(position)),
            Some(norm) => {
                // By way of the values' row: one norm after the other.
                normalised_into(&self.key_norm, k, values.row_mut(position));
                norm.apply(values.row(position), keys.row_mut(position));
            }
        }
        let v = if v.is_empty() { keys.row(position) } else { v };
        values.row_mut(position).copy_from_slice(v);
    }
}
