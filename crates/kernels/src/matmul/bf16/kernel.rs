//! What the instructions of a processor bring to a product: a tile, and how the rows of A lie for it.

use super::pack::{Block, Line};
use crate::matmul::{Output, Threads};

/// Elements of a vector.
pub(super) const LANES: usize = 16;
/// Depth in whole lines; packed operands are padded with zeros to a multiple of it.
pub(super) const GROUP: usize = 2 * LANES;

/// Instructions that multiply packed operands, tile by tile. A value is what a thread holds while it does.
pub(crate) trait Kernel: Sized {
    /// Rows of a tile.
    const ROWS: usize;
    /// Columns of a tile and of the panels of B, a multiple of [`LANES`].
    const COLUMNS: usize;
    /// Depth of the blocks of A, and of the part of B that they meet.
    const DEPTH: usize;
    /// How rows of A have been packed.
    type Order: Copy;

    /// Rows of a task, a multiple of [`Kernel::ROWS`], of a product of so many rows, so deep at most. No sum depends on it.
    fn height(rows: usize, depth: usize, threads: Threads) -> usize;

    /// # Safety
    /// The processor has the instructions; the thread holds no other kernel.
    unsafe fn start() -> Self;

    /// Packs rows of A by [`Kernel::ROWS`], missing ones as zeros: as many lines for each group of [`GROUP`] elements.
    ///
    /// # Safety
    /// The processor has AVX512-BF16 and AVX512-BW; the operand contains the block.
    unsafe fn pack(a: &Block<'_>, lines: &mut [Line]) -> Self::Order;

    /// Multiplies packed rows of A by a packed panel of B.
    ///
    /// # Safety
    /// `a` and `b` hold whole groups, and `out` is valid for the tile's rows and columns.
    unsafe fn multiply(&self, tile: &Tile, order: Self::Order, a: *const Line, b: *const Line, out: *mut f32);
}

/// The part of the output that a call computes.
pub(crate) struct Tile {
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
    /// Where the next tile of this task begins, or, after its last one, somewhere near it. Never dereferenced.
    pub(super) next: *const f32,
}
