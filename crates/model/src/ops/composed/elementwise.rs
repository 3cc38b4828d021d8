//! Activations, dropout, linear maps and the embedding.

use super::product::product;
use crate::ops::Map;
use burn::tensor::{Int, Tensor, TensorData, activation};
use percept_kernels::Dropout;

/// GELU in its exact form, `x * (1 + erf(x / sqrt 2)) / 2`.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// `max(x, 0)^2` (arXiv 2305.13048, equation 19).
pub fn relu_squared<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let x = activation::relu(x);
    x.clone() * x
}

/// `silu(gate) * up`, the gate of SwiGLU (arXiv 2002.05202).
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    activation::silu(gate) * up
}

/// `1 / (1 + exp(-x))`.
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::sigmoid(x)
}

/// `tanh(x)`.
pub fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.tanh()
}

/// `value + sigmoid(share) (other - value)`.
pub fn blend<const D: usize>(share: Tensor<D>, value: Tensor<D>, other: Tensor<D>) -> Tensor<D> {
    activation::sigmoid(share) * (other - value.clone()) + value
}

/// `sigmoid(gate) * x` (GLU, arXiv 1612.08083).
pub fn glu<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    activation::sigmoid(gate) * x
}

/// `x [b, t, in] * weight [in, out] + bias [out]`.
pub fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let [batch, length, input] = x.dims();
    let output = weight.dims()[1];
    let y = product(x.reshape([batch * length, input]), weight);
    let y = match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    };
    y.reshape([batch, length, output])
}

/// See [`crate::ops::linear_by_rows`].
pub fn linear_by_rows(x: Tensor<3>, first: Map, rest: Map, split: usize) -> Tensor<3> {
    let count = x.dims()[1] - split;
    let parts = vec![
        linear(x.clone().narrow(1, 0, split), first.weight, first.bias),
        linear(x.narrow(1, split, count), rest.weight, rest.bias),
    ];
    Tensor::cat(parts, 1)
}

/// Drops elements by the hash of their flat index and scales the others.
pub fn dropout<const D: usize>(x: Tensor<D>, dropout: Option<Dropout>) -> Tensor<D> {
    let Some(dropout) = dropout.filter(|d| d.rate > 0.0) else { return x };
    let factors = TensorData::new(dropout.factors(0, x.shape().num_elements()), x.shape());
    let factors = Tensor::from_data(factors, (&x.device(), x.dtype()));
    x * factors
}

/// Rows `ids [b, t]` of `weight [v, d]`: `[b, t, d]`.
pub fn embedding(weight: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    let [batch, length] = ids.dims();
    let dim = weight.dims()[1];
    weight.select(0, ids.reshape([batch * length])).reshape([batch, length, dim])
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients_agree, numbers, random};
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn activations_have_the_known_values() {
        let device = Device::flex();
        let x = Tensor::<1>::from_data([-1.0f64, 0.5, 2.0], (&device, DType::F64));
        let gelu = numbers(gelu(x.clone()));
        for (value, known) in
            gelu.iter().zip([-0.158_655_253_931_457_07, 0.345_731_230_637_001_3, 1.954_499_736_103_641_8])
        {
            assert!((value - known).abs() < 1e-7, "{value} {known}");
        }
        let gated = numbers(swiglu(x.clone(), x));
        assert!((gated[2] - 4.0 / (1.0 + (-2.0f64).exp())).abs() < 1e-9);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        gradients_agree(&[&[2, 3, 4], &[2, 3, 4]], |t| {
            let [gate, up] = [t[0].clone().reshape([2, 3, 4]), t[1].clone().reshape([2, 3, 4])];
            swiglu::<3>(gelu(gate), up)
        });
        gradients_agree(&[&[2, 3, 4], &[4, 5], &[5]], |t| {
            linear(t[0].clone().reshape([2, 3, 4]), t[1].clone().reshape([4, 5]), Some(t[2].clone()))
        });
        gradients_agree(&[&[5, 3]], |t| {
            let ids = Tensor::<2, Int>::from_data([[0, 4, 4], [1, 4, 0]], &t[0].device());
            embedding(t[0].clone().reshape([5, 3]), ids)
        });
    }

    #[test]
    fn dropout_is_the_mask_of_the_flat_index() {
        let x = random(&[3, 4, 5], &Device::flex()).reshape([3, 4, 5]);
        let rule = Dropout { rate: 0.4, seed: 9 };
        let values = numbers(x.clone());
        let dropped = numbers(dropout::<3>(x.clone(), Some(rule)));
        assert!(dropped.contains(&0.0));
        for (index, (value, dropped)) in values.iter().zip(dropped).enumerate() {
            assert_eq!(value * f64::from(rule.factor(index as u64)), dropped);
        }
        assert_eq!(numbers(dropout::<3>(x, None)), values);
    }
}
