//! Products in f32 with AVX-512, blocked for the caches (Goto and van de Geijn, ACM TOMS 34(3), 2008).
//!
//! A block of `b` is packed into panels of [`COLUMNS`] columns, once and by all threads; it stays in the second-level cache
//! while tiles of [`ROWS`] rows of `a`, copied into the first-level cache, pass over it. What is copied of `a` is small, so
//! both `a` and its transpose are taken as they lie. Each output element is summed by one thread in one order.

use crate::matmul::{Output, Shared, Threads, View};
use std::arch::x86_64::*;
use std::cell::Cell;
use std::mem::MaybeUninit;

/// Rows of a tile; with [`COLUMNS`] it fills 24 of the 32 registers with sums.
const ROWS: usize = 12;
/// Columns of a panel, two registers.
const COLUMNS: usize = 32;
/// Most steps of the inner dimension at a time.
const DEPTH: usize = 256;
/// Steps of contiguous rows that a task packs.
const SLAB: usize = 16;
/// Panels that stay in the second-level cache.
const GROUP: usize = 24;
/// Elements of `b` packed at a time.
const PACKED: usize = 1 << 20;
/// Distance of the rows of a copied tile: no multiple of a page, so that they lie in different sets of the cache.
const STEP: usize = DEPTH + 16;
/// Elements of a copied tile, either way round.
const TILE: usize = DEPTH * 16;
/// Multiplications below which waking other threads costs more than it gains.
const ALONE: usize = 1 << 17;

thread_local! {
    /// Memory for packed panels.
    static PANELS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Whether this product is taken here: some rows, so that packing pays, and operands with a contiguous direction.
pub(crate) fn takes(rows: usize, a: View<'_>, b: View<'_>) -> bool {
    crate::simd::level() == crate::simd::Level::Avx512
        && rows >= 8
        && (a.column == 1 || a.row == 1)
        && (b.column == 1 || b.row == 1)
}

/// `out [m, n] (+)= a [m, k] * b [k, n]`.
///
/// # Safety
/// As `matmul::multiply_raw`; and [`takes`] has said yes.
pub(crate) unsafe fn multiply(
    (m, n, k): (usize, usize, usize),
    (out, stride, output): (Shared, usize, Output),
    a: View<'_>,
    b: View<'_>,
    threads: Threads,
) {
    let threads = if m * n * k < ALONE || rayon::current_num_threads() == 1 { Threads::One } else { threads };
    let depth = even(k, DEPTH, 16);
    let width = even(n, PACKED / depth.max(1), GROUP * COLUMNS);
    let mut panels = PANELS.take();
    panels.resize(panels.len().max(depth * width.min(n).next_multiple_of(COLUMNS)), 0.0);
    for column in (0..n).step_by(width.max(1)) {
        let mut output = output;
        for step in (0..k.max(1)).step_by(depth.max(1)) {
            let block = Block {
                column,
                columns: width.min(n - column),
                step,
                depth: depth.min(k - step),
                rows: m,
                out,
                stride,
                output,
                a,
                b,
            };
            let packed = Shared::new(&mut panels);
            // SAFETY: the block lies inside the operands; panels and then tiles are disjoint between the tasks.
            threads.each(block.parts(), |part| unsafe { block.pack(part, packed) });
            threads.each(block.tasks(), |task| unsafe { block.tile(task, packed) });
            output = Output::Accumulate;
        }
    }
    PANELS.set(panels);
}

/// The size of equal pieces, multiples of `unit`, of `whole`, at most `most` each.
fn even(whole: usize, most: usize, unit: usize) -> usize {
    let most = (most / unit * unit).max(unit);
    whole.div_ceil(whole.div_ceil(most).max(1)).next_multiple_of(unit)
}

/// Some columns of the output and some steps of the inner dimension.
struct Block<'a> {
    column: usize,
    columns: usize,
    step: usize,
    depth: usize,
    rows: usize,
    out: Shared,
    stride: usize,
    output: Output,
    a: View<'a>,
    b: View<'a>,
}

impl Block<'_> {
    /// A task is one tile of rows for one group of panels.
    fn tasks(&self) -> usize {
        self.rows.div_ceil(ROWS) * self.columns.div_ceil(GROUP * COLUMNS)
    }

    /// How many tasks pack the block.
    fn parts(&self) -> usize {
        if self.b.column == 1 { self.depth.div_ceil(SLAB) } else { self.columns.div_ceil(COLUMNS) }
    }

    /// Packs a part into panels `[depth, COLUMNS]`, missing columns as zeros: some steps of all panels where the rows of `b`
    /// are contiguous, all steps of one panel where its columns are.
    ///
    /// # Safety
    /// AVX-512 is there, the block lies inside `b`, and `packed` has room for the panels; nobody else accesses the part.
    #[target_feature(enable = "avx512f")]
    unsafe fn pack(&self, part: usize, packed: Shared) {
        let b = &self.b;
        // SAFETY: the block lies inside `b`.
        let from = unsafe { b.data.as_ptr().add(self.step * b.row + self.column * b.column) };
        if b.column == 1 {
            for step in part * SLAB..self.depth.min((part + 1) * SLAB) {
                for first in (0..self.columns).step_by(COLUMNS) {
                    let (low, high) = masks(COLUMNS.min(self.columns - first));
                    // SAFETY: masks keep the reads inside the row; the panel has room for `depth` steps.
                    unsafe {
                        let row = from.add(step * b.row + first);
                        let to = packed.at(first * self.depth + step * COLUMNS);
                        _mm512_storeu_ps(to, _mm512_maskz_loadu_ps(low, row));
                        _mm512_storeu_ps(to.add(16), _mm512_maskz_loadu_ps(high, row.wrapping_add(16)));
                    }
                }
            }
        } else {
            let first = part * COLUMNS;
            for half in [first, first + 16] {
                let columns = self.columns.saturating_sub(half).min(16);
                let from = from.wrapping_add(half * b.column);
                // SAFETY: these columns of the block; a panel's length is `depth * COLUMNS`.
                unsafe {
                    pack_turned(from, b.column, columns, self.depth, packed.at(first * self.depth + half - first))
                };
            }
        }
    }

    /// Copies a tile of `a` and multiplies it with the panels of a group.
    ///
    /// # Safety
    /// AVX-512 is there, the block lies inside `a` and the output, and nobody else accesses the tile of the output.
    #[target_feature(enable = "avx512f")]
    unsafe fn tile(&self, task: usize, packed: Shared) {
        let tiles = self.rows.div_ceil(ROWS);
        let (group, row) = (task / tiles, task % tiles * ROWS);
        let rows = ROWS.min(self.rows - row);
        let mut copy = MaybeUninit::<[f32; TILE]>::uninit();
        let copy = copy.as_mut_ptr().cast::<f32>();
        let along = self.a.column == 1;
        // SAFETY: by the contract.
        let from = unsafe { self.a.data.as_ptr().add(row * self.a.row + self.step * self.a.column) };
        match along {
            true => {
                for row in 0..rows {
                    // SAFETY: the row's `depth` elements lie in the block, and `STEP >= depth`.
                    unsafe { from.add(row * self.a.row).copy_to_nonoverlapping(copy.add(row * STEP), self.depth) };
                }
            }
            false => {
                let mask = masks(rows).0;
                for step in 0..self.depth {
                    // SAFETY: the mask keeps the read inside the block; the copy has 16 elements for each step.
                    unsafe {
                        let rows = _mm512_maskz_loadu_ps(mask, from.add(step * self.a.column));
                        _mm512_storeu_ps(copy.add(step * 16), rows);
                    }
                }
            }
        }
        let kernel = if along { ALONG[rows - 1] } else { ACROSS[rows - 1] };
        let first = group * GROUP * COLUMNS;
        for column in (first..self.columns.min(first + GROUP * COLUMNS)).step_by(COLUMNS) {
            self.fetch(row + ROWS, (column - first) / COLUMNS);
            // SAFETY: a panel that `pack` has written; the rows and columns of the tile.
            unsafe {
                let out = self.out.at(row * self.stride + self.column + column);
                let columns = COLUMNS.min(self.columns - column);
                kernel(self.depth, copy, packed.at(column * self.depth), (out, self.stride, columns, self.output));
            }
        }
    }
}

impl Block<'_> {
    /// Asks for part `part` of the tile from `row` on, which this thread is likely to copy next.
    #[target_feature(enable = "avx512f")]
    fn fetch(&self, row: usize, part: usize) {
        let a = &self.a;
        let rows = ROWS.min(self.rows.saturating_sub(row));
        let from = a.data.as_ptr().wrapping_add(row * a.row + self.step * a.column);
        if a.column == 1 {
            for row in (part..rows).step_by(GROUP) {
                for step in (0..self.depth).step_by(16) {
                    _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(row * a.row + step).cast());
                }
            }
        } else if rows > 0 {
            let steps = self.depth.div_ceil(GROUP);
            for step in part * steps..self.depth.min((part + 1) * steps) {
                _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(step * a.column + rows - 1).cast());
            }
        }
    }
}

/// The lanes of two registers that hold `columns` elements.
fn masks(columns: usize) -> (__mmask16, __mmask16) {
    let lanes = |count: usize| ((1u32 << count.min(16)) - 1) as __mmask16;
    (lanes(columns), lanes(columns.saturating_sub(16)))
}

/// Where a tile goes: address, distance of rows, columns, what happens to the elements there.
type Target = (*mut f32, usize, usize, Output);
type Kernel = unsafe fn(usize, *const f32, *const f32, Target);

macro_rules! kernels {
    ($row:expr, $column:expr) => {
        [
            kernel::<1, { $row }, { $column }>,
            kernel::<2, { $row }, { $column }>,
            kernel::<3, { $row }, { $column }>,
            kernel::<4, { $row }, { $column }>,
            kernel::<5, { $row }, { $column }>,
            kernel::<6, { $row }, { $column }>,
            kernel::<7, { $row }, { $column }>,
            kernel::<8, { $row }, { $column }>,
            kernel::<9, { $row }, { $column }>,
            kernel::<10, { $row }, { $column }>,
            kernel::<11, { $row }, { $column }>,
            kernel::<12, { $row }, { $column }>,
        ]
    };
}

/// For copied rows.
static ALONG: [Kernel; ROWS] = kernels!(STEP, 1);
/// For copied columns.
static ACROSS: [Kernel; ROWS] = kernels!(1, 16);

/// `R x COLUMNS` sums in registers.
///
/// # Safety
/// AVX-512 is there; `a` has `depth` elements in each of `R` rows, `b` is a panel of `depth`, the target may be accessed.
#[target_feature(enable = "avx512f")]
unsafe fn kernel<const R: usize, const ROW: usize, const COLUMN: usize>(
    depth: usize,
    a: *const f32,
    b: *const f32,
    (out, stride, columns, output): Target,
) {
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    for row in 0..R {
        _mm_prefetch::<_MM_HINT_T0>(out.wrapping_add(row * stride).cast());
        _mm_prefetch::<_MM_HINT_T0>(out.wrapping_add(row * stride + 16).cast());
    }
    for step in 0..depth {
        // SAFETY: by the contract.
        unsafe {
            let b = b.add(step * COLUMNS);
            let (low, high) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_ps(*a.add(row * ROW + step * COLUMN));
                sums[0] = _mm512_fmadd_ps(a, low, sums[0]);
                sums[1] = _mm512_fmadd_ps(a, high, sums[1]);
            }
        }
    }
    let masks = masks(columns);
    for (row, sums) in sums.iter().enumerate() {
        for (half, (sum, mask)) in sums.iter().zip([masks.0, masks.1]).enumerate() {
            let out = out.wrapping_add(row * stride + half * 16);
            // SAFETY: the mask covers the target's columns only.
            unsafe {
                let sum = match output {
                    Output::Overwrite => *sum,
                    Output::Accumulate => _mm512_add_ps(*sum, _mm512_maskz_loadu_ps(mask, out)),
                };
                match mask {
                    __mmask16::MAX => _mm512_storeu_ps(out, sum),
                    _ => _mm512_mask_storeu_ps(out, mask, sum),
                }
            }
        }
    }
}

/// Turns `columns` rows, `distance` apart and `depth` long, into `[depth, COLUMNS]`, sixteen at a time.
///
/// # Safety
/// AVX-512 is there, the rows may be read, and `to` may be written.
#[target_feature(enable = "avx512f")]
unsafe fn pack_turned(from: *const f32, distance: usize, columns: usize, depth: usize, to: *mut f32) {
    for step in (0..depth).step_by(16) {
        let steps = 16.min(depth - step);
        let mask = masks(steps).0;
        let mut rows = [_mm512_setzero_ps(); 16];
        for (index, row) in rows.iter_mut().enumerate().take(columns) {
            // SAFETY: the mask keeps the read inside the row.
            *row = unsafe { _mm512_maskz_loadu_ps(mask, from.add(index * distance + step)) };
        }
        let turned = transpose(rows);
        for (index, row) in turned.iter().enumerate().take(steps) {
            // SAFETY: inside the panel.
            unsafe { _mm512_storeu_ps(to.add((step + index) * COLUMNS), *row) };
        }
    }
}

/// The transpose of a 16 x 16 matrix.
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512; 16]) -> [__m512; 16] {
    let mut turned = [_mm512_setzero_ps(); 16];
    // Lane l of quarters[g][c] holds column 4 l + c of the rows 4 g .. 4 g + 3.
    let mut quarters = [[_mm512_setzero_ps(); 4]; 4];
    for (rows, quarter) in rows.chunks_exact(4).zip(&mut quarters) {
        let pair = |x, y| (_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
        let ((low0, high0), (low1, high1)) = (pair(rows[0], rows[1]), pair(rows[2], rows[3]));
        let join = |x, y| {
            let (x, y) = (_mm512_castps_pd(x), _mm512_castps_pd(y));
            (_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)))
        };
        let ((first, second), (third, fourth)) = (join(low0, low1), join(high0, high1));
        *quarter = [first, second, third, fourth];
    }
    for column in 0..4 {
        let [top, upper, lower, bottom] = quarters.map(|quarter| quarter[column]);
        let (even_top, odd_top) = (_mm512_shuffle_f32x4::<0x88>(top, upper), _mm512_shuffle_f32x4::<0xdd>(top, upper));
        let even_low = _mm512_shuffle_f32x4::<0x88>(lower, bottom);
        let odd_low = _mm512_shuffle_f32x4::<0xdd>(lower, bottom);
        turned[column] = _mm512_shuffle_f32x4::<0x88>(even_top, even_low);
        turned[4 + column] = _mm512_shuffle_f32x4::<0x88>(odd_top, odd_low);
        turned[8 + column] = _mm512_shuffle_f32x4::<0xdd>(even_top, even_low);
        turned[12 + column] = _mm512_shuffle_f32x4::<0xdd>(odd_top, odd_low);
    }
    turned
}

#[cfg(test)]
mod tests;
