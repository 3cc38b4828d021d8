//! Orthogonal matrices.

/// Makes the rows of a random matrix, or its columns where these are fewer, orthogonal and of this length: Gram-Schmidt, twice,
/// so that in single precision too they are.
pub(super) fn orthogonal(mut values: Vec<f32>, shape: &[usize], length: f32) -> Vec<f32> {
    let [rows, columns] = *shape else { return values };
    let flips = rows > columns;
    let (count, width) = if flips { (columns, rows) } else { (rows, columns) };
    // Of a random matrix, whichever way its elements lie.
    for index in 0..count {
        let (before, rest) = values.split_at_mut(index * width);
        let vector = &mut rest[..width];
        for _ in 0..2 {
            for earlier in before.chunks_exact(width) {
                let along = dot(earlier, vector);
                vector.iter_mut().zip(earlier).for_each(|(x, e)| *x -= along * e);
            }
            let scale = dot(vector, vector).sqrt().recip();
            vector.iter_mut().for_each(|x| *x *= scale);
        }
    }
    let value = |row: usize, column: usize| match flips {
        true => values[column * width + row],
        false => values[row * width + column],
    };
    (0..rows * columns).map(|at| length * value(at / columns, at % columns)).collect()
}

/// In lanes, so that the compiler uses whole vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    let (a, b) = (a.chunks(16), b.chunks(16));
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_or_columns_are_orthogonal_and_of_the_length() {
        for (rows, columns) in [(5, 9), (9, 5), (4, 4), (1, 3)] {
            let random = (0..rows * columns).map(|i| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0).collect();
            let matrix = orthogonal(random, &[rows, columns], 3.0);
            let few = rows.min(columns);
            let vector = |i: usize| -> Vec<f32> {
                match rows > columns {
                    true => (0..rows).map(|row| matrix[row * columns + i]).collect(),
                    false => matrix[i * columns..][..columns].to_vec(),
                }
            };
            for (i, j) in (0..few).flat_map(|i| (0..few).map(move |j| (i, j))) {
                let expected = if i == j { 9.0 } else { 0.0 };
                assert!((dot(&vector(i), &vector(j)) - expected).abs() < 1e-5, "{rows} x {columns}: {i}, {j}");
            }
        }
    }
}
