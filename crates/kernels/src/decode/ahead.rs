//! Weights are fetched a few pieces before they are multiplied, on processors that were measured to be faster so.
//!
//! Intel's prefetchers stop at the end of each page of 4 KiB, where a core that multiplies as it reads waits for memory. On Zen 4
//! this has not been measured, and nothing is fetched (docs/decisions/0027).

use std::sync::OnceLock;

use super::codec::PANEL;

/// Words of a piece: 2 KiB.
const PIECE: usize = 512;
/// Pieces from the one that is used to the one that is fetched.
const DISTANCE: usize = 4;

const _: () = assert!(PIECE.is_multiple_of(PANEL), "pieces are whole groups of a panel");

/// Calls `body` with the words in order, piece by piece, and the place of the first of each.
pub(super) fn each(words: &[u32], mut body: impl FnMut(usize, &[u32])) {
    if !pays() {
        return body(0, words);
    }
    fetch(&words[..words.len().min(DISTANCE * PIECE)]);
    for (index, piece) in words.chunks(PIECE).enumerate() {
        if let Some(later) = words.get((index + DISTANCE) * PIECE..) {
            fetch(&later[..later.len().min(PIECE)]);
        }
        body(index * PIECE, piece);
    }
}

/// Whether this processor is one of those.
fn pays() -> bool {
    static PAYS: OnceLock<bool> = OnceLock::new();
    *PAYS.get_or_init(is_intel)
}

#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
}

#[cfg(not(target_arch = "x86_64"))]
fn is_intel() -> bool {
    false
}

/// Asks for these words to be brought into the second-level cache.
#[cfg(target_arch = "x86_64")]
fn fetch(words: &[u32]) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    for line in words.chunks(64 / size_of::<u32>()) {
        // SAFETY: every x86-64 processor has the instruction, and nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
}

/// Other processors have not been tried.
#[cfg(not(target_arch = "x86_64"))]
fn fetch(_: &[u32]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole_in_order() {
        for length in [PANEL, PIECE, PIECE + PANEL, 9 * PIECE + PANEL] {
            let words: Vec<u32> = (0..length as u32).collect();
            let mut seen = Vec::new();
            each(&words, |place, piece| {
                assert_eq!((place, place % PANEL), (seen.len(), 0));
                seen.extend_from_slice(piece);
            });
            assert_eq!(seen, words);
        }
    }
}
