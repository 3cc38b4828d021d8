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
mod packed;

pub(crate) use amx::Amx;
pub(crate) use avx512::Avx512;
pub(crate) use packed::{Packed, STEP};

use crate::matmul::{Output, Shared, Threads, View};
use kernel::{GROUP, Kernel, LANES, Tile};
use pack::{Block, Line};
use std::cell::Cell;
use std::marker::PhantomData;

/// Most depth of a block of B, a multiple of [`Kernel::DEPTH`].
const DEEP: usize = 2048;
/// Depths by which blocks of B grow: the narrower they are, the deeper.
const STEEP: usize = 512;
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
    let deep = k.next_multiple_of(STEEP).clamp(STEEP, DEEP);
    let wide = (SHARED / deep / K::COLUMNS).max(1) * K::COLUMNS;
    let most = Panels::<K>::new((deep.min(k), wide.min(n)), K::COLUMNS);
    with_lines(&PANELS, most.lines(), |lines| {
        for left in (0..n).step_by(wide) {
            for top in (0..k).step_by(deep) {
                let panels = Panels::<K>::new((deep.min(k - top), wide.min(n - left)), K::COLUMNS);
                let output = if top == 0 { output } else { Output::Accumulate };
                let b = Block { view: b, top, left, rows: panels.depth, columns: panels.columns };
                let a = Block { view: a, top: 0, left: top, rows: m, columns: panels.depth };
                // SAFETY: the caller vouches for the processor and the shapes; `lines` has room for these panels; the
                // part of `out` that starts at column `left` contains `m` rows of the block's columns.
                unsafe {
                    panels.pack(b, lines, Threads::All);
                    panels.multiply(panels.whole(), a, lines, (out.from(left), stride, output), Threads::All);
                }
            }
        }
    });
}

/// The shape of a packed block of B: panels of `width` columns, the last one perhaps narrower.
struct Panels<K> {
    depth: usize,
    columns: usize,
    /// A multiple of [`LANES`], at most [`Kernel::COLUMNS`].
    width: usize,
    kernel: PhantomData<fn() -> K>,
}

/// The part of packed panels that a product takes.
#[derive(Clone, Copy)]
struct Part {
    /// Its first row, a multiple of [`GROUP`].
    top: usize,
    /// Its first column, the first of a panel.
    left: usize,
    /// Its columns, whole panels unless the operand ends with them; it has as many rows as the other operand has columns.
    columns: usize,
}

impl<K: Kernel> Panels<K> {
    fn new((depth, columns): (usize, usize), width: usize) -> Self {
        Self { depth, columns, width, kernel: PhantomData }
    }

    /// Lines that the block takes.
    fn lines(&self) -> usize {
        self.before(self.columns)
    }

    /// Lines that this many columns take: one per pair of rows and vector of columns.
    fn before(&self, columns: usize) -> usize {
        columns.div_ceil(LANES) * self.depth.next_multiple_of(GROUP) / 2
    }

    fn whole(&self) -> Part {
        Part { top: 0, left: 0, columns: self.columns }
    }

    /// # Safety
    /// The processor has AVX512-BF16 and AVX512-BW; the block contains its shape.
    unsafe fn pack(&self, b: Block<'_>, lines: &mut [Line], threads: Threads) {
        let height = self.before(1);
        let lines = SharedLines(lines[..self.lines()].as_mut_ptr());
        if b.view.column == 1 {
            threads.each(self.depth.div_ceil(GROUP), |group| {
                // SAFETY: each task writes the lines of its own rows; the rest is the caller's.
                unsafe { pack::slab(&b, group * GROUP, (self.width, height), lines.at(0)) }
            });
        } else {
            threads.each(self.columns.div_ceil(self.width), |index| {
                let left = index * self.width;
                let part = Block { left: b.left + left, columns: self.width.min(self.columns - left), ..b };
                // SAFETY: each task writes its own panel; the rest is the caller's.
                unsafe { pack::columns(&part, lines.at(left / LANES * height)) }
            });
        }
    }

    /// `out (+)= a * part`.
    ///
    /// # Safety
    /// The processor has AVX512-BF16, AVX512-BW and what the kernel needs; `a`, the part and the output contain their shapes, and `b` is what
    /// [`Panels::pack`] has written.
    unsafe fn multiply(
        &self,
        part: Part,
        a: Block<'_>,
        b: &[Line],
        (out, stride, output): (Shared, usize, Output),
        threads: Threads,
    ) {
        let height = K::height(a.rows, a.columns, threads);
        threads.each(a.rows.div_ceil(height), |index| {
            let top = index * height;
            let a = Block { top: a.top + top, rows: height.min(a.rows - top), ..a };
            // SAFETY: each task owns its rows of the output; the rest is the caller's.
            unsafe { self.multiply_rows(part, a, b, (out.at(top * stride), stride, output)) }
        });
    }

    /// [`Panels::multiply`] for the rows of one task.
    ///
    /// # Safety
    /// As there; nobody else accesses the output.
    unsafe fn multiply_rows(
        &self,
        part: Part,
        a: Block<'_>,
        b: &[Line],
        (out, stride, output): (*mut f32, usize, Output),
    ) {
        let end = part.left + part.columns;
        let rows = a.rows.next_multiple_of(K::ROWS);
        with_lines(&ROWS_OF_A, rows * K::DEPTH.min(a.columns.next_multiple_of(GROUP)) / GROUP, |own| {
            // SAFETY: the caller vouches for the processor; nothing below waits for other tasks, so that no second kernel starts
            // on this thread before this one is dropped.
            let kernel = unsafe { K::start() };
            for start in (0..a.columns).step_by(K::DEPTH) {
                let depth = K::DEPTH.min(a.columns - start);
                let output = if start == 0 { output } else { Output::Accumulate };
                // SAFETY: these columns of `a`, for which `own` has room.
                let order = unsafe { K::pack(&Block { left: a.left + start, columns: depth, ..a }, own) };
                for left in (part.left..end).step_by(self.width) {
                    let columns = self.width.min(end - left);
                    let panel = self.before(left) + (part.top + start) / 2 * columns.div_ceil(LANES);
                    let place = |row: usize, left: usize| row * stride + left - part.left;
                    for row in (0..a.rows).step_by(K::ROWS) {
                        let next = match row + K::ROWS {
                            below if below < a.rows => place(below, left),
                            _ => place(0, left + self.width),
                        };
                        let next = out.wrapping_add(next).cast_const();
                        let tile = Tile { rows: K::ROWS.min(a.rows - row), columns, depth, stride, output, next };
                        // SAFETY: the packed parts hold whole groups; the tile is inside the output.
                        unsafe {
                            let a = own.as_ptr().add(row * depth.next_multiple_of(GROUP) / GROUP);
                            let out = out.add(place(row, left));
                            kernel.multiply(&tile, order, a, b.as_ptr().add(panel), out);
                        }
                    }
                }
            }
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
