//! RWKV's token shift from tensor operations.

use burn::tensor::Tensor;

/// See [`crate::ops::shift`].
pub fn shift(x: Tensor<3>, first: Tensor<2>, mix: Tensor<1>) -> Tensor<3> {
    let [_, rows, _] = x.dims();
    let first = first.unsqueeze_dim::<3>(1);
    let before = match rows {
        1 => first,
        _ => Tensor::cat(vec![first, x.clone().narrow(1, 0, rows - 1)], 1),
    };
    before.clone() + (x - before) * mix.unsqueeze::<3>()
}
