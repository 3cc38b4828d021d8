//! One tile of the output: [`ROWS`] rows times up to [`COLUMNS`] columns, in registers.

use super::pack::Line;
use crate::matmul::Output;
use std::arch::x86_64::*;
use std::mem::transmute;

/// Elements of a vector.
pub(super) const LANES: usize = 16;
/// Rows of a tile.
pub(super) const ROWS: usize = 8;
/// Columns of a tile: 24 sums, 3 vectors of B and a pair of A fill the 32 registers.
pub(super) const COLUMNS: usize = 3 * LANES;
/// Depth in whole lines; packed operands are padded with zeros to a multiple of it.
pub(super) const GROUP: usize = 2 * LANES;

/// How [`ROWS`] rows of A are packed: each group of [`GROUP`] elements takes [`ROWS`] lines.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// Row by row, a line each.
    Rows,
    /// Pair by pair, half a line each.
    Pairs,
}

/// The part of the output that a call computes.
pub(super) struct Tile {
    /// Rows that are there.
    pub(super) rows: usize,
    /// Columns that are there.
    pub(super) columns: usize,
    /// Depth that is there.
    pub(super) depth: usize,
    /// Distance between rows of the output.
    pub(super) stride: usize,
    /// What happens to its elements.
    pub(super) output: Output,
}

/// Multiplies packed rows of A by a packed panel of B.
///
/// # Safety
/// The processor has AVX512-BF16; `a` and `b` hold whole groups, and `out` is valid for the tile's rows and columns.
pub(super) unsafe fn multiply(tile: &Tile, order: Order, a: *const Line, b: *const Line, out: *mut f32) {
    // SAFETY: forwarded to the caller. A pair of A is at `row * .0 + pair * .1` of its group.
    unsafe {
        match (order, tile.columns.div_ceil(LANES)) {
            (Order::Rows, 3) => run::<3, LANES, 1>(tile, a, b, out),
            (Order::Rows, 2) => run::<2, LANES, 1>(tile, a, b, out),
            (Order::Rows, _) => run::<1, LANES, 1>(tile, a, b, out),
            (Order::Pairs, 3) => run::<3, 1, ROWS>(tile, a, b, out),
            (Order::Pairs, 2) => run::<2, 1, ROWS>(tile, a, b, out),
            (Order::Pairs, _) => run::<1, 1, ROWS>(tile, a, b, out),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn run<const VECTORS: usize, const ROW: usize, const PAIR: usize>(
    tile: &Tile,
    a: *const Line,
    b: *const Line,
    out: *mut f32,
) {
    let (mut a, mut b) = (a.cast::<i32>(), b);
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    // SAFETY: the caller has packed whole groups; a prefetch may go anywhere.
    unsafe {
        if tile.output == Output::Accumulate {
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    _mm_prefetch::<_MM_HINT_T0>(out.wrapping_add(row * tile.stride + vector * LANES).cast());
                }
            }
        }
        for _ in 0..tile.depth.div_ceil(GROUP) {
            for pair in 0..GROUP / 2 {
                let mut columns = [transmute::<__m512i, __m512bh>(_mm512_setzero_si512()); VECTORS];
                for (vector, columns) in columns.iter_mut().enumerate() {
                    *columns = transmute::<__m512i, __m512bh>(_mm512_load_si512(b.add(vector).cast()));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = transmute::<__m512i, __m512bh>(_mm512_set1_epi32(*a.add(row * ROW + pair * PAIR)));
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_dpbf16_ps(*sum, x, column);
                    }
                }
                b = b.add(VECTORS);
            }
            a = a.add(ROWS * GROUP / 2);
        }
    }
    let all = tile.rows == ROWS && tile.columns == VECTORS * LANES;
    for (row, sums) in sums.into_iter().enumerate() {
        if row >= tile.rows {
            break;
        }
        for (vector, sum) in sums.into_iter().enumerate() {
            // SAFETY: inside the tile, by its sizes or by the mask.
            unsafe {
                let out = out.add(row * tile.stride + vector * LANES);
                if all {
                    _mm512_storeu_ps(
                        out,
                        match tile.output {
                            Output::Overwrite => sum,
                            Output::Accumulate => _mm512_add_ps(_mm512_loadu_ps(out), sum),
                        },
                    );
                } else {
                    let mask = super::pack::mask(tile.columns - vector * LANES);
                    _mm512_mask_storeu_ps(
                        out,
                        mask,
                        match tile.output {
                            Output::Overwrite => sum,
                            Output::Accumulate => _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sum),
                        },
                    );
                }
            }
        }
    }
}
