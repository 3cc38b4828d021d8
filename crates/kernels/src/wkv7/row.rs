//! One row of one head, for decoding.

use crate::simd::{inner_product, simd};

simd! {
    /// One row of the recurrence of [`super::TimeMix`] on the calling thread: `inputs` are r, the decay e^w itself, c, v, a and b, of
    /// `y`'s length `width` each; `state` is `[width, width]`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn wkv7_row(inputs: [&[f32]; 6], state: &mut [f32], y: &mut [f32]) {
        let width = y.len();
        assert_eq!((inputs.map(<[f32]>::len), state.len()), ([width; 6], width * width), "sizes of a row and a state");
        let [r, decay, k, v, a, b] = inputs;
        for ((row, y), v) in state.chunks_exact_mut(width).zip(y).zip(v) {
            let removed = inner_product::<A>(row, a);
            for (row, (decay, (b, k))) in row.iter_mut().zip(decay.iter().zip(b.iter().zip(k))) {
                *row = A::fma(*row, *decay, A::fma(removed, *b, v * k));
            }
            *y = inner_product::<A>(row, r);
        }
    }
}
