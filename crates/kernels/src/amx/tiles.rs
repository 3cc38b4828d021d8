//! The tiles of a thread, and the product of packed blocks.

use std::arch::asm;
use std::marker::PhantomData;

/// Rows of a tile, and f32 elements or pairs of bfloat16 in a row.
pub(crate) const SIDE: usize = 16;
/// Elements of bfloat16 in a row: the depth of one product.
pub(crate) const DEPTH: usize = 2 * SIDE;

/// What LDTILECFG reads: every tile whole. What is missing at the edges of a matrix is zero in the packed blocks.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static WHOLE: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// The tiles of this thread, from their configuration to their release. Neither enters the system. A thread that holds none pays
/// nothing for them: released tiles are not saved when threads are switched, and let the core sleep.
pub(crate) struct Tiles {
    /// Tiles are of one thread.
    _thread: PhantomData<*mut ()>,
}

/// Where the sums begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// At zero.
    Zero,
    /// At what stands there.
    There,
}

/// Where sums go: [`DEPTH`] rows of [`DEPTH`] f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums {
    /// The first element.
    pub(crate) at: *mut f32,
    /// Distance between rows, in elements.
    pub(crate) stride: usize,
    /// What they are added to.
    pub(crate) start: Start,
}

impl Tiles {
    /// Configures the tiles of this thread.
    ///
    /// # Safety
    /// [AMX is available](super::is_available), and this thread has no other `Tiles`.
    pub(crate) unsafe fn configure() -> Self {
        // SAFETY: reads the 64 bytes of a valid configuration, and sets tiles, which only `Tiles` use. They are declared as
        // changed, though the compiler has no use for these registers.
        unsafe {
            asm!(
                "ldtilecfg [{}]", in(reg) &raw const WHOLE,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
                out("tmm7") _, options(nostack, readonly, preserves_flags)
            );
        }
        Self { _thread: PhantomData }
    }

    /// Adds the product of two packed blocks, `groups` times [`DEPTH`] deep, to 32 x 32 sums. Each group is added in the order of
    /// the instruction: its even elements in turn, its odd ones in turn, the two together to the sum. Denormal numbers count as zero.
    ///
    /// - `a`: per group 32 lines, one per row, each 16 pairs of bfloat16 that follow each other in depth: 2 KiB.
    /// - `b`: per group 16 steps of `vectors` lines; a step is two rows of B, a line 16 columns of them, as pairs. With one vector
    ///   the right half of the sums is the left one again.
    ///
    /// Meanwhile the lines that the sums from `next` on go to are fetched, two rows per group: a store that waits for them holds up more
    /// than the products take.
    ///
    /// # Safety
    /// `groups` is at least one, `vectors` one or two, `a` and `b` hold their lines, and the sums may be written, and read where
    /// they start with what is there.
    pub(crate) unsafe fn multiply(
        &self,
        groups: usize,
        a: *const u32,
        (b, vectors): (*const u32, usize),
        sums: Sums,
        next: *const f32,
    ) {
        debug_assert!(groups > 0 && (1..=2).contains(&vectors));
        let row = 64 * vectors;
        // SAFETY: `self` has configured the tiles of this thread as whole ones, so that each load and store touches 16 rows of 64
        // bytes, `stride` apart, all of which the caller vouches for. Tiles hold nothing between two pieces of assembly.
        unsafe {
            asm!(
                "test {there:e}, {there:e}",
                "jnz 2f",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "jmp 3f",
                "2:",
                "tileloadd tmm0, [{top} + {stride}]",
                "tileloadd tmm1, [{top} + {stride} + 64]",
                "tileloadd tmm2, [{low} + {stride}]",
                "tileloadd tmm3, [{low} + {stride} + 64]",
                "3:",
                "tileloadd tmm6, [{left} + {row}]",
                "tileloadd tmm4, [{a} + {line}]",
                "tileloadd tmm7, [{right} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "prefetchw [{next}]",
                "prefetchw [{next} + 64]",
                "add {next}, {stride}",
                "prefetchw [{next}]",
                "prefetchw [{next} + 64]",
                "add {next}, {stride}",
                "add {a}, 2048",
                "add {left}, {step}",
                "add {right}, {step}",
                "dec {groups}",
                "jnz 3b",
                "tilestored [{top} + {stride}], tmm0",
                "tilestored [{top} + {stride} + 64], tmm1",
                "tilestored [{low} + {stride}], tmm2",
                "tilestored [{low} + {stride} + 64], tmm3",
                there = in(reg) u32::from(sums.start == Start::There),
                top = in(reg) sums.at,
                low = in(reg) sums.at.add(SIDE * sums.stride),
                stride = in(reg) sums.stride * size_of::<f32>(),
                a = inout(reg) a => _,
                line = in(reg) 64usize,
                left = inout(reg) b => _,
                right = inout(reg) b.add(SIDE * (vectors - 1)) => _,
                row = in(reg) row,
                step = in(reg) SIDE * row,
                groups = inout(reg) groups => _,
                next = inout(reg) next => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
                out("tmm7") _, options(nostack)
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: `configure` has found AMX, and nobody else uses the tiles of this thread.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
                out("tmm7") _, options(nostack, nomem, preserves_flags)
            );
        }
    }
}
