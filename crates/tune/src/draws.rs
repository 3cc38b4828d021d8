//! Random draws that depend on their key alone.

/// A sequence of draws; the same key gives the same sequence.
pub(crate) struct Draws {
    key: u64,
    drawn: u64,
}

impl Draws {
    /// The sequence of `keys`, for example a seed and the number of a trial.
    pub(crate) fn new(keys: &[u64]) -> Self {
        Self { key: percept_random::hash(keys), drawn: 0 }
    }

    /// A number in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.drawn += 1;
        percept_random::uniform(self.key, self.drawn)
    }

    /// A number below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        percept_random::below(bound as u64, &[self.key, self.drawn]) as usize
    }

    /// An index, each as likely as its weight; weights are not negative and not all 0.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        // Rounding may leave a rest behind the last weight.
        weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0)
    }

    /// normal(0, 1), by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_shares() {
        let mut draws = Draws::new(&[7]);
        let mut counts = [0.0_f64; 4];
        (0..20_000).for_each(|_| counts[draws.weighted(&[1.0, 0.0, 2.0, 5.0])] += 1.0 / 20_000.0);
        for (count, share) in counts.iter().zip([0.125, 0.0, 0.25, 0.625]) {
            assert!((count - share).abs() < 0.015, "{counts:?}");
        }
        assert_eq!(counts[1], 0.0);
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut draws = Draws::new(&[3]);
        let values: Vec<f64> = (0..20_000).map(|_| draws.normal()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let near = values.iter().filter(|value| value.abs() < 1.0).count() as f64 / 20_000.0;
        assert!((near - 0.683).abs() < 0.02, "{near}");
    }

    #[test]
    fn a_key_has_one_sequence() {
        let sequence = |keys: &[u64]| {
            let mut draws = Draws::new(keys);
            [draws.below(1000), draws.below(1000), draws.below(1000)]
        };
        assert_eq!(sequence(&[1, 2]), sequence(&[1, 2]));
        assert_ne!(sequence(&[1, 2]), sequence(&[2, 1]));
    }
}
