//! The optimizer's update and the norm of a gradient; neither takes part in autodiff.

use super::buffer::{contiguous, owned, primitive, slice, slice_mut};
use burn::backend::Flex;
use burn::tensor::Tensor;
use percept_kernels::AdamW;

/// See [`crate::ops::adamw`].
pub fn adamw(
    param: Tensor<1>,
    grad: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    hyper: &AdamW,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let [mut param, mut m, mut v] = [param, m, v].map(|x| owned(primitive(x)));
    let grad = contiguous(primitive(grad));
    hyper.update(slice_mut(&mut param), slice(&grad), slice_mut(&mut m), slice_mut(&mut v));
    (Tensor::from_primitive::<Flex>(param), Tensor::from_primitive::<Flex>(m), Tensor::from_primitive::<Flex>(v))
}

/// See [`crate::ops::squared_norm`].
pub fn squared_norm(x: Tensor<1>) -> f64 {
    percept_kernels::squared_norm(slice(&contiguous(primitive(x))))
}
