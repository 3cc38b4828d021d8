//! Rounding of operands to bfloat16, packed in the order in which the tiles read them.
//!
//! The instruction multiplies pairs: `vdpbf16ps` adds `a0 * b0 + a1 * b1` to each sum. So two elements that follow each
//! other in depth lie next to each other, and a line of 64 bytes holds 16 pairs.

use super::kernel::{GROUP, Kernel, LANES};
use crate::matmul::View;
use std::arch::x86_64::*;
use std::mem::transmute;

/// 16 pairs of bfloat16.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct Line([u32; LANES]);

/// A part of an operand.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    /// The operand.
    pub(super) view: View<'a>,
    /// Its first row.
    pub(super) top: usize,
    /// Its first column.
    pub(super) left: usize,
    /// Rows.
    pub(super) rows: usize,
    /// Columns.
    pub(super) columns: usize,
}

impl Block<'_> {
    /// The same block of the transpose.
    pub(super) fn transposed(&self) -> Self {
        let Self { view, top, left, rows, columns } = *self;
        Self { view: view.transposed(), top: left, left: top, rows: columns, columns: rows }
    }

    /// Where an element lies; may be outside the operand, where nothing is read.
    fn at(&self, row: usize, column: usize) -> *const f32 {
        let View { data, row: down, column: across } = self.view;
        data.as_ptr().wrapping_add((self.top + row) * down + (self.left + column) * across)
    }
}

/// Packs [`GROUP`] rows of B from `row` on, whose columns lie next to each other, into every panel of `lines`: `width` columns
/// each, and `height` lines per vector of them.
///
/// # Safety
/// The processor has AVX512-BF16 and AVX512-BW; the operand contains the block, and `lines` has room for it.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn slab(b: &Block<'_>, row: usize, (width, height): (usize, usize), lines: *mut Line) {
    for left in (0..b.columns).step_by(width) {
        let vectors = width.min(b.columns - left).div_ceil(LANES);
        // SAFETY: forwarded to the caller.
        unsafe {
            let panel = lines.add(left / LANES * height + row / 2 * vectors);
            for pair in 0..GROUP / 2 {
                for vector in 0..vectors {
                    let pairs = across(b, row + 2 * pair, left + vector * LANES);
                    _mm512_store_si512(panel.add(pair * vectors + vector).cast(), pairs);
                }
            }
        }
    }
}

/// Packs a panel of columns of B, each of whose elements lie next to each other.
///
/// # Safety
/// As [`slab`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn columns(b: &Block<'_>, lines: *mut Line) {
    let vectors = b.columns.div_ceil(LANES);
    let turned = b.transposed();
    for group in 0..b.rows.div_ceil(GROUP) {
        for vector in 0..vectors {
            let mut square = [_mm512_setzero_si512(); LANES];
            for (column, pairs) in square.iter_mut().enumerate() {
                // SAFETY: forwarded to the caller.
                *pairs = unsafe { along(&turned, vector * LANES + column, group * GROUP) };
            }
            for (pair, line) in transpose(square).into_iter().enumerate() {
                // SAFETY: forwarded to the caller.
                unsafe { _mm512_store_si512(lines.add((group * LANES + pair) * vectors + vector).cast(), line) };
            }
        }
    }
}

/// Packs rows of A, whose elements lie next to each other, by [`Kernel::ROWS`]: of each group a line per row.
///
/// # Safety
/// As [`Kernel::pack`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn rows<K: Kernel>(a: &Block<'_>, lines: &mut [Line]) {
    let (groups, panels) = (a.columns.div_ceil(GROUP), a.rows.div_ceil(K::ROWS));
    assert!(lines.len() >= panels * groups * K::ROWS, "room for the rows");
    let lines = lines.as_mut_ptr();
    for panel in 0..panels {
        for group in 0..groups {
            for row in 0..K::ROWS {
                // SAFETY: the assertion; the rest is the caller's.
                unsafe {
                    let line = lines.add((panel * groups + group) * K::ROWS + row);
                    _mm512_store_si512(line.cast(), along(a, panel * K::ROWS + row, group * GROUP));
                }
            }
        }
    }
}

/// The first `count` lanes, at most all.
#[inline]
pub(super) fn mask(count: usize) -> __mmask16 {
    if count >= LANES { !0 } else { (1 << count) - 1 }
}

/// The first lanes of `count` elements from `from` on; zeros where there is none.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(from: *const f32, count: usize) -> __m512 {
    // SAFETY: the mask keeps the access inside what the caller says is there.
    unsafe { _mm512_maskz_loadu_ps(mask(count), from) }
}

/// Pairs along a row whose elements lie next to each other: [`GROUP`] elements from `column` on.
///
/// # Safety
/// As [`slab`], with `block.view.column` 1.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn along(block: &Block<'_>, row: usize, column: usize) -> __m512i {
    let left = if row < block.rows { block.columns.saturating_sub(column) } else { 0 };
    // SAFETY: the counts keep inside the block.
    unsafe {
        let low = load(block.at(row, column), left);
        let high = load(block.at(row, column + LANES), left.saturating_sub(LANES));
        transmute(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Pairs of row `row` and the next one, whose elements lie next to each other: [`LANES`] columns from `column` on.
///
/// # Safety
/// As [`slab`], with `block.view.column` 1.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn across(block: &Block<'_>, row: usize, column: usize) -> __m512i {
    const INTERLEAVE: [u16; 2 * LANES] = {
        let mut order = [0; 2 * LANES];
        let mut i = 0;
        while i < LANES {
            (order[2 * i], order[2 * i + 1]) = (i as u16, (LANES + i) as u16);
            i += 1;
        }
        order
    };
    let left = block.columns.saturating_sub(column);
    let count = |row: usize| if row < block.rows { left } else { 0 };
    // SAFETY: the counts keep inside the block.
    unsafe {
        let (low, high) = (load(block.at(row, column), count(row)), load(block.at(row + 1, column), count(row + 1)));
        let halves: __m512i = transmute(_mm512_cvtne2ps_pbh(high, low));
        _mm512_permutexvar_epi16(transmute::<[u16; 2 * LANES], __m512i>(INTERLEAVE), halves)
    }
}

/// The transpose of 16 lines of 16 pairs.
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(x: [__m512i; LANES]) -> [__m512i; LANES] {
    let mut y = x;
    for i in (0..LANES).step_by(2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    let mut x = y;
    for i in (0..LANES).step_by(4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    // x[4 r + c] holds, in its quarter q, column 4 q + c of rows 4 r to 4 r + 3.
    for c in 0..4 {
        let low = _mm512_shuffle_i32x4::<0b10_00_10_00>(x[c], x[4 + c]);
        let high = _mm512_shuffle_i32x4::<0b11_01_11_01>(x[c], x[4 + c]);
        let next_low = _mm512_shuffle_i32x4::<0b10_00_10_00>(x[8 + c], x[12 + c]);
        let next_high = _mm512_shuffle_i32x4::<0b11_01_11_01>(x[8 + c], x[12 + c]);
        y[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, next_low);
        y[8 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, next_low);
        y[4 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(high, next_high);
        y[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(high, next_high);
    }
    y
}
