//! From logits to log-probabilities.

use crate::simd::{LANES, exp, lanes_sum, largest, simd};

simd! {
    /// `x -= ln(sum(exp(x)))`, in place; NaN anywhere makes everything NaN.
    pub fn log_softmax(x: &mut [f32]) {
        let max = largest(x);
        // All -inf or NaN: then NaN comes out below.
        let mut lanes = [0f32; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest: f32 = chunks.remainder().iter().map(|x| exp::<A>(x - max)).sum();
        for chunk in chunks {
            for i in 0..LANES {
                lanes[i] += exp::<A>(chunk[i] - max);
            }
        }
        let offset = max + (lanes_sum(lanes) + rest).ln();
        for x in x {
            *x -= offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};

    #[test]
    fn equals_the_definition() {
        for count in [1, 5, 16, 1000] {
            let logits: Vec<f32> = random(count, 3).iter().map(|x| 20.0 * x).collect();
            let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
            let expected: Vec<f64> = logits.iter().map(|x| f64::from(*x) - sum.ln()).collect();
            let mut x = logits;
            log_softmax(&mut x);
            close("log-probabilities", &x, &expected, 1e-6);
        }
    }

    #[test]
    fn what_is_impossible_stays_so_and_what_is_broken_shows() {
        let mut x = [0.0, f32::NEG_INFINITY, 0.0];
        log_softmax(&mut x);
        assert!((x[0] - 0.5f32.ln()).abs() < 1e-6 && x[1] == f32::NEG_INFINITY);
        let mut x = [0.0, f32::NAN];
        log_softmax(&mut x);
        assert!(x.iter().all(|x| x.is_nan()));
    }
}
