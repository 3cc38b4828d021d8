//! RWKV-7's time mix between its maps, row by row.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use percept_kernels::TimeMix;

use super::layer_norm;

/// See [`crate::ops::time_mix`] and [`crate::ops::time_mix_from`].
pub fn time_mix(rows: [Tensor<3>; 6], vectors: Tensor<2>, mix: &TimeMix, state: Tensor<4>) -> (Tensor<3>, Tensor<4>) {
    let [batch, count, dim] = rows[0].dims();
    let (heads, width) = (mix.heads, mix.width);
    let by_head = |x: Tensor<3>| x.reshape([batch, count, heads, width]);
    let [removal_key, rate_key, bonus, gamma, beta] =
        std::array::from_fn(|which| vectors.clone().narrow(0, which, 1).reshape([1, 1, heads, width]));
    let [r, d, k, v, alpha, gate] = rows.map(by_head);
    let decay = sigmoid(d) * -(-0.5f64).exp();
    let rate = sigmoid(alpha);
    let removed = k.clone() * removal_key;
    // As 1e-12 below the length, and with a gradient at zero.
    let length = (removed.clone().powi_scalar(2).sum_dim(3) + 1e-24).sqrt();
    let kappa = removed / length;
    let replaced = kappa.clone() * rate.clone() * f64::from(mix.removal_scale);
    let written = k * ((rate - 1.0) * rate_key + 1.0);
    let inputs = [r.clone(), decay, written.clone(), v.clone(), -kappa, replaced];
    let (y, state) = recurrence(inputs, state);
    let plain = Tensor::ones([width], (&y.device(), y.dtype()));
    let y = layer_norm(y, plain, None, f64::from(mix.eps)) * gamma + beta;
    let y = (y + (r * written * bonus).sum_dim(3) * v) * gate;
    (y.reshape([batch, count, dim]), state)
}

/// Of r, w, the written keys, v, a and b, `[b, t, h, e]` each: what is read, and the state after.
fn recurrence(inputs: [Tensor<4>; 6], mut state: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
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
        let mix = TimeMix { batch: 2, rows: 4, heads: 2, width: 3, removal_scale: 2.0, eps: 1e-3 };
        let [a, b, c] = [[2, 4, 6, 1], [2, 4, 3, 2], [4, 2, 3, 2]];
        gradients_agree(&[&[2, 4, 6], &a, &b, &c, &[4, 2, 6], &[6, 8], &[5, 6]], |t| {
            let rows: [Tensor<3>; 6] = std::array::from_fn(|i| t[i].clone().reshape([2, 4, 6]));
            let state = Tensor::zeros([2, 2, 3, 3], (&Device::flex(), DType::F64));
            let state = if rows[0].is_autodiff() { state.autodiff() } else { state };
            time_mix(rows, t[6].clone().reshape([5, 6]), &mix, state).0
        });
    }
}
