//! What the machine can do at best, measured: multiply-adds and bytes read per second, all threads of the pool together.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use crate::amx::{DEPTH, Tiles};
use crate::decode::Pages;
#[cfg(target_arch = "x86_64")]
use crate::product::Product;
use crate::simd::{LANES, Level, lanes_sum, level, simd};

/// Independent chains of multiply-adds: more than latency times units of any current processor.
const CHAINS: usize = 12;
/// Multiply-adds of each chain between two looks at the clock.
const ROUNDS: usize = 4_000_000;
/// Products of tiles in a round, each with sums of its own.
#[cfg(target_arch = "x86_64")]
const TILE_PRODUCTS: usize = 4;
/// Rounds between two looks at the clock.
#[cfg(target_arch = "x86_64")]
const TILE_ROUNDS: usize = 200_000;
/// Elements read for the bandwidth: 256 MiB, beyond any cache that a few cores have.
const ELEMENTS: usize = 64 << 20;
/// Measurements, of which the best counts: half a second, so that a moment's other work on the machine does not matter.
const REPEATS: usize = 30;

/// f32 operations per second at best, a multiply-add counted as two.
pub fn fma_peak() -> f64 {
    let flops = (2 * CHAINS * lanes() * ROUNDS) as f64;
    flops * rayon::current_num_threads() as f64
        / fastest(|| on_all_threads(|| chains(black_box(ROUNDS), black_box(0.5))))
}

/// Operations per second at best in bfloat16 products with sums in f32; `None` where the processor has none.
pub fn bf16_peak() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512f") {
        let flops = (4 * CHAINS * LANES * ROUNDS) as f64;
        // SAFETY: the processor has the instructions.
        let body = || unsafe { bf16_chains(black_box(ROUNDS)) };
        return Some(flops * rayon::current_num_threads() as f64 / fastest(|| on_all_threads(body)));
    }
    None
}

/// Operations per second at best of AMX in bfloat16; `None` where this processor has none, or this process may not use it.
pub fn amx_peak() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    if Product::Amx.is_available() {
        let flops = (TILE_PRODUCTS * 2 * 16 * 16 * 32 * TILE_ROUNDS) as f64;
        // SAFETY: the processor has the instructions.
        let body = || unsafe { tile_rounds(black_box(TILE_ROUNDS)) };
        return Some(flops * rayon::current_num_threads() as f64 / fastest(|| on_all_threads(body)));
    }
    None
}

/// Bytes per second at best when memory, in huge pages where the system has them, is read once from end to end; 0 where
/// the system has no memory for the test.
pub fn read_bandwidth() -> f64 {
    let Ok(mut pages) = Pages::zeroed(ELEMENTS) else { return 0.0 };
    pages.words_mut().fill(1f32.to_bits());
    let elements: &[f32] = bytemuck::cast_slice(pages.words());
    let bytes = (ELEMENTS * size_of::<f32>()) as f64;
    bytes / fastest(|| elements.par_chunks(1 << 18).map(sum).sum::<f32>())
}

/// Runs `body` on every thread at once and adds up what it returns, so that none of it is optimised away.
fn on_all_threads(body: impl Fn() -> f32 + Sync) -> f32 {
    rayon::broadcast(|_| body()).into_iter().sum()
}

/// Seconds of the fastest of several calls.
fn fastest(mut body: impl FnMut() -> f32) -> f64 {
    let seconds = |_| {
        let start = Instant::now();
        black_box(body());
        start.elapsed().as_secs_f64()
    };
    (0..REPEATS).map(seconds).fold(f64::INFINITY, f64::min)
}

simd! {
    /// Sum of the elements.
    fn sum(elements: &[f32]) -> f32 {
        let mut lanes = [[0f32; LANES]; 4];
        for block in elements.chunks_exact(4 * LANES) {
            for (lanes, elements) in lanes.iter_mut().zip(block.chunks_exact(LANES)) {
                for (lane, number) in lanes.iter_mut().zip(elements) {
                    *lane += *number;
                }
            }
        }
        lanes.into_iter().map(lanes_sum).sum()
    }
}

/// Elements of the widest vector that the processor multiplies and adds.
fn lanes() -> usize {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => 16,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => 8,
        Level::Baseline => 4,
    }
}

/// `rounds` multiply-adds `x = x / 2 + 1 / 2` in each lane of each chain, and the sum of all lanes. They converge to 1, so
/// nothing becomes denormal. Written for each level by hand: a compiler may well turn the loops inside out, and then
/// every multiply-add waits for the one before.
fn chains(rounds: usize, start: f32) -> f32 {
    match level() {
        // SAFETY: `level` has found these instructions on this processor.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { avx512_chains(rounds, start) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2_chains(rounds, start) },
        Level::Baseline => {
            let mut chains = [[start; 4]; CHAINS];
            for _ in 0..rounds {
                chains = chains.map(|chain| chain.map(|lane| lane * 0.5 + 0.5));
            }
            chains.iter().flatten().sum()
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512_chains(rounds: usize, start: f32) -> f32 {
    use std::arch::x86_64::*;
    let half = _mm512_set1_ps(0.5);
    let mut chains = [_mm512_set1_ps(start); CHAINS];
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm512_fmadd_ps(*chain, half, half);
        }
    }
    chains.into_iter().map(|chain| _mm512_reduce_add_ps(chain)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2_chains(rounds: usize, start: f32) -> f32 {
    use std::arch::x86_64::*;
    let half = _mm256_set1_ps(0.5);
    let mut chains = [_mm256_set1_ps(start); CHAINS];
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm256_fmadd_ps(*chain, half, half);
        }
    }
    let mut sum = _mm256_setzero_ps();
    for chain in chains {
        sum = _mm256_add_ps(sum, chain);
    }
    let mut lanes = [0f32; 8];
    // SAFETY: there is room for eight elements.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
    lanes.iter().sum()
}

/// `rounds` dot-product instructions (two multiply-adds per lane) in each chain.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn bf16_chains(rounds: usize) -> f32 {
    use std::arch::x86_64::*;
    let factors = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1e-3), _mm512_set1_ps(1e-3));
    let mut chains = [_mm512_setzero_ps(); CHAINS];
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm512_dpbf16_ps(*chain, factors, factors);
        }
    }
    chains.into_iter().map(|chain| _mm512_reduce_add_ps(chain)).sum()
}

/// `rounds` times four products of two tiles of ones by two, and the sum of all their sums.
///
/// # Safety
/// AMX is available, and this thread holds no tiles.
#[cfg(target_arch = "x86_64")]
unsafe fn tile_rounds(rounds: usize) -> f32 {
    /// Two bfloat16.
    const ONES: u32 = 0x3f80_3f80;
    let (ones, mut sums) = ([ONES; DEPTH * DEPTH / 2], [0f32; DEPTH * DEPTH]);
    // SAFETY: the caller's. The tiles are whole; the loads read one KiB, the stores write four.
    unsafe {
        let _tiles = Tiles::configure();
        std::arch::asm!(
            "tileloadd tmm4, [{ones} + {row}]",
            "tileloadd tmm5, [{ones} + {row}]",
            "tileloadd tmm6, [{ones} + {row}]",
            "tileloadd tmm7, [{ones} + {row}]",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {rounds}",
            "jnz 2b",
            "tilestored [{sums} + {row}], tmm0",
            "tilestored [{sums} + {row} + 1024], tmm1",
            "tilestored [{sums} + {row} + 2048], tmm2",
            "tilestored [{sums} + {row} + 3072], tmm3",
            ones = in(reg) ones.as_ptr(), sums = in(reg) sums.as_mut_ptr(), row = in(reg) 64usize,
            rounds = inout(reg) rounds => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
            out("tmm7") _, options(nostack)
        );
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn amx_rounds_do_what_is_counted() {
        if crate::amx::emulator::is_ready() {
            // SAFETY: AMX is there, and this thread has no tiles.
            let operations = 2.0 * unsafe { tile_rounds(3) };
            assert_eq!(operations, (3 * TILE_PRODUCTS * 2 * 16 * 16 * 32) as f32);
        }
    }

    #[test]
    fn the_chains_do_what_is_counted() {
        // x = (x + 1) / 2 from 0 on: after three rounds 7/8, in every lane of every chain.
        assert_eq!(chains(3, 0.0), 0.875 * (CHAINS * lanes()) as f32);
        assert_eq!(sum(&vec![1.0; 8 * LANES]), 8.0 * LANES as f32);
    }
}
