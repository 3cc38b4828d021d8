//! Which rows of a batch are tokens.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

/// The sequences of a batch have different lengths: the first rows of each are tokens, the others padding.
///
/// Nothing of a token's row depends on padding: attention meets the keys of tokens only, and a convolution reads zeros in its place.
#[derive(Debug, Clone)]
pub struct Padding {
    lengths: Vec<usize>,
    rows: usize,
    /// `[B, T, 1]`: 1 for a token, 0 for padding; none where there is no padding.
    mask: Option<Tensor<3>>,
}

impl Padding {
    /// Of sequences of these lengths in `rows` rows each.
    pub fn new(lengths: &[usize], rows: usize, device: &Device) -> Self {
        let padded = lengths.iter().any(|length| *length < rows);
        let mask = padded.then(|| {
            let of = |length: &usize| (0..rows).map(|row| if row < *length { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
            let mask: Vec<f32> = lengths.iter().flat_map(of).collect();
            Tensor::from_data(TensorData::new(mask, [lengths.len(), rows, 1]), device)
        });
        Self { lengths: lengths.to_vec(), rows, mask }
    }

    /// `x`: `[B, T, d]`, with zeros in the rows of padding.
    pub fn cleared(&self, x: Tensor<3>) -> Tensor<3> {
        match &self.mask {
            Some(mask) => x.clone() * mask.clone().cast(x.dtype()),
            None => x,
        }
    }

    /// The sequences in runs of equal length, each with that length; one run where nothing is padded.
    pub fn runs(&self) -> Vec<(Range<usize>, usize)> {
        let mut start = 0;
        let runs = self.lengths.chunk_by(|a, b| a == b).map(|run| {
            start += run.len();
            (start - run.len()..start, run[0])
        });
        runs.collect()
    }

    /// Rows of each sequence, padding included.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_of_equal_length_go_together() {
        let padding = Padding::new(&[3, 3, 1, 3], 3, &Device::default());
        assert_eq!(padding.runs(), [(0..2, 3), (2..3, 1), (3..4, 3)]);
        let x = padding.cleared(Tensor::ones([4, 3, 1], &Device::default()));
        let kept: Vec<f32> = x.into_data().iter().collect();
        assert_eq!(kept, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }
}
