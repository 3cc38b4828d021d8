//! What the tests of operations share: random tensors and a finite-difference check, in f64.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Flat f64 numbers in -1..1, a function of the shape alone.
pub(crate) fn random(shape: &[usize], device: &Device) -> Tensor<1> {
    let count: usize = shape.iter().product();
    let mut state = shape.iter().fold(0x9e37_79b9_u64, |s, n| s.wrapping_mul(31).wrapping_add(*n as u64));
    let values: Vec<f64> = (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [count]), (device, DType::F64))
}

/// All elements, as f64.
pub(crate) fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.try_into_vec_as().expect("a tensor that can be read")
}

/// The sum of `y` with fixed uneven weights: a scalar whose gradient reaches every element differently.
pub(crate) fn weighted<const D: usize>(y: Tensor<D>) -> Tensor<1> {
    let count = y.shape().num_elements();
    let weights = random(&[count, 7], &y.device()).narrow(0, 0, count).cast(y.dtype());
    (y.reshape([count]) * weights).sum()
}

/// Compares the gradients of `function`, whose arguments are flat f64 tensors of these sizes, with central differences.
pub(crate) fn gradients_agree<const D: usize>(shapes: &[&[usize]], function: impl Fn(&[Tensor<1>]) -> Tensor<D>) {
    let device = Device::flex();
    let inputs: Vec<Tensor<1>> = shapes.iter().map(|shape| random(shape, &device)).collect();
    let tracked: Vec<_> = inputs.iter().map(|x| x.clone().autodiff().require_grad()).collect();
    let gradients = weighted(function(&tracked)).backward();
    let value = |inputs: &[Tensor<1>]| weighted(function(inputs)).into_scalar::<f64>();
    for (which, tracked) in tracked.iter().enumerate() {
        let gradient = numbers(tracked.grad(&gradients).expect("a gradient"));
        for (index, gradient) in gradient.iter().enumerate() {
            let step = |by: f64| {
                let mut values = numbers(inputs[which].clone());
                values[index] += by;
                let mut moved = inputs.clone();
                moved[which] = Tensor::from_data(TensorData::new(values, inputs[which].dims()), (&device, DType::F64));
                value(&moved)
            };
            let difference = (step(1e-5) - step(-1e-5)) / 2e-5;
            assert!(
                (gradient - difference).abs() < 1e-6 * (1.0 + difference.abs()),
                "input {which}, element {index}: gradient {gradient}, difference {difference}"
            );
        }
    }
}
