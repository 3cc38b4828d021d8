//! Several processes (or threads) that train one model together, each on its share of the data.

use percept_fault::Result;
use percept_model::parameters::Tensors;

/// The ranks of a run, as one of them sees them. All call the same methods in the same order, and what each gets back is equal in
/// every bit, so that their models stay equal.
///
/// Where a rank is gone, the others get a fault instead of waiting for ever.
///
/// ```
/// use std::sync::{Barrier, Mutex};
/// use burn::tensor::Tensor;
/// use percept_fault::Result;
/// use percept_model::parameters::Tensors;
/// use percept_train::Ranks;
///
/// /// What two threads share.
/// struct Pair {
///     barrier: Barrier,
///     numbers: Mutex<[Vec<f64>; 2]>,
/// }
///
/// struct Rank<'a>(usize, &'a Pair);
///
/// impl Ranks for Rank<'_> {
///     fn rank(&self) -> usize {
///         self.0
///     }
///
///     fn world(&self) -> usize {
///         2
///     }
///
///     fn all_reduce(&self, mut tensors: Tensors) -> Result<Tensors> {
///         for tensor in tensors.values_mut() {
///             let mut elements: Vec<f64> = tensor.to_data().iter::<f64>().collect();
///             self.sum(&mut elements)?;
///             *tensor = Tensor::from_data(elements.as_slice(), &tensor.device());
///         }
///         Ok(tensors)
///     }
///
///     fn sum(&self, numbers: &mut [f64]) -> Result<()> {
///         let Rank(rank, pair) = self;
///         pair.numbers.lock().unwrap()[*rank] = numbers.to_vec();
///         self.barrier()?;
///         let [first, second] = pair.numbers.lock().unwrap().clone();
///         numbers.iter_mut().zip(first.iter().zip(second)).for_each(|(number, (a, b))| *number = a + b);
///         self.barrier()
///     }
///
///     fn barrier(&self) -> Result<()> {
///         self.1.barrier.wait();
///         Ok(())
///     }
/// }
///
/// let pair = Pair { barrier: Barrier::new(2), numbers: Mutex::default() };
/// let mean = |rank: usize| {
///     let gradient = Tensor::from_floats([[1.0, 10.0], [3.0, 30.0]][rank], &Default::default());
///     let sum = Rank(rank, &pair).all_reduce([("weight".to_owned(), gradient)].into())?;
///     Ok::<_, percept_fault::Fault>((sum["weight"].clone() / 2.0).into_data())
/// };
/// let [first, second] = std::thread::scope(|scope| {
///     [0, 1].map(|rank| scope.spawn(move || mean(rank))).map(|thread| thread.join().unwrap())
/// });
/// assert_eq!(first?.as_slice::<f32>().unwrap(), [2.0, 20.0]);
/// assert_eq!(second?.as_slice::<f32>().unwrap(), [2.0, 20.0]);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
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
