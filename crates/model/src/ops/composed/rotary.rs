//! Rotary position embedding.

use burn::tensor::{Tensor, TensorData};
use percept_kernels::{Rotary, RotaryLayout};

/// Rotates the first `rotary.channels` channels of `x [b, t, h, e]`; row 0 has absolute position `start`.
pub fn rotary(x: Tensor<4>, start: usize, rotary: &Rotary) -> Tensor<4> {
    let [batch, length, heads, width] = x.dims();
    let pairs = rotary.channels / 2;
    if pairs == 0 || length == 0 {
        return x;
    }
    let table = rotary.table(start, length);
    let options = || (&x.device(), x.dtype()).into();
    let load = |values: &[f64], options: burn::tensor::TensorCreationOptions| {
        Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, length, 1, pairs]), options)
    };
    let (cos, sin) = (load(&table.cos, options()), load(&table.sin, options()));
    let turned = x.clone().narrow(3, 0, rotary.channels);
    let rest = (rotary.channels < width).then(|| x.narrow(3, rotary.channels, width - rotary.channels));
    let turn = |a: Tensor<4>, b: Tensor<4>| {
        (a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos.clone() + a * sin.clone())
    };
    let turned = match rotary.layout {
        RotaryLayout::HalfSplit => {
            let (a, b) = turn(turned.clone().narrow(3, 0, pairs), turned.narrow(3, pairs, pairs));
            Tensor::cat(vec![a, b], 3)
        }
        RotaryLayout::Interleaved => {
            let shape = [batch, length, heads, pairs];
            let split: Tensor<5> = turned.reshape([batch, length, heads, pairs, 2]);
            let (a, b) = turn(split.clone().narrow(4, 0, 1).reshape(shape), split.narrow(4, 1, 1).reshape(shape));
            Tensor::stack::<5>(vec![a, b], 4).reshape([batch, length, heads, rotary.channels])
        }
    };
    match rest {
        Some(rest) => Tensor::cat(vec![turned, rest], 3),
        None => turned,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients_agree, numbers, random};
    use super::*;
    use burn::tensor::Device;

    const LAYOUTS: [RotaryLayout; 2] = [RotaryLayout::Interleaved, RotaryLayout::HalfSplit];

    #[test]
    fn each_pair_turns_by_its_angle_and_the_rest_stays() {
        let x = random(&[2, 3, 2, 6], &Device::flex()).reshape([2, 3, 2, 6]);
        let values = numbers(x.clone());
        for layout in LAYOUTS {
            let rule = Rotary { base: 100.0, channels: 4, layout };
            let y = numbers(rotary(x.clone(), 5, &rule));
            for row in 0..12 {
                let (before, after) = (&values[row * 6..][..6], &y[row * 6..][..6]);
                let position = 5 + row / 2 % 3;
                for pair in 0..2 {
                    let (i, j) = match layout {
                        RotaryLayout::Interleaved => (2 * pair, 2 * pair + 1),
                        RotaryLayout::HalfSplit => (pair, pair + 2),
                    };
                    let (sin, cos) = (position as f64 * 100f64.powf(-(pair as f64) / 2.0)).sin_cos();
                    assert!((after[i] - (before[i] * cos - before[j] * sin)).abs() < 1e-12);
                    assert!((after[j] - (before[j] * cos + before[i] * sin)).abs() < 1e-12);
                }
                assert_eq!(before[4..], after[4..]);
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for layout in LAYOUTS {
            let rule = Rotary { base: 10.0, channels: 4, layout };
            gradients_agree(&[&[1, 3, 2, 5]], |t| rotary(t[0].clone().reshape([1, 3, 2, 5]), 2, &rule));
        }
    }
}
