//! Several processes (or threads) that train one model together, each on its share of the data.

use percept_fault::Result;
use percept_model::parameters::Tensors;

/// The ranks of a run, as one of them sees them. All call the same methods in the same order, and what each gets back is equal in
/// every bit, so that their models stay equal.
///
/// Where a rank is gone, the others get a fault instead of waiting for ever.
pub trait Ranks {
    /// Which one this is, from 0. Rank 0 writes the files, validates, and tells what happens.
    fn rank(&self) -> usize;

    /// How many there are.
    fn world(&self) -> usize;

    /// The sum of each tensor over the ranks; all have the same paths.
    ///
    /// # Errors
    /// Environment: a rank is gone.
    fn all_reduce(&self, tensors: Tensors) -> Result<Tensors>;

    /// Replaces numbers by their sums over the ranks; counts below 2^53 stay exact.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    fn sum(&self, numbers: &mut [f64]) -> Result<()>;

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    fn barrier(&self) -> Result<()>;
}

/// One process that has all the data: nothing is exchanged, nothing copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn all_reduce(&self, tensors: Tensors) -> Result<Tensors> {
        Ok(tensors)
    }

    fn sum(&self, _numbers: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn barrier(&self) -> Result<()> {
        Ok(())
    }
}
