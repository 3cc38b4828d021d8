//! Rows of a table by index.

use crate::matmul::Shared;
use crate::simd;
use rayon::prelude::*;

/// Columns per task of the scatter.
const COLUMNS: usize = 64;

/// `y [ids, width]`: row `ids[i]` of `weight [v, width]`.
///
/// # Panics
/// If an id is outside the table or `y` has another size.
pub fn gather(weight: &[f32], width: usize, ids: &[u32], y: &mut [f32]) {
    assert_eq!(y.len(), ids.len() * width, "size of y");
    if width == 0 {
        return;
    }
    y.par_chunks_mut(width).with_min_len(64).zip(ids).for_each(|(y, id)| {
        y.copy_from_slice(&weight[*id as usize * width..][..width]);
    });
}

/// The gradient of the table: row `v` is the sum of the rows of `grad [ids, width]` with `ids[i] == v`, in their order.
///
/// # Panics
/// If an id is outside the table or `grad` has another size.
///
/// ```
/// use percept_kernels::embedding::{gather, scatter};
/// let (table, ids) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 0, 2]);
/// let mut rows = [0.0; 6];
/// gather(&table, 2, &ids, &mut rows);
/// assert_eq!(rows, [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
/// // Row 2 was read twice, row 1 never.
/// let mut gradient = [9.0; 6];
/// scatter(&[1.0; 6], 2, &ids, &mut gradient);
/// assert_eq!(gradient, [1.0, 1.0, 0.0, 0.0, 2.0, 2.0]);
/// ```
pub fn scatter(grad: &[f32], width: usize, ids: &[u32], dweight: &mut [f32]) {
    assert_eq!(grad.len(), ids.len() * width, "size of grad");
    dweight.par_chunks_mut(1 << 16).for_each(|part| part.fill(0.0));
    if width == 0 {
        return;
    }
    let rows = dweight.len() / width;
    assert!(ids.iter().all(|id| (*id as usize) < rows), "an id is outside the table");
    let table = Shared::new(dweight);
    (0..width).into_par_iter().step_by(COLUMNS).for_each(|start| {
        let count = COLUMNS.min(width - start);
        for (grad, id) in grad.chunks_exact(width).zip(ids) {
            // SAFETY: each task owns its columns of every row, and the ids were checked.
            let row = unsafe { std::slice::from_raw_parts_mut(table.at(*id as usize * width + start), count) };
            simd::add(row, &grad[start..start + count]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn rows_go_there_and_gradients_back(width in 1usize..200, ids in prop::collection::vec(0u32..7, 0..200)) {
            let weight = random(7 * width, 1);
            let mut y = vec![f32::NAN; ids.len() * width];
            gather(&weight, width, &ids, &mut y);
            for (i, y) in y.iter().enumerate() {
                prop_assert_eq!(*y, weight[ids[i / width] as usize * width + i % width]);
            }
            let mut dweight = vec![f32::NAN; 7 * width];
            scatter(&y, width, &ids, &mut dweight);
            let mut expected = vec![0f32; 7 * width];
            for (i, y) in y.iter().enumerate() {
                expected[ids[i / width] as usize * width + i % width] += y;
            }
            prop_assert_eq!(dweight, expected);
        }
    }
}
