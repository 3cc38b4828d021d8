//! The forward pass.

use super::row::{add_weighted, products, softmax};
use super::{Listed, ListedPart, Listing};
use crate::cost::count_cost;
use rayon::prelude::*;

impl Listed {
    /// Writes the output `[batch, queries, heads, width]` and the log-sum-exp `[batch, queries, heads]` of the scaled scores.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or a table lacks a row that its listing names.
    pub fn forward(&self, parts: &[ListedPart<'_>], output: &mut [f32], lse: &mut [f32]) {
        self.check(parts);
        assert_eq!((output.len(), lse.len()), (self.query_len(), self.lse_len()), "sizes of the outputs");
        let rows = output.par_chunks_mut(self.heads * self.width).zip(lse.par_chunks_mut(self.heads));
        rows.with_min_len(8).enumerate().for_each_init(Vec::new, |scores: &mut Vec<f32>, (row, (output, lse))| {
            let (entry, query) = (row / self.queries, row % self.queries);
            let count = parts.iter().map(|part| part.rows.count(query)).sum();
            if scores.len() < count {
                scores.resize(count, 0.0);
            }
            let heads = output.chunks_exact_mut(self.width).zip(lse);
            for (head, (output, lse)) in heads.enumerate() {
                *lse = self.query(parts, [entry, query, head], scores, output);
            }
        });
        let lists: Vec<Listing> = parts.iter().map(|part| part.rows).collect();
        count_cost(self.forward_cost(&lists));
    }

    /// The output of one query of one sequence, `[heads, width]`, on the calling thread; `scores` has room for one element per row that it
    /// reads. Allocates nothing.
    ///
    /// # Panics
    /// As [`Listed::forward`], and if there is no room for the scores.
    pub fn row(&self, parts: &[ListedPart<'_>], scores: &mut [f32], output: &mut [f32]) {
        self.check(parts);
        assert_eq!((self.batch, self.queries, output.len()), (1, 1, self.query_len()), "one row");
        for (head, output) in output.chunks_exact_mut(self.width).enumerate() {
            self.query(parts, [0, 0, head], scores, output);
        }
    }

    /// One query of one head; returns its log-sum-exp.
    fn query(
        &self,
        parts: &[ListedPart<'_>],
        [entry, query, head]: [usize; 3],
        scores: &mut [f32],
        output: &mut [f32],
    ) -> f32 {
        let count = self.scores(parts, [entry, query, head], scores);
        let lse = softmax(&mut scores[..count]);
        output.fill(0.0);
        let mut seen = 0;
        for part in parts {
            let table = self.table(part, entry, head);
            part.rows.each(query, |run| {
                let weights = &scores[seen..seen + run.count];
                let (at, stride) = table.value.run(run);
                add_weighted(weights, table.v, at, stride, output);
                seen += run.count;
            });
        }
        lse
    }

    /// Writes the scaled scores of a query; returns how many there are.
    pub(super) fn scores(
        &self,
        parts: &[ListedPart<'_>],
        [entry, query, head]: [usize; 3],
        scores: &mut [f32],
    ) -> usize {
        let mut seen = 0;
        for part in parts {
            let table = self.table(part, entry, head);
            let q = &part.q[self.at(entry, query, head)..][..self.width];
            part.rows.each(query, |run| {
                let scores = &mut scores[seen..seen + run.count];
                let (at, stride) = table.key.run(run);
                products(q, table.k, at, stride, self.scale, scores);
                seen += run.count;
            });
        }
        seen
    }

    /// Where a query begins.
    pub(super) fn at(&self, entry: usize, query: usize, head: usize) -> usize {
        ((entry * self.queries + query) * self.heads + head) * self.width
    }
}
