//! The backward pass.

use super::rows::{drop_gradient, probabilities, score_gradient};
use super::{Attention, AttentionSaved, ROWS, TILE, pieces};
use crate::matmul::{Output, Shared, Threads, View, multiply, multiply_raw};
use crate::{scratch, simd};
use rayon::prelude::*;
use std::ops::Range;

/// Where the gradients go. Tasks write disjoint (entry, group) columns.
#[derive(Clone, Copy)]
struct Gradients {
    q: Shared,
    k: Shared,
    v: Shared,
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
    /// If a slice does not have the length of its shape.
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
        (0..shape.batch * shape.groups).into_par_iter().for_each(|task| {
            let (entry, group) = (task / shape.groups, task % shape.groups);
            let share = shape.heads / shape.groups;
            scratch::with(2 * ROWS * TILE, |scratch| {
                for head in group * share..(group + 1) * share {
                    for rows in pieces(0..shape.queries, ROWS) {
                        let block = Block { entry, head, group, rows };
                        // SAFETY: a task alone owns the columns of its (entry, group) in dk and dv and those of its
                        // heads in dq; all lie inside slices of the lengths checked above.
                        unsafe { self.block_backward(&block, saved, grad, scratch, gradients) }
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
        saved: &AttentionSaved<'_>,
        grad: &[f32],
        scratch: &mut [f32],
        gradients: Gradients,
    ) {
        let shape = &self.shape;
        let (count, width) = (block.rows.len(), shape.width);
        let (query_stride, key_stride) = (shape.query_stride(), shape.key_stride());
        let at = shape.query_at(block.entry, block.rows.start, block.head);
        let (queries, grads) = (View::rows(&saved.q[at..], query_stride), View::rows(&grad[at..], query_stride));
        let (p, dp) = scratch.split_at_mut(ROWS * TILE);
        let mut written = Output::Overwrite;
        for tile in pieces(self.span(&block.rows), TILE) {
            let length = tile.len();
            let key_at = shape.key_at(block.entry, tile.start, block.group);
            let keys = View::rows(&saved.k[key_at..], key_stride);
            let values = View::rows(&saved.v[key_at..], key_stride);
            let sizes = (count, length, width);
            multiply(sizes, (&mut *p, length, Output::Overwrite), queries, keys.transposed(), Threads::One);
            multiply(sizes, (&mut *dp, length, Output::Overwrite), grads, values.transposed(), Threads::One);
            for i in 0..count {
                let (p, dp) = (&mut p[i * length..][..length], &mut dp[i * length..][..length]);
                self.row_backward(block, block.rows.start + i, &tile, saved, grad, (p, dp));
            }
            let (p, dp) = (View::rows(p, length), View::rows(dp, length));
            // SAFETY: columns of this task; the views contain their shapes, as the products above have checked.
            unsafe {
                let product = (gradients.q.at(at), query_stride, written);
                multiply_raw((count, width, length), product, dp, keys, Threads::One);
                let product = (gradients.k.at(key_at), key_stride, Output::Accumulate);
                multiply_raw((length, width, count), product, dp.transposed(), queries, Threads::One);
                let product = (gradients.v.at(key_at), key_stride, Output::Accumulate);
                multiply_raw((length, width, count), product, p.transposed(), grads, Threads::One);
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
        saved: &AttentionSaved<'_>,
        grad: &[f32],
        (p, dp): (&mut [f32], &mut [f32]),
    ) {
        let shape = &self.shape;
        let at = shape.query_at(block.entry, row, block.head);
        let delta = simd::dot(&saved.output[at..][..shape.width], &grad[at..][..shape.width]);
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
