//! AVX512-BF16: tiles of [`ROWS`] rows times up to [`COLUMNS`] columns, in registers.

use super::kernel::{GROUP, Kernel, LANES, Tile};
use super::pack::{self, Block, Line};
use crate::matmul::{Output, Threads};
use std::arch::x86_64::*;
use std::mem::transmute;

/// Rows of a tile.
const ROWS: usize = 8;
/// Columns of a tile: 24 sums, 3 vectors of B and a pair of A fill the 32 registers.
const COLUMNS: usize = 3 * LANES;
/// Rows of a task.
const HEIGHT: usize = 64;

/// The kernel of processors with AVX512-BF16.
pub(crate) struct Avx512;

/// How [`ROWS`] rows of A are packed: each group of [`GROUP`] elements takes [`ROWS`] lines.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// Row by row, a line each.
    Rows,
    /// Pair by pair, half a line each.
    Pairs,
}

impl Kernel for Avx512 {
    const ROWS: usize = ROWS;
    const COLUMNS: usize = COLUMNS;
    const DEPTH: usize = 512;
    type Order = Order;

    fn height(_: usize, _: usize, _: Threads) -> usize {
        HEIGHT
    }

    unsafe fn start() -> Self {
        Self
    }

    unsafe fn pack(a: &Block<'_>, lines: &mut [Line]) -> Order {
        // SAFETY: forwarded to the caller.
        unsafe {
            if a.view.column == 1 {
                pack::rows::<Self>(a, lines);
                return Order::Rows;
            }
            pack_pairs(a, lines);
        }
        Order::Pairs
    }

    unsafe fn multiply(&self, tile: &Tile, order: Order, a: *const Line, b: *const Line, out: *mut f32) {
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
}

/// Packs rows of A whose columns lie next to each other, in the order that needs no transposition.
///
/// # Safety
/// As [`Kernel::pack`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_pairs(a: &Block<'_>, lines: &mut [Line]) {
    let (groups, panels) = (a.columns.div_ceil(GROUP), a.rows.div_ceil(ROWS));
    assert!(lines.len() >= panels * groups * ROWS, "room for the rows");
    let lines = lines.as_mut_ptr();
    let turned = a.transposed();
    for index in 0..groups * ROWS {
        for panel in (0..panels).step_by(2) {
            // SAFETY: the assertion; the rest is the caller's.
            unsafe {
                let (even, odd) = (
                    pack::across(&turned, 4 * index, panel * ROWS),
                    pack::across(&turned, 4 * index + 2, panel * ROWS),
                );
                let line = lines.add(panel * groups * ROWS + index);
                _mm512_store_si512(line.cast(), _mm512_shuffle_i64x2::<0b01_00_01_00>(even, odd));
                if panel + 1 < panels {
                    let line = line.add(groups * ROWS);
                    _mm512_store_si512(line.cast(), _mm512_shuffle_i64x2::<0b11_10_11_10>(even, odd));
                }
            }
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
                    let mask = pack::mask(tile.columns - vector * LANES);
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
