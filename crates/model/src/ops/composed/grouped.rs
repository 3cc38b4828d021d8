//! Convolutions and linear maps of groups of channels.

use burn::tensor::Tensor;

use super::product::product;

/// See [`crate::ops::grouped`].
pub fn grouped(x: Tensor<3>, taps: Tensor<2>, groups: usize) -> Tensor<3> {
    let ([batch, rows, channels], [depth, outputs]) = (x.dims(), taps.dims());
    let (input, output) = (channels / groups, outputs / groups);
    let taps = taps.reshape([depth / input, input, groups, output]).permute([0, 2, 1, 3]);
    let x = x.reshape([batch, rows, groups, input]).permute([2, 0, 1, 3]);
    let mut y = Tensor::<3>::zeros([groups, batch * rows, output], (&x.device(), x.dtype()));
    for back in 0..(depth / input).min(rows) {
        let seen = match back {
            0 => x.clone(),
            _ => {
                let none = Tensor::zeros([groups, batch, back, input], (&x.device(), x.dtype()));
                Tensor::cat(vec![none, x.clone().narrow(2, 0, rows - back)], 2)
            }
        };
        let taps = taps.clone().narrow(0, back, 1).reshape([groups, input, output]);
        y = y + product(seen.reshape([groups, batch * rows, input]), taps);
    }
    y.reshape([groups, batch, rows, output]).permute([1, 2, 0, 3]).reshape([batch, rows, outputs])
}

#[cfg(test)]
mod tests {
    use super::super::check::gradients_agree;
    use super::*;

    #[test]
    fn gradients_agree_with_finite_differences() {
        for (width, rows) in [(1, 3), (3, 5), (4, 2)] {
            gradients_agree(&[&[2, rows, 4], &[2 * width, 6]], |t| {
                grouped(t[0].clone().reshape([2, rows, 4]), t[1].clone().reshape([2 * width, 6]), 2)
            });
        }
    }
}
