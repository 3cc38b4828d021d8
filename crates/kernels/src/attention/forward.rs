//! The forward pass.

use super::rows::{Running, drop, softmax_tile};
use super::{Attention, ROWS, TILE, pieces};
use crate::matmul::{Operand, Output, Shared, View};
use crate::{Precision, Product, scratch, simd};
use rayon::prelude::*;
use std::ops::Range;

/// One block of query rows of one head.
struct Block {
    entry: usize,
    head: usize,
    rows: Range<usize>,
}

/// The keys and values of several blocks.
struct Keys<'a> {
    /// The first one's row.
    start: usize,
    /// `[width, keys]`.
    keys: Operand<'a>,
    /// `[keys, width]`.
    values: Operand<'a>,
}

impl Attention {
    /// Writes the output `[batch, queries, heads, width]` and the log-sum-exp `[batch, heads, queries]` of the scaled scores.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the processor does not multiply in the format.
    pub fn forward(&self, q: &[f32], k: &[f32], v: &[f32], output: &mut [f32], lse: &mut [f32]) {
        let shape = &self.shape;
        self.check(q.len(), k.len(), v.len());
        assert_eq!((output.len(), lse.len()), (shape.query_len(), shape.lse_len()), "sizes of the outputs");
        let product = Product::of(self.precision);
        let heads = shape.batch * shape.heads;
        let length = self.task_rows(heads);
        let parts = shape.queries.div_ceil(length);
        let (output, lse) = (Shared::new(output), Shared::new(lse));
        (0..heads * parts).into_par_iter().for_each(|task| {
            let (pair, part) = (task / parts, task % parts);
            let (entry, head) = (pair / shape.heads, pair % shape.heads);
            let rows = part * length..((part + 1) * length).min(shape.queries);
            let (span, own) = (self.span(&rows), (entry, head / (shape.heads / shape.groups)));
            let keys = Keys {
                start: span.start,
                keys: self.along(product, self.key_rows(k, own, &span), span.len()),
                values: self.across(product, self.key_rows(v, own, &span), span.len()),
            };
            scratch::with(ROWS * TILE, |scores| {
                for rows in pieces(rows, ROWS) {
                    let block = Block { entry, head, rows };
                    // SAFETY: the tasks are distinct (entry, head, rows), so their output and lse elements are disjoint,
                    // and all lie inside slices of the lengths checked above.
                    unsafe { self.block(&block, q, &keys, scores, (output, lse)) }
                }
            });
        });
    }

    /// Query rows of a task, whole blocks. In f32 each block takes the keys as they lie. What is packed serves as many
    /// blocks as leave every thread some tasks; the results do not depend on it.
    fn task_rows(&self, heads: usize) -> usize {
        let blocks = self.shape.queries.div_ceil(ROWS);
        let tasks = match self.precision {
            Precision::F32 => blocks,
            Precision::Bf16 => (4 * rayon::current_num_threads()).div_ceil(heads.max(1)),
        };
        blocks.div_ceil(tasks.max(1)).max(1) * ROWS
    }

    /// # Safety
    /// Nobody else may access the rows of this block in `output` and `lse`.
    unsafe fn block(
        &self,
        block: &Block,
        q: &[f32],
        keys: &Keys<'_>,
        scores: &mut [f32],
        (output, lse): (Shared, Shared),
    ) {
        let shape = &self.shape;
        let (count, width) = (block.rows.len(), shape.width);
        let queries = View::rows(&q[shape.query_at(block.entry, block.rows.start, block.head)..], shape.query_stride());
        let mut state = [Running::START; ROWS];
        // SAFETY: rows of this block, see above.
        let row = |i: usize| unsafe {
            let at = shape.query_at(block.entry, block.rows.start + i, block.head);
            std::slice::from_raw_parts_mut(output.at(at), width)
        };
        let mut written = Output::Overwrite;
        for tile in pieces(self.span(&block.rows), TILE) {
            let length = tile.len();
            let part = tile.start - keys.start..tile.end - keys.start;
            // SAFETY: a block of scores is in the scratch memory.
            unsafe {
                let product = (scores.as_mut_ptr(), length, Output::Overwrite);
                keys.keys.multiply((0..width, part.clone()), count, product, queries);
            }
            for i in 0..count {
                let scores = &mut scores[i * length..][..length];
                let seen = self.visible(block.rows.start + i, &tile);
                let (next, factor) = softmax_tile(scores, seen.start, seen.end, self.scale, state[i]);
                state[i] = next;
                if factor != 1.0 && written == Output::Accumulate {
                    simd::scale(row(i), factor);
                }
                if let Some(dropout) = &self.dropout {
                    let first = self.flat(block.entry, block.head, block.rows.start + i) + tile.start as u64;
                    drop(scores, first, dropout);
                }
            }
            let out = shape.query_at(block.entry, block.rows.start, block.head);
            // SAFETY: rows of this block.
            unsafe {
                let product = (output.at(out), shape.query_stride(), written);
                keys.values.multiply((part, 0..width), count, product, View::rows(scores, length));
            }
            written = Output::Accumulate;
        }
        for (i, state) in state[..count].iter().enumerate() {
            match state.sum == 0.0 || written == Output::Overwrite {
                true => row(i).fill(0.0),
                false => simd::scale(row(i), 1.0 / state.sum),
            }
            let at = (block.entry * shape.heads + block.head) * shape.queries + block.rows.start + i;
            // SAFETY: an element of this block.
            unsafe { *lse.at(at) = if state.sum == 0.0 { 0.0 } else { state.max + state.sum.ln() } };
        }
    }
}
