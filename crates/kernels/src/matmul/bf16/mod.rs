//! Matrix products of operands rounded to bfloat16 and summed in f32, for processors with AVX512-BF16 ([`Avx512`]), or with AMX
//! beside it ([`Amx`]).
//!
//! The blocking is that of BLIS (Van Zee and van de Geijn, ACM TOMS 41:3, 2015): a block of B is rounded and packed once,
//! shared by all threads; each task packs a block of rows of A into its own cache and multiplies it, tile by tile. An
//! element of the output is summed in an order that depends on `k` alone, neither on threads nor on its place.

mod amx;
mod avx512;
mod kernel;
mod pack;

pub(crate) use amx::Amx;
pub(crate) use avx512::Avx512;

use crate::matmul::{Output, Shared, View};
use kernel::{GROUP, Kernel, LANES, Tile};
use pack::{Block, Line};
use rayon::prelude::*;
use std::cell::Cell;
use std::marker::PhantomData;

/// Depth of the blocks of A, and of the part of B that they meet.
const DEPTH: usize = 512;
/// Most depth of a block of B, a multiple of [`DEPTH`].
const DEEP: usize = 2048;
/// Most elements of a block of B: it stays in the last-level cache.
const SHARED: usize = 1 << 22;

/// `out [m, n] (+)= a [m, k] * b [k, n]`; the rows of `out` are `stride` apart.
///
/// # Safety
/// The processor has AVX512-BF16, AVX512-BW and what the kernel needs; `a`, `b` and `out` contain their shapes.
pub(crate) unsafe fn multiply<K: Kernel>(
    (m, n, k): (usize, usize, usize),
    (out, stride, output): (&mut [f32], usize, Output),
    a: View<'_>,
    b: View<'_>,
) {
    if k == 0 && output == Output::Overwrite {
        (0..m).for_each(|row| out[row * stride..][..n].fill(0.0));
    }
    let out = Shared::new(out);
    let deep = k.next_multiple_of(DEPTH).clamp(DEPTH, DEEP);
    let wide = (SHARED / deep / K::COLUMNS).max(1) * K::COLUMNS;
    with_lines(&PANELS, Panels::<K>::lines(deep.min(k), wide.min(n)), |lines| {
        for left in (0..n).step_by(wide) {
            for top in (0..k).step_by(deep) {
                let panels = Panels::<K> { depth: deep.min(k - top), columns: wide.min(n - left), kernel: PhantomData };
                let output = if top == 0 { output } else { Output::Accumulate };
                let b = Block { view: b, top, left, rows: panels.depth, columns: panels.columns };
                let a = Block { view: a, top: 0, left: top, rows: m, columns: panels.depth };
                // SAFETY: the caller vouches for the processor and the shapes; `lines` has room for these panels; the
                // part of `out` that starts at column `left` contains `m` rows of the block's columns.
                unsafe {
                    panels.pack(b, lines);
                    panels.multiply(a, lines, (out.from(left), stride, output));
                }
            }
        }
    });
}

/// The shape of a packed block of B: panels of [`Kernel::COLUMNS`] columns, the last one perhaps narrower.
struct Panels<K> {
    depth: usize,
    columns: usize,
    kernel: PhantomData<fn() -> K>,
}

impl<K: Kernel> Panels<K> {
    /// Lines that a block takes: one per pair of rows and vector of columns.
    fn lines(depth: usize, columns: usize) -> usize {
        columns.div_ceil(LANES) * depth.next_multiple_of(GROUP) / 2
    }

    /// The panels: first column and number of columns.
    fn each(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.columns).step_by(K::COLUMNS).map(|left| (left, K::COLUMNS.min(self.columns - left)))
    }

    /// # Safety
    /// The processor has AVX512-BF16 and AVX512-BW; the block contains its shape.
    unsafe fn pack(&self, b: Block<'_>, lines: &mut [Line]) {
        let height = Self::lines(self.depth, 1);
        let lines = SharedLines(lines[..Self::lines(self.depth, self.columns)].as_mut_ptr());
        if b.view.column == 1 {
            (0..self.depth.div_ceil(GROUP)).into_par_iter().for_each(|group| {
                // SAFETY: each task writes the lines of its own rows; the rest is the caller's.
                unsafe { pack::slab::<K>(&b, group * GROUP, height, lines.at(0)) }
            });
        } else {
            (0..self.columns.div_ceil(K::COLUMNS)).into_par_iter().for_each(|index| {
                let left = index * K::COLUMNS;
                let part = Block { left: b.left + left, columns: K::COLUMNS.min(self.columns - left), ..b };
                // SAFETY: each task writes its own panel; the rest is the caller's.
                unsafe { pack::columns(&part, lines.at(left / LANES * height)) }
            });
        }
    }

    /// # Safety
    /// The processor has AVX512-BF16, AVX512-BW and what the kernel needs; `a` and the output contain their shapes, and `b` is what
    /// [`Panels::pack`] has written.
    unsafe fn multiply(&self, a: Block<'_>, b: &[Line], (out, stride, output): (Shared, usize, Output)) {
        let height = K::height(a.rows);
        (0..a.rows.div_ceil(height)).into_par_iter().for_each(|index| {
            let top = index * height;
            let rows = height.min(a.rows - top);
            with_lines(&ROWS_OF_A, height * DEPTH / GROUP, |own| {
                // SAFETY: the caller vouches for the processor; nothing below waits for other tasks, so that no second kernel starts
                // on this thread before this one is dropped.
                let kernel = unsafe { K::start() };
                for start in (0..self.depth).step_by(DEPTH) {
                    let depth = DEPTH.min(self.depth - start);
                    let output = if start == 0 { output } else { Output::Accumulate };
                    let part = Block { view: a.view, top: a.top + top, left: a.left + start, rows, columns: depth };
                    // SAFETY: the part is inside `a`, and `own` has room for it.
                    let order = unsafe { K::pack(&part, own) };
                    for (left, columns) in self.each() {
                        let panel = Self::lines(self.depth, left) + start / 2 * columns.div_ceil(LANES);
                        for row in (0..rows).step_by(K::ROWS) {
                            let tile = Tile { rows: K::ROWS.min(rows - row), columns, depth, stride, output };
                            // SAFETY: each task owns its rows of the output; the packed parts hold whole groups.
                            unsafe {
                                let a = own.as_ptr().add(row * depth.next_multiple_of(GROUP) / GROUP);
                                kernel.multiply(
                                    &tile,
                                    order,
                                    a,
                                    b.as_ptr().add(panel),
                                    out.at((top + row) * stride + left),
                                );
                            }
                        }
                    }
                }
            });
        });
    }
}

/// Packed lines that threads share because each writes others.
#[derive(Clone, Copy)]
struct SharedLines(*mut Line);

// SAFETY: each task writes lines of its own, as stated where they do.
unsafe impl Send for SharedLines {}
// SAFETY: as above.
unsafe impl Sync for SharedLines {}

impl SharedLines {
    /// # Safety
    /// `offset` is inside the lines.
    unsafe fn at(self, offset: usize) -> *mut Line {
        // SAFETY: forwarded to the caller.
        unsafe { self.0.add(offset) }
    }
}

thread_local! {
    static PANELS: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
    static ROWS_OF_A: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Runs `body` with at least `count` lines that the thread keeps between calls; a nested call gets lines of its own.
fn with_lines(kept: &'static std::thread::LocalKey<Cell<Vec<Line>>>, count: usize, body: impl FnOnce(&mut [Line])) {
    let mut lines = kept.take();
    if lines.len() < count {
        lines.resize(count, Line::default());
    }
    body(&mut lines);
    kept.set(lines);
}

#[cfg(test)]
mod tests;
