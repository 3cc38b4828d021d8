//! Random numbers of one question.

use percept_random::{Permutation, below};

/// The symbols of tasks, in the order in which a smaller alphabet takes them.
pub(crate) const SYMBOLS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Values of the options that only one problem has, in the order of its row; 0 where there is none.
pub(super) type Own = [usize; 2];

/// A sequence that depends on a seed and the index of the document alone.
#[derive(Debug)]
pub(super) struct Draws {
    seed: u64,
    index: u64,
    next: u64,
}

impl Draws {
    pub(super) fn new(seed: u64, index: u64) -> Self {
        Self { seed, index, next: 0 }
    }

    fn key(&mut self) -> [u64; 3] {
        self.next += 1;
        [self.seed, self.index, self.next - 1]
    }

    /// A number below `bound`, which is above 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        below(bound as u64, &self.key()) as usize
    }

    /// One of `alphabet`.
    pub(super) fn symbol(&mut self, alphabet: &[u8]) -> u8 {
        alphabet[self.below(alphabet.len())]
    }

    /// `count` of `alphabet`, each drawn by itself.
    pub(super) fn symbols(&mut self, alphabet: &[u8], count: usize) -> Vec<u8> {
        (0..count).map(|_| self.symbol(alphabet)).collect()
    }

    /// `count` different numbers below `size`, in random order.
    pub(super) fn different(&mut self, count: usize, size: usize) -> Vec<usize> {
        let order = Permutation::new(size as u64, &self.key());
        (0..count as u64).map(|index| order.apply(index) as usize).collect()
    }
}
