//! Rows cut into parts of some channels each, one task's rows together.

/// Cuts `[sequences, rows, channels]` into the rows of parts of `width` channels (the last one may have fewer), part by part of one
/// sequence after the other.
pub(crate) fn columns(data: &mut [f32], (rows, channels): (usize, usize), width: usize) -> Vec<Vec<&mut [f32]>> {
    let (parts, mut all) = (channels.div_ceil(width.max(1)), Vec::new());
    for sequence in data.chunks_exact_mut((rows * channels).max(1)) {
        let mut own: Vec<Vec<&mut [f32]>> = (0..parts).map(|_| Vec::with_capacity(rows)).collect();
        for row in sequence.chunks_exact_mut(channels) {
            own.iter_mut().zip(row.chunks_mut(width)).for_each(|(part, row)| part.push(row));
        }
        all.extend(own);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_their_channels_of_every_row() {
        let mut data: Vec<f32> = (0..12).map(|x| x as f32).collect();
        let parts = columns(&mut data, (2, 3), 2);
        let expected: [[&[f32]; 2]; 4] =
            [[&[0.0, 1.0], &[3.0, 4.0]], [&[2.0], &[5.0]], [&[6.0, 7.0], &[9.0, 10.0]], [&[8.0], &[11.0]]];
        assert_eq!(parts, expected);
        assert!(columns(&mut [], (0, 3), 2).is_empty());
    }
}
