//! The forward pass.

use super::rows::{Running, drop, softmax_tile};
use super::{Attention, ROWS, TILE, pieces};
use crate::matmul::{Output, Shared, Threads, View, multiply, multiply_raw};
use crate::{scratch, simd};
use rayon::prelude::*;
use std::ops::Range;

/// One block of query rows of one head.
struct Block {
    entry: usize,
    head: usize,
    rows: Range<usize>,
}

impl Attention {
    /// Writes the output `[batch, queries, heads, width]` and the log-sum-exp `[batch, heads, queries]` of the scaled scores.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn forward(&self, q: &[f32], k: &[f32], v: &[f32], output: &mut [f32], lse: &mut [f32]) {
        let shape = &self.shape;
        self.check(q.len(), k.len(), v.len());
        assert_eq!((output.len(), lse.len()), (shape.query_len(), shape.lse_len()), "sizes of the outputs");
        let blocks = shape.queries.div_ceil(ROWS);
        let (output, lse) = (Shared::new(output), Shared::new(lse));
        (0..shape.batch * shape.heads * blocks).into_par_iter().for_each(|task| {
            let (pair, block) = (task / blocks, task % blocks);
            let rows = block * ROWS..((block + 1) * ROWS).min(shape.queries);
            let block = Block { entry: pair / shape.heads, head: pair % shape.heads, rows };
            scratch::with(ROWS * TILE, |scores| {
                // SAFETY: the tasks are distinct (entry, head, rows), so their output and lse elements are disjoint,
                // and all lie inside slices of the lengths checked above.
                unsafe { self.block(&block, q, k, v, scores, (output, lse)) }
            });
        });
    }

    /// # Safety
    /// Nobody else may access the rows of this block in `output` and `lse`.
    unsafe fn block(
        &self,
        block: &Block,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        scores: &mut [f32],
        (output, lse): (Shared, Shared),
    ) {
        let shape = &self.shape;
        let (count, width) = (block.rows.len(), shape.width);
        let group = block.head / (shape.heads / shape.groups);
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
            let at = shape.key_at(block.entry, tile.start, group);
            let keys = View::rows(&k[at..], shape.key_stride());
            let product = (&mut *scores, length, Output::Overwrite);
            multiply((count, length, width), product, queries, keys.transposed(), Threads::One);
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
            let values = View::rows(&v[at..], shape.key_stride());
            let out = shape.query_at(block.entry, block.rows.start, block.head);
            // SAFETY: rows of this block; the views contain their shapes, as the first product has checked for keys.
            unsafe {
                let product = (output.at(out), shape.query_stride(), written);
                multiply_raw((count, width, length), product, View::rows(scores, length), values, Threads::One);
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
