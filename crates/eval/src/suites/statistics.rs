//! Means with standard errors, and shares with their intervals.

use std::f64::consts::LN_2;

use super::{Accuracy, MeanLoss};

/// Quantile of the normal distribution for 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Number, mean and squared deviations of a series (Welford 1962).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Moments {
    count: u64,
    mean: f64,
    deviations: f64,
}

impl Moments {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.deviations += before * (value - self.mean);
    }

    /// Both series as one (Chan, Golub and LeVeque 1983).
    pub(super) fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if count == 0 {
            return;
        }
        let apart = other.mean - self.mean;
        self.deviations += other.deviations + apart * apart * (self.count as f64 * other.count as f64 / count as f64);
        self.mean += apart * other.count as f64 / count as f64;
        self.count = count;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// Standard error of the mean; `None` for fewer than two values.
    pub(super) fn standard_error(&self) -> Option<f64> {
        let count = self.count as f64;
        (self.count > 1).then(|| (self.deviations / (count - 1.0) / count).sqrt())
    }

    /// The series as losses in nats, of targets that stand for so many bytes each.
    pub(super) fn loss(&self, bytes_per_token: Option<f64>) -> MeanLoss {
        MeanLoss {
            targets: self.count,
            nll: self.mean,
            standard_error: self.standard_error(),
            bits_per_byte: bytes_per_token.map(|bytes| self.mean / (bytes * LN_2)),
        }
    }
}

/// The share of right answers with its interval (Wilson 1927).
pub(super) fn accuracy(correct: f64, trials: u64) -> Accuracy {
    let count = trials as f64;
    let share = correct / count;
    let spread = Z * Z / count;
    let centre = (share + spread / 2.0) / (1.0 + spread);
    let half = Z / (1.0 + spread) * (share * (1.0 - share) / count + spread / (4.0 * count)).sqrt();
    let (low, high) = ((centre - half).max(0.0), (centre + half).min(1.0));
    Accuracy { trials, correct, accuracy: share, low: low.min(share), high: high.max(share) }
}

/// How right the choice of the likeliest candidate is: 1, or 0, or 1 / k where k share the highest likelihood with the true one.
pub(super) fn chosen(likelihoods: &[f64], truth: usize) -> f64 {
    let best = likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let tied = likelihoods.iter().filter(|&&likelihood| likelihood == best).count();
    if likelihoods[truth] == best { 1.0 / tied as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn moments_are_those_of_the_definition(
            values in proptest::collection::vec(-5.0_f64..5.0, 2..40), cut in 0_usize..40,
        ) {
            let of = |values: &[f64]| {
                let mut moments = Moments::default();
                values.iter().for_each(|&value| moments.add(value));
                moments
            };
            let (first, second) = values.split_at(cut.min(values.len()));
            let mut moments = of(first);
            moments.merge(&of(second));
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
            prop_assert_eq!(moments.count() as usize, values.len());
            prop_assert!((moments.mean() - mean).abs() < 1e-9);
            prop_assert!((moments.standard_error().unwrap() - (variance / count).sqrt()).abs() < 1e-9);
        }
    }

    #[test]
    fn one_value_has_no_standard_error() {
        let mut moments = Moments::default();
        moments.merge(&Moments::default());
        moments.add(LN_2);
        assert_eq!(moments.standard_error(), None);
        assert_eq!(moments.loss(Some(0.5)).bits_per_byte, Some(2.0));
        assert_eq!(moments.loss(None).bits_per_byte, None);
    }

    #[test]
    fn intervals_are_wilsons() {
        // 10 of 20: (0.2993, 0.7007); published examples of the score interval.
        let half = accuracy(10.0, 20);
        assert!((half.low - 0.299_3).abs() < 1e-4 && (half.high - 0.700_7).abs() < 1e-4, "{half:?}");
        let none = accuracy(0.0, 10);
        assert!(none.low == 0.0 && (none.high - 0.277_5).abs() < 1e-4, "{none:?}");
        assert_eq!(accuracy(5.0, 5).high, 1.0);
    }

    #[test]
    fn ties_are_shared() {
        assert_eq!(chosen(&[-1.0, -2.0, -3.0], 0), 1.0);
        assert_eq!(chosen(&[-1.0, -2.0, -3.0], 1), 0.0);
        assert_eq!(chosen(&[-1.0, -1.0, -3.0, -1.0], 3), 1.0 / 3.0);
        assert_eq!(chosen(&[-1.0, f64::NEG_INFINITY], 1), 0.0);
    }
}
