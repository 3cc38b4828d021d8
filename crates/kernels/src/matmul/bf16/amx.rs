//! AMX: two by two tiles of 16 x 16 sums. B is packed as for AVX512-BF16, in panels of 32 columns; rows of A lie as tiles.

use super::kernel::{GROUP, Kernel, LANES, Tile};
use super::pack::{self, Block, Line};
use crate::amx::{DEPTH, SIDE, Start, Sums, Tiles};
use crate::matmul::{Output, Threads};
use std::arch::x86_64::_mm512_store_si512;

/// Rows, and columns, of a tile of the output.
const ROWS: usize = 2 * SIDE;
/// Most elements of a block of A: half of the second-level cache, which panels of B pass through.
const BLOCK: usize = 1 << 19;
/// Most rows of a task.
const HEIGHT: usize = 512;
/// Rows of a task below which reading B again and again costs more than sharing the rows out evenly saves.
const ENOUGH: usize = 256;
/// Tasks per thread, where there are rows enough.
const TASKS: usize = 4;

const _: () = assert!(LANES == SIDE && GROUP == DEPTH, "a line is a row of a tile");

/// The kernel of processors with AMX: its tiles are configured from start to drop.
pub(crate) struct Amx(Tiles);

impl Kernel for Amx {
    const ROWS: usize = ROWS;
    const COLUMNS: usize = ROWS;
    const DEPTH: usize = 2048;
    type Order = ();

    fn height(rows: usize, depth: usize, threads: Threads) -> usize {
        let shared = match threads {
            Threads::One => rows,
            Threads::All => {
                let threads = rayon::current_num_threads();
                rows.div_ceil(TASKS * threads).max(ENOUGH).min(rows.div_ceil(threads))
            }
        };
        let most = (BLOCK / depth.clamp(1, Self::DEPTH)).clamp(ROWS, HEIGHT) / ROWS * ROWS;
        shared.next_multiple_of(ROWS).clamp(ROWS, most)
    }

    unsafe fn start() -> Self {
        // SAFETY: forwarded to the caller.
        Self(unsafe { Tiles::configure() })
    }

    unsafe fn pack(a: &Block<'_>, lines: &mut [Line]) {
        // SAFETY: forwarded to the caller.
        unsafe {
            match a.view.column {
                1 => pack::rows::<Self>(a, lines),
                _ => pack_turned(a, lines),
            }
        }
    }

    unsafe fn multiply(&self, tile: &Tile, (): (), a: *const Line, b: *const Line, out: *mut f32) {
        let (groups, vectors) = (tile.depth.div_ceil(GROUP), tile.columns.div_ceil(LANES));
        let start = match tile.output {
            Output::Overwrite => Start::Zero,
            Output::Accumulate => Start::There,
        };
        // SAFETY: the packed operands hold whole groups, of A whole tiles.
        let multiply = |sums| unsafe { self.0.multiply(groups, a.cast(), (b.cast(), vectors), sums, tile.next) };
        if (tile.rows, tile.columns) == (ROWS, ROWS) {
            return multiply(Sums { at: out, stride: tile.stride, start });
        }
        // At an edge of the output: beside it.
        let mut sums = [[0f32; ROWS]; ROWS];
        let rows = || (0..tile.rows).map(|row| out.wrapping_add(row * tile.stride));
        if tile.output == Output::Accumulate {
            for (sums, row) in sums.iter_mut().zip(rows()) {
                // SAFETY: these columns of the output are there.
                unsafe { row.copy_to_nonoverlapping(sums.as_mut_ptr(), tile.columns) };
            }
        }
        multiply(Sums { at: sums.as_mut_ptr().cast(), stride: ROWS, start });
        for (sums, row) in sums.iter().zip(rows()) {
            // SAFETY: as above.
            unsafe { row.copy_from_nonoverlapping(sums.as_ptr(), tile.columns) };
        }
    }
}

/// Packs rows of A whose columns lie next to each other: pairs across, sixteen by sixteen turned.
///
/// # Safety
/// As [`Kernel::pack`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_turned(a: &Block<'_>, lines: &mut [Line]) {
    let (groups, panels) = (a.columns.div_ceil(GROUP), a.rows.div_ceil(ROWS));
    assert!(lines.len() >= panels * groups * ROWS, "room for the rows");
    let lines = lines.as_mut_ptr();
    let turned = a.transposed();
    for (panel, group) in (0..panels).flat_map(|panel| (0..groups).map(move |group| (panel, group))) {
        for half in [0, LANES] {
            // SAFETY: the assertion; the rest is the caller's.
            unsafe {
                let square =
                    std::array::from_fn(|pair| pack::across(&turned, group * GROUP + 2 * pair, panel * ROWS + half));
                for (row, line) in pack::transpose(square).into_iter().enumerate() {
                    let to = lines.add((panel * groups + group) * ROWS + half + row);
                    _mm512_store_si512(to.cast(), line);
                }
            }
        }
    }
}
