//! The backward pass.

use super::rows::{drop_gradient, probabilities, score_gradient};
use super::{Attention, AttentionSaved, ROWS, TILE, pieces};
use crate::matmul::{Operand, Output, Shared, View};
use crate::{Product, scratch, simd};
use rayon::prelude::*;
use std::ops::Range;

/// Where the gradients go. Tasks write disjoint (entry, group) columns.
#[derive(Clone, Copy)]
struct Gradients {
    q: Shared,
    k: Shared,
    v: Shared,
}

/// The keys and values of one group.
struct Keys<'a> {
    /// The first one's row.
    start: usize,
    /// By which they are multiplied.
    product: Product,
    /// Keys `[width, keys]`.
    keys: Operand<'a>,
    /// Values `[width, keys]`.
    values: Operand<'a>,
    /// Keys `[keys, width]`.
    rows: Operand<'a>,
}

/// One block of query rows of one head.
struct Block {
    entry: usize,
    head: usize,
    group: usize,
    rows: Range<usize>,
}

impl Attention {
    /// Writes the gradients of queries, keys and values, given `grad`, that of the output. Where keys and values are one
    /// tensor, `dv` is `None` and `dk` receives the sum of both.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the processor does not multiply in the format.
    pub fn backward(
        &self,
        saved: &AttentionSaved<'_>,
        grad: &[f32],
        dq: &mut [f32],
        dk: &mut [f32],
        mut dv: Option<&mut [f32]>,
    ) {
        let shape = &self.shape;
        self.check(saved.q.len(), saved.k.len(), saved.v.len());
        let lengths = (saved.output.len(), saved.lse.len(), grad.len(), dq.len(), dk.len());
        let queries = shape.query_len();
        assert_eq!(lengths, (queries, shape.lse_len(), queries, queries, shape.key_len()), "sizes of the gradients");
        assert!(dv.as_ref().is_none_or(|dv| dv.len() == shape.key_len()), "size of dv");
        dk.fill(0.0);
        let k = Shared::new(dk);
        let v = dv.as_mut().map_or(k, |dv| {
            dv.fill(0.0);
            Shared::new(dv)
        });
        let gradients = Gradients { q: Shared::new(dq), k, v };
        let product = Product::of(self.precision);
        (0..shape.batch * shape.groups).into_par_iter().for_each(|task| {
            let (entry, group) = (task / shape.groups, task % shape.groups);
            let share = shape.heads / shape.groups;
            let span = self.span(&(0..shape.queries));
            let [k, v] = [saved.k, saved.v].map(|data| self.key_rows(data, (entry, group), &span));
            let keys = Keys {
                start: span.start,
                product,
                keys: self.along(product, k, span.len()),
                values: self.along(product, v, span.len()),
                rows: self.across(product, k, span.len()),
            };
            scratch::with(2 * ROWS * TILE, |scratch| {
                for head in group * share..(group + 1) * share {
                    for rows in pieces(0..shape.queries, ROWS) {
                        let block = Block { entry, head, group, rows };
                        // SAFETY: a task alone owns the columns of its (entry, group) in dk and dv and those of its
                        // heads in dq; all lie inside slices of the lengths checked above.
                        unsafe { self.block_backward(&block, (saved, &keys), grad, scratch, gradients) }
                    }
                }
            });
        });
    }

    /// # Safety
    /// Nobody else may access the gradients of this block's entry, group and head.
    unsafe fn block_backward(
        &self,
        block: &Block,
        (saved, keys): (&AttentionSaved<'_>, &Keys<'_>),
        grad: &[f32],
        scratch: &mut [f32],
        gradients: Gradients,
    ) {
        let shape = &self.shape;
        let (count, width) = (block.rows.len(), shape.width);
        let (query_stride, key_stride) = (shape.query_stride(), shape.key_stride());
        let at = shape.query_at(block.entry, block.rows.start, block.head);
        let (queries, grads) = (View::rows(&saved.q[at..], query_stride), View::rows(&grad[at..], query_stride));
        let [query_rows, grad_rows] = [queries, grads].map(|rows| self.across(keys.product, rows, count));
        let (p, dp) = scratch.split_at_mut(ROWS * TILE);
        let mut deltas = [0.0; ROWS];
        for (i, delta) in deltas[..count].iter_mut().enumerate() {
            let at = shape.query_at(block.entry, block.rows.start + i, block.head);
            *delta = simd::dot(&saved.output[at..][..width], &grad[at..][..width]);
        }
        let mut written = Output::Overwrite;
        for tile in pieces(self.span(&block.rows), TILE) {
            let length = tile.len();
            let part = tile.start - keys.start..tile.end - keys.start;
            // SAFETY: a block of scores is in either half of the scratch memory.
            unsafe {
                let product = |out: &mut [f32]| (out.as_mut_ptr(), length, Output::Overwrite);
                keys.keys.multiply((0..width, part.clone()), count, product(p), queries);
                keys.values.multiply((0..width, part.clone()), count, product(dp), grads);
            }
            for i in 0..count {
                let (p, dp) = (&mut p[i * length..][..length], &mut dp[i * length..][..length]);
                self.row_backward(block, block.rows.start + i, &tile, (saved, deltas[i]), (p, dp));
            }
            let (p, dp) = (View::rows(p, length), View::rows(dp, length));
            let key_at = shape.key_at(block.entry, tile.start, block.group);
            // SAFETY: columns of this task.
            unsafe {
                keys.rows.multiply((part, 0..width), count, (gradients.q.at(at), query_stride, written), dp);
                let product = (gradients.k.at(key_at), key_stride, Output::Accumulate);
                query_rows.multiply((0..count, 0..width), length, product, dp.transposed());
                let product = (gradients.v.at(key_at), key_stride, Output::Accumulate);
                grad_rows.multiply((0..count, 0..width), length, product, p.transposed());
            }
            written = Output::Accumulate;
        }
        if written == Output::Overwrite {
            for row in block.rows.clone() {
                // SAFETY: a row of this task.
                let row = unsafe { gradients.q.at(shape.query_at(block.entry, row, block.head)) };
                // SAFETY: as above.
                unsafe { std::slice::from_raw_parts_mut(row, width) }.fill(0.0);
            }
        }
    }

    /// Scores and gradients of probabilities become (dropped) probabilities and gradients of scores.
    fn row_backward(
        &self,
        block: &Block,
        row: usize,
        tile: &Range<usize>,
        (saved, delta): (&AttentionSaved<'_>, f32),
        (p, dp): (&mut [f32], &mut [f32]),
    ) {
        let shape = &self.shape;
        let lse = saved.lse[(block.entry * shape.heads + block.head) * shape.queries + row];
        let seen = self.visible(row, tile);
        probabilities(p, seen.start, seen.end, self.scale, lse);
        match &self.dropout {
            None => score_gradient(p, dp, delta, self.scale),
            Some(dropout) => {
                let first = self.flat(block.entry, block.head, row) + tile.start as u64;
                drop_gradient(p, dp, delta, self.scale, (first, dropout));
            }
        }
    }
}
