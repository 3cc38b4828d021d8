//! GELU, squared ReLU, sigmoid and tanh, and the gates of SwiGLU, of GLU and of RWKV, element by element.

use crate::simd::{Arithmetic, erf_exp, exp, simd};
use rayon::prelude::*;

/// Elements per task.
const CHUNK: usize = 16_384;

/// Runs `part` on pieces of both, which must be of one length, on all threads.
fn by_chunks(x: &[f32], y: &mut [f32], part: impl Fn(&[f32], &mut [f32]) + Sync) {
    assert_eq!(x.len(), y.len());
    x.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK)).for_each(|(x, y)| part(x, y));
}

/// `y = x * (1 + erf(x / sqrt 2)) / 2`, exact GELU.
///
/// # Panics
/// If the lengths differ.
pub fn gelu(x: &[f32], y: &mut [f32]) {
    by_chunks(x, y, gelu_part);
}

/// Turns the gradient of GELU's output into that of its input `x`.
///
/// # Panics
/// If the lengths differ.
pub fn gelu_backward(x: &[f32], grad: &mut [f32]) {
    by_chunks(x, grad, gelu_backward_part);
}

/// `y = silu(gate) * up` (arXiv 2002.05202).
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let mut y = [0.0; 2];
/// // A gate of 0 is closed.
/// percept_kernels::swiglu(&[0.0, 20.0], &[5.0, 5.0], &mut y);
/// assert!(y[0] == 0.0 && (y[1] - 100.0).abs() < 1e-4);
/// ```
pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
    assert_eq!((gate.len(), up.len()), (y.len(), y.len()));
    let chunks = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK)).zip(y.par_chunks_mut(CHUNK));
    chunks.for_each(|((gate, up), y)| swiglu_part(gate, up, y));
}

/// Turns `grad`, the gradient of the output, into that of `up`, and writes that of `gate`.
///
/// # Panics
/// If the lengths differ.
pub fn swiglu_backward(gate: &[f32], up: &[f32], grad: &mut [f32], dgate: &mut [f32]) {
    let count = grad.len();
    assert_eq!((gate.len(), up.len(), dgate.len()), (count, count, count));
    let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK));
    let chunks = inputs.zip(grad.par_chunks_mut(CHUNK)).zip(dgate.par_chunks_mut(CHUNK));
    chunks.for_each(|(((gate, up), grad), dgate)| swiglu_backward_part(gate, up, grad, dgate));
}

/// `y = sigmoid(gate) * x` (GLU, arXiv 1612.08083); with `gate = x` it is the SiLU.
///
/// # Panics
/// If the lengths differ.
pub fn glu(gate: &[f32], x: &[f32], y: &mut [f32]) {
    assert_eq!((gate.len(), x.len()), (y.len(), y.len()));
    let chunks = gate.par_chunks(CHUNK).zip(x.par_chunks(CHUNK)).zip(y.par_chunks_mut(CHUNK));
    chunks.for_each(|((gate, x), y)| glu_row(gate, x, y));
}

/// Turns `grad`, the gradient of the output, into that of `x`, and writes that of `gate`.
///
/// # Panics
/// If the lengths differ.
pub fn glu_backward(gate: &[f32], x: &[f32], grad: &mut [f32], dgate: &mut [f32]) {
    let count = grad.len();
    assert_eq!((gate.len(), x.len(), dgate.len()), (count, count, count));
    let inputs = gate.par_chunks(CHUNK).zip(x.par_chunks(CHUNK));
    let chunks = inputs.zip(grad.par_chunks_mut(CHUNK)).zip(dgate.par_chunks_mut(CHUNK));
    chunks.for_each(|(((gate, x), grad), dgate)| glu_backward_part(gate, x, grad, dgate));
}

/// `y = max(x, 0)^2` (RWKV's channel mix, arXiv 2305.13048, equation 19).
///
/// # Panics
/// If the lengths differ.
pub fn relu_squared_into(x: &[f32], y: &mut [f32]) {
    by_chunks(x, y, |x, y| {
        y.copy_from_slice(x);
        relu_squared(y);
    });
}

/// Turns the gradient of [`relu_squared_into`]'s output into that of its input `x`.
///
/// # Panics
/// If the lengths differ.
pub fn relu_squared_backward(x: &[f32], grad: &mut [f32]) {
    by_chunks(x, grad, relu_squared_backward_part);
}

/// `y = 1 / (1 + exp(-x))`.
///
/// # Panics
/// If the lengths differ.
pub fn sigmoid(x: &[f32], y: &mut [f32]) {
    by_chunks(x, y, sigmoid_part);
}

/// Turns the gradient of [`sigmoid`]'s output into that of its input `x`.
///
/// # Panics
/// If the lengths differ.
pub fn sigmoid_backward(x: &[f32], grad: &mut [f32]) {
    by_chunks(x, grad, sigmoid_backward_part);
}

/// `y = tanh(x)`, to about 4e-7 relative.
///
/// # Panics
/// If the lengths differ.
pub fn tanh(x: &[f32], y: &mut [f32]) {
    by_chunks(x, y, tanh_part);
}

/// Turns the gradient of [`tanh`]'s output into that of its input `x`.
///
/// # Panics
/// If the lengths differ.
pub fn tanh_backward(x: &[f32], grad: &mut [f32]) {
    by_chunks(x, grad, tanh_backward_part);
}

/// `y = value + sigmoid(share) (other - value)`.
///
/// # Panics
/// If the lengths differ.
pub fn blend(share: &[f32], value: &[f32], other: &[f32], y: &mut [f32]) {
    assert_eq!([share.len(), value.len(), other.len()], [y.len(); 3]);
    let inputs = share.par_chunks(CHUNK).zip(value.par_chunks(CHUNK)).zip(other.par_chunks(CHUNK));
    inputs.zip(y.par_chunks_mut(CHUNK)).for_each(|(((share, value), other), y)| blend_part(share, value, other, y));
}

/// Turns `grad`, the gradient of [`blend`]'s output, into that of `value`, and writes those of `share` and `other`.
///
/// # Panics
/// If the lengths differ.
pub fn blend_backward([share, value, other]: [&[f32]; 3], grad: &mut [f32], dshare: &mut [f32], dother: &mut [f32]) {
    let lengths = [share.len(), value.len(), other.len(), dshare.len(), dother.len()];
    assert_eq!(lengths, [grad.len(); 5]);
    let inputs = share.par_chunks(CHUNK).zip(value.par_chunks(CHUNK)).zip(other.par_chunks(CHUNK));
    let outputs = grad.par_chunks_mut(CHUNK).zip(dshare.par_chunks_mut(CHUNK)).zip(dother.par_chunks_mut(CHUNK));
    inputs.zip(outputs).for_each(|(((share, value), other), ((grad, dshare), dother))| {
        blend_backward_part([share, value, other], grad, dshare, dother);
    });
}

/// From here on tanh is taken from [`exp`], and below from its series, so that small numbers keep their digits.
const SMALL: f32 = 0.3;

#[inline(always)]
fn sigmoid_of<A: Arithmetic>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<A>(-x))
}

#[inline(always)]
fn tanh_of<A: Arithmetic>(x: f32) -> f32 {
    let (size, square) = (x.abs(), x * x);
    let large = (1.0 - 2.0 / (1.0 + exp::<A>(2.0 * size))).copysign(x);
    let mut series = 62.0 / 2835.0;
    for c in [-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0] {
        series = A::fma(series, square, c);
    }
    if size < SMALL { A::fma(series * square, x, x) } else { large }
}

const DENSITY: f32 = 0.398_942_3; // 1 / sqrt(2 pi)

simd! {
    /// `y *= 1 / (1 + exp(-x))`, on the calling thread.
    pub fn sigmoid_gate(x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            // Above, `exp` has no value; the sigmoid is 0 there.
            *y /= 1.0 + exp::<A>((-x).min(88.0));
        }
    }

    /// `x = max(x, 0)^2`, on the calling thread.
    pub fn relu_squared(x: &mut [f32]) {
        for x in x {
            *x = x.max(0.0) * x.max(0.0);
        }
    }

    fn relu_squared_backward_part(x: &[f32], grad: &mut [f32]) {
        for (x, grad) in x.iter().zip(grad) {
            *grad *= 2.0 * x.max(0.0);
        }
    }

    /// [`gelu`] on the calling thread.
    pub(crate) fn gelu_part(x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            let (erf, _) = erf_exp::<A>(x * std::f32::consts::FRAC_1_SQRT_2);
            *y = 0.5 * x * (1.0 + erf);
        }
    }

    fn gelu_backward_part(x: &[f32], grad: &mut [f32]) {
        for (x, grad) in x.iter().zip(grad) {
            let (erf, bell) = erf_exp::<A>(x * std::f32::consts::FRAC_1_SQRT_2);
            *grad *= A::fma(x * DENSITY, bell, 0.5 * (1.0 + erf));
        }
    }

    /// [`swiglu`] on the calling thread.
    pub(crate) fn swiglu_part(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((gate, up), y) in gate.iter().zip(up).zip(y) {
            *y = gate / (1.0 + exp::<A>(-gate)) * up;
        }
    }

    fn swiglu_backward_part(gate: &[f32], up: &[f32], grad: &mut [f32], dgate: &mut [f32]) {
        for (((gate, up), grad), dgate) in gate.iter().zip(up).zip(grad).zip(dgate) {
            let sigmoid = 1.0 / (1.0 + exp::<A>(-gate));
            let silu = gate * sigmoid;
            *dgate = *grad * up * A::fma(sigmoid, 1.0 - silu, silu);
            *grad *= silu;
        }
    }

    fn sigmoid_part(x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y = sigmoid_of::<A>(*x);
        }
    }

    fn sigmoid_backward_part(x: &[f32], grad: &mut [f32]) {
        for (x, grad) in x.iter().zip(grad) {
            let y = sigmoid_of::<A>(*x);
            *grad *= y * (1.0 - y);
        }
    }

    fn tanh_part(x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y = tanh_of::<A>(*x);
        }
    }

    fn tanh_backward_part(x: &[f32], grad: &mut [f32]) {
        for (x, grad) in x.iter().zip(grad) {
            let y = tanh_of::<A>(*x);
            *grad *= A::fma(-y, y, 1.0);
        }
    }

    fn blend_part(share: &[f32], value: &[f32], other: &[f32], y: &mut [f32]) {
        for (((share, value), other), y) in share.iter().zip(value).zip(other).zip(y) {
            *y = A::fma(sigmoid_of::<A>(*share), other - value, *value);
        }
    }

    fn blend_backward_part(of: [&[f32]; 3], grad: &mut [f32], dshare: &mut [f32], dother: &mut [f32]) {
        let count = grad.len();
        let ([share, value, other], dshare, dother) = (of.map(|x| &x[..count]), &mut dshare[..count], &mut dother[..count]);
        for i in 0..count {
            let rate = sigmoid_of::<A>(share[i]);
            dother[i] = grad[i] * rate;
            dshare[i] = dother[i] * (1.0 - rate) * (other[i] - value[i]);
            grad[i] -= dother[i];
        }
    }

    /// [`glu`] on the calling thread.
    pub fn glu_row(gate: &[f32], x: &[f32], y: &mut [f32]) {
        for ((gate, x), y) in gate.iter().zip(x).zip(y) {
            *y = x / (1.0 + exp::<A>(-gate));
        }
    }

    fn glu_backward_part(gate: &[f32], x: &[f32], grad: &mut [f32], dgate: &mut [f32]) {
        for (((gate, x), grad), dgate) in gate.iter().zip(x).zip(grad).zip(dgate) {
            let sigmoid = 1.0 / (1.0 + exp::<A>(-gate));
            *dgate = *grad * x * sigmoid * (1.0 - sigmoid);
            *grad *= sigmoid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    /// erf by its Taylor series, for arguments below 4.
    fn erf(z: f64) -> f64 {
        let (mut term, mut sum) = (z, z);
        for n in 1..150 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    fn gelu_reference(x: f64) -> f64 {
        0.5 * x * (1.0 + erf(x / 2f64.sqrt()))
    }

    fn swiglu_reference(gate: f64, up: f64) -> f64 {
        gate / (1.0 + (-gate).exp()) * up
    }

    fn slope(f: impl Fn(f64) -> f64, x: f64) -> f64 {
        (f(x + 1e-5) - f(x - 1e-5)) / 2e-5
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn values_and_slopes_are_those_of_the_definition(count in 0usize..200, size in 0.1f32..4.0, seed in any::<u64>()) {
            let x: Vec<f32> = random(count, seed).iter().map(|x| x * size).collect();
            let [up, grad] = [1, 2].map(|more| random(count, seed.wrapping_add(more)));
            let mut y = vec![f32::NAN; count];
            let apply = |f: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
                (0..count).map(|i| f(f64::from(x[i]), f64::from(up[i]), f64::from(grad[i]))).collect()
            };
            gelu(&x, &mut y);
            close("gelu", &y, &apply(&|x, _, _| gelu_reference(x)), 2e-6);
            let mut dx = grad.clone();
            gelu_backward(&x, &mut dx);
            close("gelu gradient", &dx, &apply(&|x, _, g| g * slope(gelu_reference, x)), 2e-6);
            relu_squared_into(&x, &mut y);
            close("squared relu", &y, &apply(&|x, _, _| x.max(0.0).powi(2)), 1e-6);
            let mut dx = grad.clone();
            relu_squared_backward(&x, &mut dx);
            close("squared relu gradient", &dx, &apply(&|x, _, g| g * 2.0 * x.max(0.0)), 1e-6);
            let value = |x: f64| 1.0 / (1.0 + (-x).exp());
            sigmoid(&x, &mut y);
            close("sigmoid", &y, &apply(&|x, _, _| value(x)), 1e-6);
            let mut dx = grad.clone();
            sigmoid_backward(&x, &mut dx);
            close("sigmoid's gradient", &dx, &apply(&|x, _, g| g * slope(value, x)), 1e-6);
            tanh(&x, &mut y);
            close("tanh", &y, &apply(&|x, _, _| x.tanh()), 1e-6);
            let mut dx = grad.clone();
            tanh_backward(&x, &mut dx);
            close("tanh's gradient", &dx, &apply(&|x, _, g| g * slope(f64::tanh, x)), 1e-6);
            swiglu(&x, &up, &mut y);
            close("swiglu", &y, &apply(&|x, up, _| swiglu_reference(x, up)), 1e-6);
            let (mut dup, mut dgate) = (grad.clone(), vec![f32::NAN; count]);
            swiglu_backward(&x, &up, &mut dup, &mut dgate);
            close("gate gradient", &dgate, &apply(&|x, up, g| g * slope(|x| swiglu_reference(x, up), x)), 2e-6);
            glu(&x, &up, &mut y);
            close("glu", &y, &apply(&|x, up, _| up / (1.0 + (-x).exp())), 1e-6);
            let (mut dx, mut dgate_of_glu) = (grad.clone(), vec![f32::NAN; count]);
            glu_backward(&x, &up, &mut dx, &mut dgate_of_glu);
            close("glu's gate gradient", &dgate_of_glu, &apply(&|x, up, g| g * slope(|x| up / (1.0 + (-x).exp()), x)), 2e-6);
            close("glu's gradient", &dx, &apply(&|x, _, g| g / (1.0 + (-x).exp())), 2e-6);
            close("up gradient", &dup, &apply(&|x, up, g| g * slope(|up| swiglu_reference(x, up), up)), 2e-6);
        }
    }

    #[test]
    fn small_numbers_keep_their_digits() {
        let x: Vec<f32> =
            (-400..400).map(|i| (i as f32 + 0.5) / 400.0).chain([1e-6, -1e-20, 0.0, 30.0, -1e30]).collect();
        let mut y = vec![f32::NAN; x.len()];
        tanh(&x, &mut y);
        for (x, y) in x.iter().zip(y) {
            let expected = f64::from(*x).tanh();
            assert!((f64::from(y) - expected).abs() <= 5e-7 * expected.abs(), "tanh({x}) = {y} instead of {expected}");
        }
    }

    #[test]
    fn a_blend_is_between_its_values() {
        let [share, value, other, grad] = [1, 2, 3, 4].map(|seed| random(40_000, seed));
        let mut y = vec![f32::NAN; share.len()];
        let mean = |s: f64, v: f64, o: f64| v + (o - v) / (1.0 + (-s).exp());
        let apply = |f: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
            (0..share.len()).map(|i| f(f64::from(share[i]), f64::from(value[i]), f64::from(other[i]))).collect()
        };
        let times_grad =
            |slopes: Vec<f64>| -> Vec<f64> { slopes.iter().zip(&grad).map(|(s, g)| s * f64::from(*g)).collect() };
        blend(&share, &value, &other, &mut y);
        close("blend", &y, &apply(&mean), 1e-6);
        let (mut dvalue, mut dshare, mut dother) = (grad.clone(), y.clone(), y.clone());
        blend_backward([&share, &value, &other], &mut dvalue, &mut dshare, &mut dother);
        close("share", &dshare, &times_grad(apply(&|s, v, o| slope(|s| mean(s, v, o), s))), 1e-6);
        close("value", &dvalue, &times_grad(apply(&|s, v, o| slope(|v| mean(s, v, o), v))), 1e-6);
        close("other", &dother, &times_grad(apply(&|s, v, o| slope(|o| mean(s, v, o), o))), 1e-6);
    }

    #[test]
    fn extremes_stay_finite() {
        let x = [-1e30f32, -100.0, 100.0, 1e30];
        let mut y = [f32::NAN; 4];
        gelu(&x, &mut y);
        assert_eq!(y.map(f32::abs), [0.0, 0.0, 100.0, 1e30]);
        swiglu(&x, &[1.0; 4], &mut y);
        assert!(y.iter().all(|y| y.is_finite()) && y[2] == 100.0, "{y:?}");
        let mut gated = [2.0; 4];
        sigmoid_gate(&[-1e30, -90.0, 0.0, 1e30], &mut gated);
        assert!(gated[..2].iter().all(|y| (0.0..1e-30).contains(y)) && gated[2..] == [1.0, 2.0], "{gated:?}");
        let mut squares = [-3.0, 0.5];
        relu_squared(&mut squares);
        assert_eq!(squares, [0.0, 0.25]);
    }
}
