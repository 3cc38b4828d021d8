//! One new position of Combiner: sets that are now complete are summarised first, then what is read is read.

use std::sync::Arc;

use percept_kernels::decode::{Crew, Epilogue, PackedLinear, Pages};
use percept_kernels::{Listed, ListedMaximum, ListedPart, Listing, RotaryTable};

use super::core::Core;
use super::cover::Group;
use super::kind::Keys;
use super::summary_key::SummaryKey;
use crate::decoder::{Buffer, BuildStep, Packer, Pass, RowNorm, Step, parts};
use crate::layers::{Linear, Norm};
use crate::mixer::attention_step::normalised_into;
use crate::mixer::projection::Projection;

/// The step; its state lies as [`Core::facts`] declares it.
pub(super) fn build<'a>(
    norm: &'a Norm,
    projection: &'a Projection,
    summary: Option<&'a SummaryKey>,
    core: Core,
) -> BuildStep<'a> {
    Box::new(move |packer, state| {
        let inputs: Vec<&Linear> = [&projection.query, &projection.key].into_iter().chain(&projection.value).collect();
        let (heads, groups) = projection.heads();
        let (context, width) = (state[1].capacity(), state[0].width() / heads);
        let scale = (width as f64).powf(-0.5) as f32;
        Box::new(CombinerStep {
            norm: RowNorm::of(norm),
            inputs: packer.joined(&inputs),
            query_norm: projection.query_norm.as_ref().map(RowNorm::of),
            key_norm: projection.key_norm.as_ref().map(RowNorm::of),
            key_value_norm: projection.key_value_norm.as_ref().map(RowNorm::of),
            output: packer.linear(&projection.output),
            summary: summary.map(|summary| PackedSummaryKey::new(summary, packer, state[0].capacity())),
            angles: core.rotary.map(|rotary| rotary.table(0, context)),
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
    summary: Option<PackedSummaryKey>,
    core: Core,
    /// Of the positions of the state's rows: a score depends on the distance alone.
    angles: Option<Arc<RotaryTable>>,
    /// The most rows that a query reads.
    terms: usize,
    listed: Listed,
}

/// [`SummaryKey`], for as many rows as a stream keeps.
#[derive(Debug)]
struct PackedSummaryKey {
    out: PackedLinear,
    norm: RowNorm,
    key: PackedLinear,
    rows: usize,
}

impl PackedSummaryKey {
    fn new(summary: &SummaryKey, packer: &mut Packer, rows: usize) -> Self {
        let (out, norm) = (packer.linear(&summary.out), RowNorm::of(&summary.norm));
        Self { out, norm, key: packer.linear(&summary.key), rows }
    }

    fn bytes(&self) -> usize {
        self.out.bytes() + self.key.bytes()
    }

    /// Elements that it works in: the rows, and one of them.
    fn sizes(&self) -> [usize; 2] {
        [self.rows * self.norm.width(), self.norm.width()]
    }

    /// Keys of all rows, from their values and their inputs.
    fn apply(
        &self,
        (crew, pages): (&mut Crew<'static>, &Pages),
        [values, inputs]: [&[f32]; 2],
        [mixed, one]: [&mut [f32]; 2],
        keys: &mut [f32],
    ) {
        mixed.copy_from_slice(inputs);
        self.out.apply(crew, pages, values, mixed, Epilogue::Add);
        for row in mixed.chunks_exact_mut(one.len()) {
            self.norm.apply(row, one);
            row.copy_from_slice(one);
        }
        self.key.apply(crew, pages, mixed, keys, Epilogue::Replace);
    }
}

impl Step for CombinerStep {
    fn bytes(&self) -> usize {
        let summary = self.summary.as_ref().map_or(0, PackedSummaryKey::bytes);
        self.inputs.bytes() + self.output.bytes() + summary
    }

    fn scratch(&self) -> usize {
        self.sizes(1).iter().sum::<usize>() + self.row_sizes().iter().sum::<usize>()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, angles, .. } = pass;
        let rows = streams.len();
        let (of_rows, own) = scratch.split_at_mut(self.sizes(rows).iter().sum());
        let [normalised, projected, attended] = parts(of_rows, self.sizes(rows));
        let [scores, query, keys, values, mixed, one] = parts(own, self.row_sizes());
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
        let each = projected.chunks_exact(widths.0).zip(normalised.chunks_exact(self.inputs.inputs()));
        for (row, (each, attended)) in each.zip(attended.chunks_exact_mut(widths.1)).enumerate() {
            let position = streams.position(row);
            let Some(mut kept) = Kept::of(streams.buffers_mut(row)) else { continue };
            self.summarise(position, &mut kept, query, scores);
            self.project_keys((crew, pages), position, &mut kept, [mixed, one]);
            self.store(position, each, &mut kept);
            self.read(position, &kept, [scores, query, keys, values], attended);
        }
        self.output.apply(crew, pages, attended, x, Epilogue::Add);
    }
}

/// The state of one stream.
struct Kept<'a> {
    queries: &'a mut Buffer,
    keys: &'a mut Buffer,
    values: &'a mut Buffer,
    summary_keys: &'a mut Buffer,
    summary_values: &'a mut Buffer,
    /// The largest queries of sets that grow, or the inputs of the own row.
    other: Option<&'a mut Buffer>,
}

impl<'a> Kept<'a> {
    fn of(buffers: &'a mut [Buffer]) -> Option<Self> {
        let [queries, keys, values, summary_keys, summary_values, others @ ..] = buffers else { return None };
        Some(Self { queries, keys, values, summary_keys, summary_values, other: others.first_mut() })
    }
}

impl CombinerStep {
    /// Normalised rows, projected rows, attended rows.
    fn sizes(&self, rows: usize) -> [usize; 3] {
        [self.inputs.inputs(), self.inputs.outputs(), self.output.inputs()].map(|size| rows * size)
    }

    /// What one row works in: scores, a query, the keys and values that it reads directly, where keys are rotated, and what
    /// projected keys need.
    fn row_sizes(&self) -> [usize; 6] {
        let direct = if self.angles.is_some() { self.core.cover.most_direct() * self.key_width() } else { 0 };
        let [mixed, one] = self.summary.as_ref().map_or([0, 0], PackedSummaryKey::sizes);
        [self.terms, self.output.inputs(), direct, direct, mixed, one]
    }

    fn key_width(&self) -> usize {
        self.listed.groups * self.listed.width
    }

    /// Summarises the sets that a position is the first to read.
    fn summarise(&self, position: usize, kept: &mut Kept<'_>, query: &mut [f32], scores: &mut [f32]) {
        for group in self.core.cover.groups(position, position + 1).into_iter().flatten() {
            for set in 0..group.made {
                match self.core.keys {
                    Keys::Largest => self.summarise_set(position, (&group, set), kept, query, scores),
                    keys => self.summarise_for_column(position, (&group, set), kept, keys, scores),
                }
            }
        }
    }

    fn summarise_set(
        &self,
        position: usize,
        (group, set): (&Group, usize),
        kept: &mut Kept<'_>,
        query: &mut [f32],
        scores: &mut [f32],
    ) {
        let (slot, [of_queries, of_keys]) = group.at(position, set);
        let own = self.key_width();
        let key = &mut kept.summary_keys.row_mut(0)[slot * own..][..own];
        let value = &mut kept.summary_values.row_mut(0)[slot * query.len()..][..query.len()];
        let from = group.keys.0 * own;
        let (keys, values) = (&kept.keys.all()[from..], &kept.values.all()[from..]);
        match &mut kept.other {
            Some(growing) if group.grows => {
                // The row that is now complete: a set for each of its positions.
                let added = position - group.made + set;
                let largest = &mut growing.row_mut(0)[set * query.len()..][..query.len()];
                if group.kept == 0 {
                    [&mut *largest, &mut *key].into_iter().for_each(|x| x.fill(f32::NEG_INFINITY));
                }
                raise(largest, kept.queries.row(added));
                raise(key, kept.keys.row(added));
                query.copy_from_slice(largest);
            }
            _ => {
                let maximum = |members: Listing, x: &[f32], channels: usize, out: &mut [f32]| {
                    ListedMaximum { batch: 1, sets: 1, channels, members }.set(x, 0, out);
                };
                maximum(of_queries, kept.queries.all(), query.len(), query);
                maximum(of_keys, keys, own, key);
            }
        }
        self.listed.row(&[ListedPart { q: query, k: keys, v: values, rows: of_keys }], scores, value);
    }

    /// What attention inside the span that is now complete gives at one of its positions.
    fn summarise_for_column(
        &self,
        position: usize,
        (group, set): (&Group, usize),
        kept: &mut Kept<'_>,
        keys: Keys,
        scores: &mut [f32],
    ) {
        let (slot, [_, members]) = group.at(position, set);
        let (own, width) = (self.key_width(), self.output.inputs());
        let of_column = position - group.made + set;
        let (q, k) = (kept.queries.row(of_column), kept.keys.all());
        let value = &mut kept.summary_values.row_mut(0)[slot * width..][..width];
        self.listed.row(&[ListedPart { q, k, v: kept.values.all(), rows: members }], scores, value);
        let key = &mut kept.summary_keys.row_mut(0)[slot * own..][..own];
        match keys {
            Keys::Weighted => self.listed.row(&[ListedPart { q, k, v: k, rows: members }], scores, key),
            _ => key.copy_from_slice(kept.keys.row(of_column)),
        }
    }

    /// Where keys are projections: those of the span that is now complete, together.
    fn project_keys(
        &self,
        work: (&mut Crew<'static>, &Pages),
        position: usize,
        kept: &mut Kept<'_>,
        scratch: [&mut [f32]; 2],
    ) {
        let [Some(group), _] = self.core.cover.groups(position, position + 1) else { return };
        let (Some(summary), Some(inputs)) = (&self.summary, &mut kept.other) else { return };
        if group.made > 0 {
            let (own, width) = (self.key_width(), self.output.inputs());
            let (slot, _) = group.at(position, 0);
            let values = &kept.summary_values.row(0)[slot * width..][..group.made * width];
            let keys = &mut kept.summary_keys.row_mut(0)[slot * own..][..group.made * own];
            summary.apply(work, [values, inputs.all()], scratch, keys);
        }
    }

    /// Takes a projected row, and the normalised one that it is made of, into the state.
    fn store(&self, position: usize, (projected, normalised): (&[f32], &[f32]), kept: &mut Kept<'_>) {
        let (q, pair) = projected.split_at(self.output.inputs());
        let (k, v) = pair.split_at(self.key_width());
        let (keys, values) = (&mut *kept.keys, &mut *kept.values);
        normalised_into(&self.query_norm, q, kept.queries.row_mut(position));
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
        if let (Some(_), Some(inputs)) = (&self.summary, &mut kept.other) {
            inputs.row_mut(position).copy_from_slice(normalised);
        }
    }

    /// Writes what the query of a position reads.
    fn read(
        &self,
        position: usize,
        kept: &Kept<'_>,
        [scores, query, keys, values]: [&mut [f32]; 4],
        attended: &mut [f32],
    ) {
        let [direct, sets] = self.core.cover.at(position);
        let q = kept.queries.row(position);
        let own = ListedPart { q, k: kept.keys.all(), v: kept.values.all(), rows: direct };
        let direct = self.turned(position, own, [query, keys, values]);
        let (k, v) = (kept.summary_keys.row(0), kept.summary_values.row(0));
        self.listed.row(&[direct, ListedPart { q, k, v, rows: sets }], scores, attended);
    }

    /// What is read directly; where it is rotated, it is copied together first.
    fn turned<'a>(
        &self,
        position: usize,
        direct: ListedPart<'a>,
        [query, keys, values]: [&'a mut [f32]; 3],
    ) -> ListedPart<'a> {
        let (Some(rotary), Some(table)) = (&self.core.rotary, &self.angles) else {
            return direct;
        };
        let (width, own, pairs) = (self.listed.width, self.key_width(), rotary.channels / 2);
        let angles = |at: usize| (&table.cos_f32[at * pairs..][..pairs], &table.sin_f32[at * pairs..][..pairs]);
        query.copy_from_slice(direct.q);
        rotary.rotate_row(query, width, angles(position % (table.cos_f32.len() / pairs)));
        let mut count = 0;
        direct.rows.each(0, |run| {
            for row in run.rows() {
                let key = &mut keys[count * own..][..own];
                key.copy_from_slice(&direct.k[row * own..][..own]);
                rotary.rotate_row(key, width, angles(row));
                values[count * own..][..own].copy_from_slice(&direct.v[row * own..][..own]);
                count += 1;
            }
        });
        let rows = Listing::Span { length: count, start: count - 1, table: 0 };
        ListedPart { q: query, k: &keys[..count * own], v: &values[..count * own], rows }
    }
}

/// `largest = max(largest, x)`.
fn raise(largest: &mut [f32], x: &[f32]) {
    for (largest, x) in largest.iter_mut().zip(x) {
        *largest = if *x > *largest { *x } else { *largest };
    }
}
