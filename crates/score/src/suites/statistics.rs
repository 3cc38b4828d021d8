//! Losses and shares with their intervals, from independent units.

use std::f64::consts::LN_2;

use super::clusters::Clusters;
use super::student::{Z, student};
use super::{Accuracy, MeanLoss};

/// Right answers per stratum that may as well be the rest of one unit: with few, nobody can tell how much units hang together,
/// and the interval then takes each as one.
const DOUBT: f64 = 0.3;

/// Losses in nats, of targets that stand for so many bytes each.
pub(super) fn mean_loss(losses: &Clusters, bytes_per_token: Option<f64>) -> MeanLoss {
    let interval = losses.interval();
    MeanLoss {
        targets: losses.trials() as u64,
        nll: losses.mean(),
        standard_error: losses.standard_error(),
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        units: Some(losses.count()),
        bits_per_byte: bytes_per_token.map(|bytes| losses.mean() / (bytes * LN_2)),
    }
}

/// The share of right answers with its interval (Wilson 1927), for as many independent answers as the units are worth
/// (Korn and Graubard 1998).
///
/// `strata`: units of different kinds, as many of each as planned; that kinds differ adds nothing to the error. The effective number lies
/// between that of the units, where the answers of a unit are all alike, and what their variance says.
pub(super) fn accuracy(strata: &[Clusters]) -> Accuracy {
    let sum = |of: &dyn Fn(&Clusters) -> f64| strata.iter().map(of).sum::<f64>();
    let (trials, units) = (sum(&Clusters::trials), sum(&|stratum| stratum.count() as f64));
    let correct = sum(&Clusters::total);
    let share = correct / trials;
    let (low, high) = wilson(share, effective(strata, share, trials, units));
    Accuracy {
        trials: trials as u64,
        correct,
        accuracy: share,
        low: low.min(share),
        high: high.max(share),
        units: Some(units as u64),
    }
}

/// Independent answers that would tell as much as these units do.
fn effective(strata: &[Clusters], share: f64, trials: f64, units: f64) -> f64 {
    let alike: f64 = strata.iter().map(Clusters::squared_sizes).sum();
    let fewest = trials * trials / alike;
    let variances: Option<Vec<f64>> = strata.iter().map(Clusters::variance).collect();
    // A stratum of one unit does not tell how units differ.
    let Some(variances) = variances else { return fewest };
    let variance: f64 = variances.iter().sum();
    // Satterthwaite 1946.
    let spread: f64 =
        variances.iter().zip(strata).map(|(variance, stratum)| variance * variance / stratum.freedom()).sum();
    let least = strata.iter().map(Clusters::freedom).fold(f64::INFINITY, f64::min);
    let freedom = if spread > 0.0 { (variance * variance / spread).max(least) } else { least };
    let left = match strata {
        [only] => only.left(),
        _ => 1.0 - 1.0 / units,
    };
    let doubt = DOUBT * strata.len() as f64 * trials / units;
    let relative = (variance * left + doubt) / (share * (1.0 - share) * alike + doubt);
    (fewest / relative * (Z / student(freedom)).powi(2)).max(fewest)
}

/// The 95 % score interval of a share among so many independent answers.
fn wilson(share: f64, count: f64) -> (f64, f64) {
    let spread = Z * Z / count;
    let centre = (share + spread / 2.0) / (1.0 + spread);
    let half = Z / (1.0 + spread) * (share * (1.0 - share) / count + spread / (4.0 * count)).max(0.0).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// How right the choice of the likeliest candidate is: 1, or 0, or 1 / k where k share the highest likelihood with the true one.
pub(super) fn chosen(likelihoods: &[f64], truth: usize) -> f64 {
    let best = likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let tied = likelihoods.iter().filter(|&&likelihood| likelihood == best).count();
    if likelihoods[truth] == best { 1.0 / tied as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn singles(correct: u64, trials: u64) -> Accuracy {
        accuracy(&[Clusters::of_singles((0..trials).map(|trial| f64::from(u8::from(trial < correct))))])
    }

    #[test]
    fn one_value_has_no_standard_error() {
        let loss = mean_loss(&Clusters::of_singles([LN_2]), Some(0.5));
        assert_eq!((loss.targets, loss.standard_error, loss.low, loss.units), (1, None, None, Some(1)));
        assert_eq!(loss.bits_per_byte, Some(2.0));
        assert_eq!(mean_loss(&Clusters::of_singles([LN_2]), None).bits_per_byte, None);
    }

    #[test]
    fn intervals_are_wilsons() {
        // 10 of 20: (0.2993, 0.7007); published examples of the score interval.
        let half = singles(10, 20);
        assert!((half.low - 0.299_3).abs() < 1e-4 && (half.high - 0.700_7).abs() < 1e-4, "{half:?}");
        let none = singles(0, 10);
        assert!(none.low == 0.0 && (none.high - 0.277_5).abs() < 1e-4, "{none:?}");
        assert_eq!((singles(5, 5).high, singles(5, 5).correct), (1.0, 5.0));
        assert_eq!(singles(1, 1).units, Some(1));
    }

    #[test]
    fn answers_that_are_all_alike_count_once() {
        let of = |size: u64| {
            let mut clusters = Clusters::default();
            (0..64).for_each(|unit| clusters.add(size, if unit < 6 { size as f64 } else { 0.0 }));
            accuracy(&[clusters])
        };
        let (once, five) = (of(1), of(5));
        assert_eq!((five.trials, five.units, once.units), (320, Some(64), Some(64)));
        assert!((once.low - five.low).abs() < 1e-9 && (once.high - five.high).abs() < 1e-9, "{once:?} {five:?}");
    }

    #[test]
    fn answers_that_differ_inside_units_count_for_more() {
        let mut apart = Clusters::default();
        (0..64).for_each(|unit| apart.add(10, f64::from(u8::from(unit % 2 == 0)) + 4.5));
        let Accuracy { accuracy: share, low, high, .. } = accuracy(&[apart]);
        assert!(share == 0.5 && high - low < 0.07, "{low} to {high}");
    }

    #[test]
    fn kinds_that_differ_add_no_error() {
        let kind = |share: f64| Clusters::of_singles([share; 16]);
        let (apart, mixed) = ([kind(0.9), kind(0.1)], Clusters::of_singles([[0.9; 16], [0.1; 16]].concat()));
        let width = |strata: &[Clusters]| accuracy(strata).high - accuracy(strata).low;
        assert!(width(&apart) < 0.5 * width(&[mixed]), "{} {}", width(&apart), width(&[mixed]));
    }

    #[test]
    fn ties_are_shared() {
        assert_eq!(chosen(&[-1.0, -2.0, -3.0], 0), 1.0);
        assert_eq!(chosen(&[-1.0, -2.0, -3.0], 1), 0.0);
        assert_eq!(chosen(&[-1.0, -1.0, -3.0, -1.0], 3), 1.0 / 3.0);
        assert_eq!(chosen(&[-1.0, f64::NEG_INFINITY], 1), 0.0);
    }
}
