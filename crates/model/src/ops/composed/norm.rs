//! Normalisation over the last dimension.

use burn::tensor::Tensor;

/// `x / sqrt(mean(x^2) + eps) * gamma` (RMSNorm, arXiv 1910.07467).
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, eps: f64) -> Tensor<D> {
    let scale = x.clone().square().mean_dim(D - 1).add_scalar(eps).sqrt().recip();
    x * scale * gamma.unsqueeze()
}

/// `(x - mean) / sqrt(var + eps) * gamma + beta`, with the biased variance (LayerNorm, arXiv 1607.06450).
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Option<Tensor<1>>, eps: f64) -> Tensor<D> {
    let centred = x.clone() - x.mean_dim(D - 1);
    let y = rms_norm(centred, gamma, eps);
    match beta {
        Some(beta) => y + beta.unsqueeze(),
        None => y,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients_agree, numbers};
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn a_row_is_normalised() {
        let x = Tensor::<2>::from_data([[1.0f64, 2.0, 3.0, 6.0]], (&Device::flex(), DType::F64));
        let gamma = Tensor::<1>::from_data([1.0f64, 1.0, 2.0, 1.0], (&Device::flex(), DType::F64));
        let y = numbers(layer_norm(x.clone(), gamma.clone(), Some(gamma.clone()), 0.0));
        let deviation = 3.5f64.sqrt();
        for (y, expected) in y.iter().zip([-2.0 / deviation + 1.0, -1.0 / deviation + 1.0, 2.0, 3.0 / deviation + 1.0])
        {
            assert!((y - expected).abs() < 1e-12);
        }
        let y = numbers(rms_norm(x, gamma, 0.0));
        assert!((y[2] - 6.0 / 12.5f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        gradients_agree(&[&[2, 3, 5], &[5]], |t| rms_norm(t[0].clone().reshape([2, 3, 5]), t[1].clone(), 1e-5));
        gradients_agree(&[&[2, 3, 5], &[5], &[5]], |t| {
            layer_norm(t[0].clone().reshape([2, 3, 5]), t[1].clone(), Some(t[2].clone()), 1e-5)
        });
    }
}
