//! Matrix products in the precision of the scope.

use burn::tensor::{DType, Tensor};

use crate::ops::precision::{Precision, current};

/// `a * b`. In a scope of bf16 ([`crate::ops::in_precision`]) the operands of f32 tensors are rounded to it, and so is the result,
/// as the matrix units of a GPU take and give it; gradients flow through the same products.
pub(super) fn product<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    match (current(), a.dtype()) {
        (Precision::Bf16, DType::F32) => a.cast(DType::BF16).matmul(b.cast(DType::BF16)).cast(DType::F32),
        _ => a.matmul(b),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{numbers, random};
    use super::*;
    use crate::ops::in_precision;
    use burn::tensor::Device;

    /// The product of two random matrices, and the gradient of a weighted sum of it with respect to the first.
    fn run(precision: Precision, dtype: DType) -> [Vec<f64>; 2] {
        let device = Device::flex().autodiff();
        let matrix = |shape: [usize; 2]| random(&shape, &device).cast(dtype).reshape(shape).require_grad();
        let (a, b) = (matrix([7, 40]), matrix([40, 5]));
        let y = in_precision(precision, || product(a.clone(), b));
        let weights = matrix([7, 5]).detach();
        let gradients = (y.clone() * weights).sum().backward();
        [numbers(y), numbers(a.grad(&gradients).unwrap())]
    }

    #[test]
    fn bf16_rounds_products_and_gradients_of_f32_and_nothing_else() {
        let exact = run(Precision::F32, DType::F64);
        assert_eq!(run(Precision::Bf16, DType::F64), exact);
        for (rounded, exact) in run(Precision::Bf16, DType::F32).iter().zip(&exact) {
            let size = exact.iter().fold(0.0f64, |size, x| size.max(x.abs()));
            let worst = rounded.iter().zip(exact).fold(0.0f64, |worst, (a, b)| worst.max((a - b).abs())) / size;
            assert!((1e-4..2e-2).contains(&worst), "{worst}");
        }
    }
}
