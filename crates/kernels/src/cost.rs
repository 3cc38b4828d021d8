//! What matrix products cost, as formulas and as a count of those that were executed.
//!
//! The count is two atomic additions per product, each of which takes microseconds at least.

use std::iter::Sum;
use std::ops::{Add, Mul};
use std::sync::atomic::{AtomicU64, Ordering};

static MACS: AtomicU64 = AtomicU64::new(0);
static ELEMENTS: AtomicU64 = AtomicU64::new(0);

/// The cost of matrix products and convolutions. Nothing else is counted: norms, activations and the optimizer are bound by memory.
///
/// ```
/// use percept_kernels::Cost;
/// let step = Cost::of_product(1, 512, 256);
/// let window = Cost::of_product(1024, 512, 256);
/// assert_eq!(window.macs, 1024 * step.macs);
/// // One token at a time, the weight is read for every token.
/// assert!(step.elements * 1024 > 100 * window.elements);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulates; each is two floating-point operations.
    pub macs: u64,
    /// Elements that the products read and write, each operand and result once per product. Caches make it less.
    pub elements: u64,
}

impl Cost {
    /// `[m, k] * [k, n]`. The two products of its backward pass cost the same each.
    pub fn of_product(m: usize, n: usize, k: usize) -> Self {
        let [m, n, k] = [m, n, k].map(|size| size as u64);
        // What is more than a number holds is the largest one: plans are made of sizes that nobody can run.
        let product = |a: u64, b: u64| a.saturating_mul(b);
        let elements = product(m, k).saturating_add(product(k, n)).saturating_add(product(m, n));
        Self { macs: product(product(m, n), k), elements }
    }

    /// All products of this process so far.
    pub fn executed() -> Self {
        Self { macs: MACS.load(Ordering::Relaxed), elements: ELEMENTS.load(Ordering::Relaxed) }
    }

    /// What was executed since `earlier`.
    pub fn since(earlier: Self) -> Self {
        let now = Self::executed();
        Self { macs: now.macs - earlier.macs, elements: now.elements - earlier.elements }
    }
}

/// Counts a product that is executed.
pub(crate) fn count(m: usize, n: usize, k: usize) {
    count_cost(Cost::of_product(m, n, k));
}

/// Counts work that is executed.
pub(crate) fn count_cost(cost: Cost) {
    MACS.fetch_add(cost.macs, Ordering::Relaxed);
    ELEMENTS.fetch_add(cost.elements, Ordering::Relaxed);
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { macs: self.macs.saturating_add(other.macs), elements: self.elements.saturating_add(other.elements) }
    }
}

impl Mul<u64> for Cost {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self { macs: self.macs.saturating_mul(times), elements: self.elements.saturating_mul(times) }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}
