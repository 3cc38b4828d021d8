//! Depthwise causal convolution.

use burn::tensor::Tensor;

/// See [`crate::ops::convolution`].
pub fn convolution(x: Tensor<3>, taps: Tensor<2>) -> Tensor<3> {
    let ([batch, rows, channels], [width, _]) = (x.dims(), taps.dims());
    let tap = |back: usize| taps.clone().narrow(0, back, 1).unsqueeze::<3>();
    let mut y = x.clone() * tap(0);
    for back in 1..width.min(rows) {
        let shifted = x.clone().narrow(1, 0, rows - back) * tap(back);
        let none = Tensor::zeros([batch, back, channels], (&x.device(), x.dtype()));
        y = y + Tensor::cat(vec![none, shifted], 1);
    }
    y
}

#[cfg(test)]
mod tests {
    use super::super::check::gradients_agree;
    use super::*;

    #[test]
    fn gradients_agree_with_finite_differences() {
        for rows in [5, 2] {
            gradients_agree(&[&[2, rows, 4], &[3, 4]], |t| {
                convolution(t[0].clone().reshape([2, rows, 4]), t[1].clone().reshape([3, 4]))
            });
        }
    }
}
