//! What a time mix does with one row of one head around the recurrence: before it from what the maps say to its factors, and after it from
//! what was read to what the output map reads.
//!
//! What a loop writes are parameters one by one: of slices in an array the compiler does not know that they lie apart, and takes them
//! element by element.

use crate::simd::{Arithmetic, LANES, exp, inner_product, lanes_sum, simd};

/// The most that a row decays by, -ln w: e^-0.5.
const MOST: f32 = 0.606_530_66;
/// The least length that a row of removals is divided by, squared. The gradient at zero is a number by it.
const LEAST: f32 = 1e-24;

/// A head's part of the vectors of a time mix.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) removal_key: &'a [f32],
    pub(super) rate_key: &'a [f32],
    pub(super) bonus: &'a [f32],
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) removal_scale: f32,
    pub(super) eps: f32,
}

/// Of one row, sum r k r_k, and the gradient of that.
#[derive(Clone, Copy, Default)]
pub(super) struct Bonus {
    value: f32,
    gradient: f32,
}

#[inline(always)]
fn sigmoid<A: Arithmetic>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<A>(-x))
}

/// The sum of `term` of each element.
#[inline(always)]
fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let parts = x.chunks_exact(LANES);
    let rest: f32 = parts.remainder().iter().map(|x| term(*x)).sum();
    let mut lanes = [0f32; LANES];
    for part in parts {
        for i in 0..LANES {
            lanes[i] += term(part[i]);
        }
    }
    lanes_sum(lanes) + rest
}

/// Mean of `y`, and reciprocal of its deviation.
#[inline(always)]
fn statistics(y: &[f32], eps: f32) -> (f32, f32) {
    let count = y.len() as f32;
    let mean = sum(y, |y| y) / count;
    (mean, 1.0 / (sum(y, |y| (y - mean) * (y - mean)) / count + eps).sqrt())
}

simd! {
    /// Writes a = -kappa, and returns the reciprocal of the length that kappa would have.
    pub(super) fn removals(key: &[f32], removal_key: &[f32], a: &mut [f32]) -> f32 {
        for ((a, key), removal_key) in a.iter_mut().zip(key).zip(removal_key) {
            *a = key * removal_key;
        }
        let inverse = 1.0 / (inner_product::<A>(a, a) + LEAST).sqrt();
        a.iter_mut().for_each(|a| *a *= -inverse);
        inverse
    }

    /// Writes the rates, sigmoids of `alpha`, and the keys that are written, k (1 + (rate - 1) k_a).
    pub(super) fn rates(alpha: &[f32], key: &[f32], rate_key: &[f32], rate: &mut [f32], written: &mut [f32]) {
        let width = rate.len();
        let ([alpha, key, rate_key], written) = ([alpha, key, rate_key].map(|x| &x[..width]), &mut written[..width]);
        for i in 0..width {
            rate[i] = sigmoid::<A>(alpha[i]);
            written[i] = key[i] * A::fma(rate[i] - 1.0, rate_key[i], 1.0);
        }
    }

    /// Writes the log decays, w = -e^-0.5 sigmoid(d).
    pub(super) fn decays(d: &[f32], decay: &mut [f32]) {
        for (decay, d) in decay.iter_mut().zip(d) {
            *decay = -MOST * sigmoid::<A>(*d);
        }
    }

    /// Turns gradients of log decays into those of d.
    pub(super) fn decays_backward(decay: &[f32], grad: &[f32], dd: &mut [f32]) {
        for ((dd, decay), grad) in dd.iter_mut().zip(decay).zip(grad) {
            *dd = grad * decay * A::fma(*decay, 1.0 / MOST, 1.0);
        }
    }

    /// The way back from `grads`, of the written keys and of b, to that of `alpha`; adds that of k_a. `dremoval` is the gradient of a, and
    /// becomes that of kappa. `of` are k, the rates and a.
    pub(super) fn rates_backward(
        of: [&[f32]; 3], head: &Head<'_>, grads: [&[f32]; 2], dremoval: &mut [f32], dalpha: &mut [f32], drate_key: &mut [f32],
    ) {
        let width = dalpha.len();
        let ([key, rate, a], [dwritten, db]) = (of.map(|x| &x[..width]), grads.map(|x| &x[..width]));
        let rate_key = &head.rate_key[..width];
        let (dremoval, drate_key, scale) = (&mut dremoval[..width], &mut drate_key[..width], head.removal_scale);
        for i in 0..width {
            let of_rate = A::fma(dwritten[i] * key[i], rate_key[i], -scale * a[i] * db[i]);
            dalpha[i] = of_rate * rate[i] * (1.0 - rate[i]);
            drate_key[i] = A::fma(dwritten[i] * key[i], rate[i] - 1.0, drate_key[i]);
            dremoval[i] = A::fma(scale * rate[i], db[i], -dremoval[i]);
        }
    }

    /// The way back from `grads`, of the written keys and of kappa, to that of k; adds that of k_k. `of` are k, the rates and a, and `inverse`
    /// is what [`removals`] has returned.
    pub(super) fn removals_backward(
        of: [&[f32]; 3], head: &Head<'_>, inverse: f32, grads: [&[f32]; 2], dkey: &mut [f32], dremoval_key: &mut [f32],
    ) {
        let width = dkey.len();
        let ([key, rate, a], [dwritten, dremoval]) = (of.map(|x| &x[..width]), grads.map(|x| &x[..width]));
        let [rate_key, removal_key] = [head.rate_key, head.removal_key].map(|x| &x[..width]);
        let (along, dremoval_key) = (inner_product::<A>(a, dremoval), &mut dremoval_key[..width]);
        for i in 0..width {
            let of_product = A::fma(-along, a[i], dremoval[i]) * inverse;
            dremoval_key[i] = A::fma(of_product, key[i], dremoval_key[i]);
            dkey[i] = A::fma(dwritten[i], A::fma(rate[i] - 1.0, rate_key[i], 1.0), of_product * removal_key[i]);
        }
    }

    /// What was read, `y`, normalised, with the bonus, times the gate; of r, the written key, v and g.
    pub(super) fn after(of: [&[f32]; 4], head: &Head<'_>, y: &[f32], out: &mut [f32]) {
        let width = out.len();
        let [r, written, v, gate] = of.map(|x| &x[..width]);
        let [y, counts, gamma, beta] = [y, head.bonus, head.gamma, head.beta].map(|x| &x[..width]);
        let (mean, inverse) = statistics(y, head.eps);
        for i in 0..width {
            out[i] = r[i] * written[i];
        }
        let bonus = inner_product::<A>(out, counts);
        for i in 0..width {
            let normalised = A::fma((y[i] - mean) * inverse, gamma[i], beta[i]);
            out[i] = A::fma(bonus, v[i], normalised) * gate[i];
        }
    }

    /// The way back of [`after`]: `y` becomes its gradient, `inner` that of what the gate multiplies, and `dgate` is written.
    pub(super) fn after_backward(
        of: [&[f32]; 4], head: &Head<'_>, grad: &[f32], y: &mut [f32], inner: &mut [f32], dgate: &mut [f32], dnorm: [&mut [f32]; 2],
    ) -> Bonus {
        let width = grad.len();
        let [r, written, v, gate] = of.map(|x| &x[..width]);
        let [counts, gamma, beta] = [head.bonus, head.gamma, head.beta].map(|x| &x[..width]);
        let (y, inner, dgate) = (&mut y[..width], &mut inner[..width], &mut dgate[..width]);
        let (mean, inverse) = statistics(y, head.eps);
        for i in 0..width {
            inner[i] = r[i] * written[i];
        }
        let value = inner_product::<A>(inner, counts);
        for i in 0..width {
            y[i] = (y[i] - mean) * inverse;
            inner[i] = grad[i] * gate[i];
            dgate[i] = grad[i] * A::fma(value, v[i], A::fma(y[i], gamma[i], beta[i]));
        }
        let [dgamma, dbeta] = dnorm;
        for ((dgamma, inner), unit) in dgamma.iter_mut().zip(&*inner).zip(&*y) {
            *dgamma = A::fma(*inner, *unit, *dgamma);
        }
        for (dbeta, inner) in dbeta.iter_mut().zip(&*inner) {
            *dbeta += inner;
        }
        back_to_row::<A>(y, inner, gamma, inverse);
        Bonus { value, gradient: inner_product::<A>(inner, v) }
    }

    /// Adds what flows back by the bonus to the gradients of r, the written key and v, and to `dcounts`, that of r_k; of r, the written key
    /// and the gradient of what the gate multiplies.
    pub(super) fn bonus_backward(
        of: [&[f32]; 3], counts: &[f32], bonus: Bonus, dr: &mut [f32], dwritten: &mut [f32], dv: &mut [f32], dcounts: &mut [f32],
    ) {
        let width = dr.len();
        let ([r, written, inner], counts) = (of.map(|x| &x[..width]), &counts[..width]);
        let (dwritten, dv, dcounts) = (&mut dwritten[..width], &mut dv[..width], &mut dcounts[..width]);
        for i in 0..width {
            let of_count = bonus.gradient * counts[i];
            dr[i] = A::fma(of_count, written[i], dr[i]);
            dwritten[i] = A::fma(of_count, r[i], dwritten[i]);
            dv[i] = A::fma(bonus.value, inner[i], dv[i]);
            dcounts[i] = A::fma(bonus.gradient * r[i], written[i], dcounts[i]);
        }
    }
}

/// Turns a normalised row, by the gradient of what became of it, into that of the row.
#[inline(always)]
fn back_to_row<A: Arithmetic>(unit: &mut [f32], grad: &[f32], gamma: &[f32], inverse: f32) {
    let count = unit.len() as f32;
    let (mut mean, mut along) = (0.0, 0.0);
    let mut lanes = [[0f32; LANES]; 2];
    let whole = unit.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        let (unit, grad, gamma) = (&unit[at..at + LANES], &grad[at..at + LANES], &gamma[at..at + LANES]);
        for i in 0..LANES {
            let d = grad[i] * gamma[i];
            lanes[0][i] += d;
            lanes[1][i] = A::fma(d, unit[i], lanes[1][i]);
        }
    }
    for i in whole..unit.len() {
        mean += grad[i] * gamma[i];
        along = A::fma(grad[i] * gamma[i], unit[i], along);
    }
    let (mean, along) = ((mean + lanes_sum(lanes[0])) / count, (along + lanes_sum(lanes[1])) / count);
    for ((unit, grad), gamma) in unit.iter_mut().zip(grad).zip(gamma) {
        *unit = A::fma(-*unit, along, A::fma(*grad, *gamma, -mean)) * inverse;
    }
}
