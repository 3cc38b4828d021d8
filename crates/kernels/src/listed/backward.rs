//! The backward pass. With the log-sum-exp of all parts, each part's gradients are those of attention by itself.

use super::row::{add_weighted, products, score_gradients, spread};
use super::{Listed, ListedPart, Listing};
use crate::columns::columns;
use crate::cost::count_cost;
use crate::simd::dot;
use rayon::prelude::*;

/// Where the gradients of a part go.
#[derive(Debug)]
pub struct ListedGradients<'a> {
    /// Of its queries.
    pub q: &'a mut [f32],
    /// Of its keys.
    pub k: &'a mut [f32],
    /// Of its values.
    pub v: &'a mut [f32],
}

/// The gradients of one part that belong to one sequence and key head, row by row.
struct Columns<'a> {
    q: Vec<&'a mut [f32]>,
    k: Vec<&'a mut [f32]>,
    v: Vec<&'a mut [f32]>,
}

/// What comes from the forward pass, and the gradient of its output.
struct Known<'a> {
    output: &'a [f32],
    lse: &'a [f32],
    grad: &'a [f32],
}

impl Listed {
    /// Writes the gradients of every part's queries, keys and values, given `grad`, that of the output; `output` and `lse` come from the
    /// forward pass.
    ///
    /// # Panics
    /// As [`Listed::forward`].
    pub fn backward(
        &self,
        parts: &[ListedPart<'_>],
        (output, lse): (&[f32], &[f32]),
        grad: &[f32],
        gradients: &mut [ListedGradients<'_>],
    ) {
        self.check(parts);
        let (queries, lengths) = (self.query_len(), (output.len(), lse.len(), grad.len(), gradients.len()));
        assert_eq!(lengths, (queries, self.lse_len(), queries, parts.len()), "sizes of the gradients");
        let mut tasks: Vec<Vec<Columns<'_>>> = (0..self.batch * self.groups).map(|_| Vec::new()).collect();
        for (part, gradients) in parts.iter().zip(gradients) {
            let lengths = (gradients.q.len(), gradients.k.len(), gradients.v.len());
            assert_eq!(lengths, (part.q.len(), part.k.len(), part.v.len()), "sizes of a part's gradients");
            for (task, columns) in tasks.iter_mut().zip(self.columns(part, gradients)) {
                task.push(columns);
            }
        }
        let known = Known { output, lse, grad };
        tasks.into_par_iter().enumerate().for_each(|(task, mut columns)| {
            let (entry, group) = (task / self.groups, task % self.groups);
            let (mut p, mut dp) = (Vec::new(), Vec::new());
            for query in 0..self.queries {
                let count: usize = parts.iter().map(|part| part.rows.count(query)).sum();
                [&mut p, &mut dp].into_iter().for_each(|scores| scores.resize(count, 0.0));
                for shared in 0..self.share() {
                    let place = [entry, query, group * self.share() + shared];
                    self.query_backward(parts, place, &known, (&mut p, &mut dp), &mut columns);
                }
            }
        });
        let lists: Vec<Listing> = parts.iter().map(|part| part.rows).collect();
        count_cost(self.backward_cost(&lists));
    }

    /// The gradients of a part by sequences and key heads, set to zero.
    fn columns<'a>(&self, part: &ListedPart<'_>, gradients: &'a mut ListedGradients<'_>) -> Vec<Columns<'a>> {
        let keys = part.k.len() / (self.batch * self.groups * self.width);
        let cut = |data: &'a mut [f32], rows: usize| {
            data.fill(0.0);
            let channels = data.len() / (self.batch * rows).max(1);
            columns(data, (rows, channels), channels / self.groups)
        };
        let (q, k, v) = (cut(gradients.q, self.queries), cut(gradients.k, keys), cut(gradients.v, keys));
        q.into_iter().zip(k).zip(v).map(|((q, k), v)| Columns { q, k, v }).collect()
    }

    fn query_backward(
        &self,
        parts: &[ListedPart<'_>],
        [entry, query, head]: [usize; 3],
        known: &Known<'_>,
        (p, dp): (&mut [f32], &mut [f32]),
        columns: &mut [Columns<'_>],
    ) {
        let at = self.at(entry, query, head);
        let grad = &known.grad[at..][..self.width];
        self.scores(parts, [entry, query, head], p);
        let mut seen = 0;
        for part in parts {
            let table = self.table(part, entry, head);
            part.rows.each(query, |run| {
                let dp = &mut dp[seen..seen + run.count];
                let (at, stride) = table.value.run(run);
                products(grad, table.v, at, stride, 1.0, dp);
                seen += run.count;
            });
        }
        let delta = dot(grad, &known.output[at..][..self.width]);
        score_gradients(p, dp, known.lse[at / self.width], delta, self.scale);
        // Within the columns of its key head.
        let own = head % self.share() * self.width;
        let mut seen = 0;
        for (part, columns) in parts.iter().zip(columns) {
            let table = self.table(part, entry, head);
            let q = &part.q[at..][..self.width];
            let of_value = if part.v.len() == part.k.len() { 0 } else { own };
            part.rows.each(query, |run| {
                let (p, ds) = (&p[seen..seen + run.count], &dp[seen..seen + run.count]);
                let ((at, stride), dq_at) = (table.key.run(run), own..own + self.width);
                let dq = &mut columns.q[query][dq_at];
                add_weighted(ds, table.k, at, stride, dq);
                spread(ds, q, &mut columns.k, run, 0);
                spread(p, grad, &mut columns.v, run, of_value);
                seen += run.count;
            });
        }
    }
}
