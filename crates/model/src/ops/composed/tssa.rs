//! Causal token statistics self-attention.

use burn::tensor::{Tensor, TensorData, activation::softmax};
use percept_kernels::Tssa;

/// Rows that are summed by one product.
const ROWS: usize = 128;

/// A running sum over the rows of a window.
struct Running {
    /// `[b, t, n]`.
    totals: Tensor<3>,
    /// After the last row, `[b, 2, n]`: the sum, and what its number format does not hold of it.
    pair: Tensor<3>,
}

/// See [`crate::ops::tssa`].
pub fn tssa(u: Tensor<3>, temperature: Tensor<1>, offsets: Tensor<2>, tssa: &Tssa) -> Tensor<3> {
    let zero = |width: usize| Tensor::zeros([tssa.batch, 2, width], (&u.device(), u.dtype()));
    let sums = [tssa.channels(), tssa.channels(), tssa.heads].map(zero);
    tssa_extend(u, temperature, offsets, sums, tssa).0
}

/// See [`crate::ops::tssa_extend`].
pub fn tssa_extend(
    u: Tensor<3>,
    temperature: Tensor<1>,
    offsets: Tensor<2>,
    [energy, numerator, mass]: [Tensor<3>; 3],
    tssa: &Tssa,
) -> (Tensor<3>, [Tensor<3>; 3]) {
    let Tssa { batch, rows, heads, width, .. } = *tssa;
    // A head's numbers, for each of its channels.
    let spread = |x: Tensor<3>| {
        x.reshape([batch, rows, heads, 1]).expand([batch, rows, heads, width]).reshape([batch, rows, heads * width])
    };
    let squares = u.clone().square();
    let energy = running(squares.clone(), energy, tssa.decay);
    let ratios = squares.clone() / energy.totals.clamp_min(1e-12);
    let ratios = ratios.reshape([batch, rows, heads, width]).sum_dim(3).reshape([batch, rows, heads]);
    let scales: Vec<f64> = (0..rows).map(|row| tssa.scale(tssa.start + row)).collect();
    let scales = Tensor::<3>::from_data(TensorData::new(scales, [1, rows, 1]), (&u.device(), u.dtype()));
    let logits = (ratios * scales + offsets.unsqueeze()) * temperature.unsqueeze();
    let weights = softmax(logits, 2);
    let mass = running(weights.clone(), mass, tssa.decay);
    let weights = spread(weights);
    let numerator = running(weights.clone() * squares, numerator, tssa.decay);
    let gate = numerator.totals / spread(mass.totals + 1e-8) + 1.0;
    ((weights * u / gate).neg(), [energy.pair, numerator.pair, mass.pair])
}

/// Sums of `x [b, t, n]` that go on from `carried [b, 2, n]`: total_t = decay total_(t - 1) + x_t.
fn running(x: Tensor<3>, carried: Tensor<3>, decay: f64) -> Running {
    let ([batch, rows, width], device, dtype) = (x.dims(), x.device(), x.dtype());
    let powers = |count: usize| {
        let powers: Vec<f64> = (1..=count).map(|row| decay.powi(row as i32)).collect();
        Tensor::<3>::from_data(TensorData::new(powers, [1, count, 1]), (&device, dtype))
    };
    // What the window adds by itself, block by block.
    let mut own = Tensor::<3>::zeros([batch, 1, width], (&device, dtype));
    let mut blocks = Vec::with_capacity(rows.div_ceil(ROWS));
    for first in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - first);
        let factors: Vec<f64> = (0..count * count)
            .map(|at| (at / count, at % count))
            .map(|(row, from)| if from > row { 0.0 } else { decay.powi((row - from) as i32) })
            .collect();
        let factors = Tensor::<2>::from_data(TensorData::new(factors, [count, count]), (&device, dtype));
        let factors = factors.unsqueeze::<3>().expand([batch, count, count]);
        let sums = factors.matmul(x.clone().narrow(1, first, count)) + own * powers(count);
        own = sums.clone().narrow(1, count - 1, 1);
        blocks.push(sums);
    }
    let factor = decay.powf(rows as f64);
    let high = carried.clone().narrow(1, 0, 1) * factor;
    let added = own + carried.clone().narrow(1, 1, 1) * factor;
    let total = high.clone() + added.clone();
    // The rest of a sum in floating point, exactly (Knuth's two-sum).
    let of_added = total.clone() - high.clone();
    let rest = (high - (total.clone() - of_added.clone())) + (added - of_added);
    let totals = Tensor::cat(blocks, 1);
    let totals = totals + carried.sum_dim(1) * powers(rows);
    Running { totals, pair: Tensor::cat(vec![total, rest], 1) }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients_agree, numbers, random};
    use super::*;
    use burn::tensor::{DType, Device};
    use percept_kernels::Routing;

    fn tssa_of(rows: usize, decay: f64) -> Tssa {
        Tssa { batch: 2, rows, heads: 3, width: 2, decay, routing: Routing::LengthScaled, start: 4 }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for (rows, decay) in [(5, 1.0), (4, 0.7)] {
            let rule = tssa_of(rows, decay);
            gradients_agree(&[&[2, rows, 6], &[3], &[rows, 3]], |t| {
                tssa(t[0].clone().reshape([2, rows, 6]), t[1].clone() + 1.0, t[2].clone().reshape([rows, 3]), &rule)
            });
        }
    }

    #[test]
    fn sums_go_on_across_blocks() {
        let device = Device::flex();
        for decay in [1.0, 0.97] {
            let rows = 2 * ROWS + 5;
            let x = random(&[rows, 2], &device).reshape([1, rows, 2]);
            let carried = Tensor::<3>::from_data([[[3.0f64, -1.0], [0.5, 0.25]]], (&device, DType::F64));
            let sums = running(x.clone(), carried, decay);
            let (totals, x) = (numbers(sums.totals), numbers(x));
            let mut expected = [3.5, -0.75];
            for (totals, x) in totals.chunks(2).zip(x.chunks(2)) {
                for (expected, (total, x)) in expected.iter_mut().zip(totals.iter().zip(x)) {
                    *expected = decay * *expected + x;
                    assert!((total - *expected).abs() < 1e-12);
                }
            }
            let pair = numbers(sums.pair);
            assert!((pair[0] + pair[2] - expected[0]).abs() < 1e-12, "{pair:?}");
        }
    }
}
