//! How fast the products of training are in each format that this processor has.

use std::time::{Duration, Instant};

use super::cases::elements;
use crate::{Linear, Precision, Product, WeightOrder};

/// Rows that the products have: enough that packing a weight counts for little, as in a training step.
const ROWS: usize = 1024;
/// Wider products are no faster, and would need much memory.
const WIDEST: usize = 1024;
/// Rounds that are measured at least.
const FEWEST: usize = 5;
/// Rounds among which each format has one, in all likelihood, that nothing disturbed.
const MANY: usize = 15;
/// Short products are repeated for this long.
const SHORT: Duration = Duration::from_millis(60);
/// Many rounds of long products are not waited for.
const LONG: Duration = Duration::from_millis(300);

/// The speed of products in one format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProductRate {
    /// The format of their operands.
    pub precision: Precision,
    /// The instructions that they are made of.
    pub instructions: &'static str,
    /// Operations per second, a multiply-add counted as two.
    pub flops_per_second: f64,
}

/// Measures a linear map from `width` channels to as many, forward and backward, in every format that this processor has, the more exact ones
/// first, on all threads of the pool.
///
/// The formats take turns and the fastest turn of each counts, so that a moment's other work on the machine does not decide.
///
/// ```
/// use percept_kernels::{Precision, bench::product_rates};
/// let rates = product_rates(32);
/// assert_eq!(rates[0].precision, Precision::F32);
/// assert!(rates.iter().all(|rate| rate.precision.is_supported() && rate.flops_per_second > 0.0));
/// ```
pub fn product_rates(width: usize) -> Vec<ProductRate> {
    let width = width.clamp(1, WIDEST);
    let mut step = Step::new(width);
    let offered = Precision::ALL.into_iter().filter(|precision| precision.is_supported());
    let mut formats: Vec<_> =
        offered.map(|precision| (precision, Product::of(precision).instructions(), f64::INFINITY)).collect();
    let (begin, mut rounds) = (Instant::now(), 0);
    while rounds < FEWEST || begin.elapsed() < if rounds < MANY { LONG } else { SHORT } {
        for (precision, _, fastest) in &mut formats {
            let begin = Instant::now();
            step.run(*precision);
            *fastest = fastest.min(begin.elapsed().as_secs_f64());
        }
        rounds += 1;
    }
    let flops = (3 * 2 * ROWS * width * width) as f64;
    let rate = |(precision, instructions, seconds)| {
        // A clock may be coarser than a very small product.
        let flops_per_second = flops / f64::max(seconds, 1e-9);
        ProductRate { precision, instructions, flops_per_second }
    };
    formats.into_iter().map(rate).collect()
}

/// A linear map with its gradients.
struct Step {
    width: usize,
    x: Vec<f32>,
    weight: Vec<f32>,
    y: Vec<f32>,
    dx: Vec<f32>,
    dweight: Vec<f32>,
}

impl Step {
    fn new(width: usize) -> Self {
        let rows = || vec![0.0; ROWS * width];
        let (x, weight) = (elements(ROWS * width), elements(width * width));
        Self { width, x, weight, y: rows(), dx: rows(), dweight: vec![0.0; width * width] }
    }

    /// All three products; the output stands for its own gradient.
    fn run(&mut self, precision: Precision) {
        let Self { width, x, weight, y, dx, dweight } = self;
        let order = WeightOrder::InputOutput;
        let linear = Linear { rows: ROWS, input: *width, output: *width, order, precision };
        linear.forward(x, weight, None, y);
        linear.input_gradient(y, weight, dx);
        linear.weight_gradient(x, y, dweight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_of_this_processor_is_measured_by_all_three_products() {
        let measured: Vec<Precision> = product_rates(8).iter().map(|rate| rate.precision).collect();
        let offered: Vec<Precision> = Precision::ALL.into_iter().filter(|precision| precision.is_supported()).collect();
        assert_eq!(measured, offered);
        let mut step = Step::new(8);
        step.run(Precision::F32);
        assert!([&step.y, &step.dx, &step.dweight].iter().all(|output| output.iter().any(|element| *element != 0.0)));
    }
}
