//! One row of one head, for decoding.

use crate::simd::{Arithmetic, LANES, lanes_sum, simd};

/// `x . y`, in lanes.
#[inline(always)]
fn dot<A: Arithmetic>(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (x, y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f32 = x.remainder().iter().zip(y.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in x.zip(y) {
        for i in 0..LANES {
            lanes[i] = A::fma(x[i], y[i], lanes[i]);
        }
    }
    lanes_sum(lanes) + rest
}

simd! {
    /// One row of one head of [`super::Wkv7::forward`] on the calling thread: `inputs` are r, the decay e^w itself, k, v, a and b, of
    /// `y`'s length `width` each; `state` is `[width, width]`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn wkv7_row(inputs: [&[f32]; 6], state: &mut [f32], y: &mut [f32]) {
        let width = y.len();
        assert_eq!((inputs.map(<[f32]>::len), state.len()), ([width; 6], width * width), "sizes of a row and a state");
        let [r, decay, k, v, a, b] = inputs;
        for ((row, y), v) in state.chunks_exact_mut(width).zip(y).zip(v) {
            let removed = dot::<A>(row, a);
            for (row, (decay, (b, k))) in row.iter_mut().zip(decay.iter().zip(b.iter().zip(k))) {
                *row = A::fma(*row, *decay, A::fma(removed, *b, v * k));
            }
            *y = dot::<A>(row, r);
        }
    }
}
