//! Blocks of rows, which are worked on at the same time, and the sums that go from one to the next.

use super::Tssa;
use rayon::prelude::*;

/// Rows of a block.
pub(super) const ROWS: usize = 64;

/// Rows of one sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// The first one, counted over all sequences.
    pub(super) row: usize,
    /// The first one, counted within its sequence.
    pub(super) first: usize,
    /// How many.
    pub(super) len: usize,
}

/// In which order blocks hand on their sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Forward,
    Backward,
}

impl Tssa {
    /// Blocks per sequence.
    pub(super) fn blocks(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    pub(super) fn block(&self, index: usize) -> Block {
        let (sequence, block) = (index / self.blocks(), index % self.blocks());
        let first = block * ROWS;
        Block { row: sequence * self.rows + first, first, len: ROWS.min(self.rows - first) }
    }

    /// `x [batch, rows, width]` by blocks.
    pub(super) fn by_blocks<'a>(&self, x: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        x.chunks_mut((self.rows * width).max(1)).flat_map(|x| x.chunks_mut(ROWS * width)).collect()
    }

    /// Elements for a sum of `width` elements per block.
    pub(super) fn sums(&self, width: usize) -> Vec<f32> {
        vec![0.0; self.batch * self.blocks() * width]
    }

    /// Powers of the decay, by exponent.
    pub(super) fn powers(&self) -> [f32; ROWS + 1] {
        std::array::from_fn(|exponent| self.decay.powi(exponent as i32) as f32)
    }

    /// `sums`: what each block adds by itself, `[batch, blocks, width]`; replaced by what is carried into it. `carried [batch,
    /// width]` goes into the first block and becomes what leaves the last one.
    pub(super) fn carry(&self, sums: &mut [f32], carried: &mut [f64], width: usize, order: Order) {
        let blocks = self.blocks();
        sums.par_chunks_mut((blocks * width).max(1)).zip(carried.par_chunks_mut(width)).for_each(|(sums, carried)| {
            for step in 0..blocks {
                let block = if order == Order::Forward { step } else { blocks - 1 - step };
                let factor = self.decay.powi(self.block(block).len as i32);
                for (sum, carried) in sums[block * width..][..width].iter_mut().zip(carried.iter_mut()) {
                    let own = std::mem::replace(sum, *carried as f32);
                    *carried = factor * *carried + f64::from(own);
                }
            }
        });
    }
}
