//! RWKV-7's recurrence, row by row.

use burn::tensor::Tensor;

/// See [`crate::ops::wkv7`] and [`crate::ops::wkv7_from`].
pub fn wkv7(inputs: [Tensor<4>; 6], mut state: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let [batch, rows, heads, width] = inputs[0].dims();
    let mut outputs = Vec::with_capacity(rows);
    for row in 0..rows {
        // A row of each, as a row of a matrix per head.
        let [r, w, k, v, a, b] =
            inputs.each_ref().map(|input| input.clone().narrow(1, row, 1).reshape([batch, heads, 1, width]));
        let removed = state.clone().matmul(a.swap_dims(2, 3));
        state = state * w.exp() + removed.matmul(b) + v.swap_dims(2, 3).matmul(k);
        outputs.push(state.clone().matmul(r.swap_dims(2, 3)).reshape([batch, 1, heads, width]));
    }
    (Tensor::cat(outputs, 1), state)
}

#[cfg(test)]
mod tests {
    use super::super::check::gradients_agree;
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn gradients_agree_with_finite_differences() {
        let dims = [2, 4, 2, 3];
        let [a, b, c] = [[2, 4, 6, 1], [2, 4, 3, 2], [4, 2, 3, 2]];
        gradients_agree(&[&dims, &a, &b, &c, &[4, 2, 6], &[6, 8]], |t| {
            let inputs: [Tensor<4>; 6] = std::array::from_fn(|i| t[i].clone().reshape(dims));
            let state = Tensor::zeros([2, 2, 3, 3], (&Device::flex(), DType::F64));
            let state = if inputs[0].is_autodiff() { state.autodiff() } else { state };
            wkv7(inputs, state).0
        });
    }
}
