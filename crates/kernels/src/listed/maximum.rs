//! Elementwise maxima over listed rows.

use super::{Listing, Run};
use crate::columns::columns;
use crate::simd::simd;
use rayon::prelude::*;

/// Channels whose gradients one task adds up.
const PART: usize = 64;

/// The elementwise maximum over the rows that each of `sets` sets lists, of `[batch, rows, channels]`: `[batch, sets, channels]`.
///
/// ```
/// use percept_kernels::{ListedMaximum, Listing};
/// let maximum = ListedMaximum { batch: 1, sets: 2, channels: 1, members: Listing::SpanMembers { length: 2 } };
/// let mut largest = [0.0; 2];
/// maximum.forward(&[1.0, 4.0, 3.0, 2.0, 9.0], &mut largest);
/// assert_eq!(largest, [4.0, 3.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedMaximum {
    /// Sequences.
    pub batch: usize,
    /// Sets per sequence.
    pub sets: usize,
    /// Channels of a row.
    pub channels: usize,
    /// The rows of each set. The maximum over nothing is 0.
    pub members: Listing,
}

impl ListedMaximum {
    fn check(&self, x: usize, largest: usize) -> usize {
        let rows = x / (self.batch * self.channels).max(1);
        assert_eq!((x, largest), (self.batch * rows * self.channels, self.batch * self.sets * self.channels), "sizes");
        assert!(rows >= self.members.table_rows(self.sets), "rows of the sets");
        rows
    }

    /// Writes the maxima.
    ///
    /// # Panics
    /// If the sizes do not fit, or a set names a row that is not there.
    pub fn forward(&self, x: &[f32], largest: &mut [f32]) {
        let rows = self.check(x.len(), largest.len());
        let width = self.channels;
        largest.par_chunks_mut(width).with_min_len(8).enumerate().for_each(|(row, largest)| {
            let (entry, set) = (row / self.sets, row % self.sets);
            self.set(&x[entry * rows * width..][..rows * width], set, largest);
        });
    }

    /// Writes the maximum of one set, `[channels]`, of `x [rows, channels]`, on the calling thread.
    ///
    /// # Panics
    /// If the set names a row that is not there.
    pub fn set(&self, x: &[f32], set: usize, largest: &mut [f32]) {
        largest.fill(if self.members.count(set) > 0 { f32::NEG_INFINITY } else { 0.0 });
        self.members.each(set, |run| raise(largest, x, run));
    }

    /// Writes the gradient of x from `grad`, that of the maxima: the first row that reaches a maximum gets it.
    ///
    /// # Panics
    /// As [`ListedMaximum::forward`].
    pub fn backward(&self, x: &[f32], largest: &[f32], grad: &[f32], dx: &mut [f32]) {
        let rows = self.check(x.len(), largest.len());
        assert_eq!((grad.len(), dx.len()), (largest.len(), x.len()), "sizes of the gradients");
        dx.fill(0.0);
        let parts = self.channels.div_ceil(PART);
        columns(dx, (rows, self.channels), PART).into_par_iter().enumerate().for_each(|(task, mut dx)| {
            let (entry, part) = (task / parts, task % parts);
            let mut left = [0.0; PART];
            for set in 0..self.sets {
                let at = (entry * self.sets + set) * self.channels + part * PART;
                let width = PART.min(self.channels - part * PART);
                let (largest, left) = (&largest[at..at + width], &mut left[..width]);
                left.copy_from_slice(&grad[at..at + width]);
                self.members.each(set, |run| {
                    let of_rows = dx.iter_mut().skip(run.first).step_by(run.stride);
                    for (row, dx) in run.rows().zip(of_rows) {
                        let at = (entry * rows + row) * self.channels + part * PART;
                        give(&x[at..at + width], largest, left, dx);
                    }
                });
            }
        });
    }
}

simd! {
    /// `largest = max(largest, row)` for each row of a run.
    fn raise(largest: &mut [f32], x: &[f32], run: Run) {
        for row in run.rows() {
            let row = &x[row * largest.len()..][..largest.len()];
            for (largest, x) in largest.iter_mut().zip(row) {
                *largest = if *x > *largest { *x } else { *largest };
            }
        }
    }

    /// Where x is the largest, it gets what is left of the gradient.
    fn give(x: &[f32], largest: &[f32], left: &mut [f32], dx: &mut [f32]) {
        for ((x, largest), (left, dx)) in x.iter().zip(largest).zip(left.iter_mut().zip(dx)) {
            let given = if x == largest { *left } else { 0.0 };
            *dx += given;
            *left -= given;
        }
    }
}
