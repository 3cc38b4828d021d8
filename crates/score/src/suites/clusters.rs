//! Means over independent units.
//!
//! Neighbouring targets of a document, the answers to one document of a task, and the five depths of one needle are not
//! independent: whoever counts them one by one believes to know more than there is to know. So everything is summed up by
//! units that are (documents, windows, needles), and errors come from how the units differ.
//!
//! The mean is that of the trials, `sum of y / sum of m` over units of m trials with the sum y; its variance is
//! `sum of (y - mean m)^2 / (sum of m)^2` (the linearised ratio, Cochran 1977), corrected for the units having made the mean themselves
//! as if each were as noisy as the others. With units of equal size that is the textbook standard error.

use super::student::student;

/// Sums over units, in constant memory.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Clusters {
    count: u64,
    total: f64,
    /// Sums of the first four powers of the units' sizes.
    sizes: [f64; 4],
    /// The mean of the first unit. Sums are of what differs from it: equal units then differ by exactly nothing.
    reference: f64,
    /// Sum of d = y - reference m.
    sum: f64,
    /// Sum of d squared.
    squares: f64,
    /// Sum of m d.
    products: f64,
}

impl Clusters {
    /// Every value as a unit of its own.
    #[cfg(test)]
    pub(super) fn of_singles(values: impl IntoIterator<Item = f64>) -> Self {
        let mut clusters = Self::default();
        values.into_iter().for_each(|value| clusters.add(1, value));
        clusters
    }

    /// Adds a unit of `size` trials with the sum `sum`; one without trials adds nothing.
    pub(super) fn add(&mut self, size: u64, sum: f64) {
        if size == 0 {
            return;
        }
        let size = size as f64;
        if self.count == 0 {
            self.reference = sum / size;
        }
        let apart = sum - self.reference * size;
        self.count += 1;
        self.total += sum;
        for (power, total) in (1..).zip(&mut self.sizes) {
            *total += size.powi(power);
        }
        self.sum += apart;
        self.squares += apart * apart;
        self.products += size * apart;
    }

    /// Units.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Trials in all.
    pub(super) fn trials(&self) -> f64 {
        self.sizes[0]
    }

    /// Sum over all trials.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// Sum of the squared sizes: how much the sum would vary if the trials of a unit were all one.
    pub(super) fn squared_sizes(&self) -> f64 {
        self.sizes[1]
    }

    /// Mean over all trials; not a number without any.
    pub(super) fn mean(&self) -> f64 {
        self.reference + self.sum / self.trials()
    }

    /// Share of the units' deviations that is left after they made the mean themselves; 1 - 1 / n for n equal ones.
    pub(super) fn left(&self) -> f64 {
        let [all, squares, cubes, _] = self.sizes;
        1.0 - 2.0 * cubes / (squares * all) + squares / (all * all)
    }

    /// Degrees of freedom of the variance (Satterthwaite 1946): n - 1 for n equal units, fewer where some are much larger.
    pub(super) fn freedom(&self) -> f64 {
        (self.sizes[1] * self.sizes[1] / self.sizes[3] - 1.0).max(1.0)
    }

    /// Variance of the sum over all trials; `None` where one unit tells nothing about others.
    pub(super) fn variance(&self) -> Option<f64> {
        let apart = self.sum / self.trials();
        let deviations = self.squares - 2.0 * apart * self.products + apart * apart * self.sizes[1];
        (self.count > 1).then(|| deviations.max(0.0) / self.left())
    }

    /// Standard error of the mean; `None` with fewer than two units.
    pub(super) fn standard_error(&self) -> Option<f64> {
        self.variance().map(|variance| variance.sqrt() / self.trials())
    }

    /// The 95 % interval of the mean (Student's t); `None` with fewer than two units.
    pub(super) fn interval(&self) -> Option<(f64, f64)> {
        let half = self.standard_error()? * student(self.freedom());
        Some((self.mean() - half, self.mean() + half))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_units_have_the_textbook_error(sums in proptest::collection::vec(-5.0_f64..5.0, 2..40), size in 1_u64..9) {
            let mut clusters = Clusters::default();
            sums.iter().for_each(|&sum| clusters.add(size, sum));
            let count = sums.len() as f64;
            let means: Vec<f64> = sums.iter().map(|sum| sum / size as f64).collect();
            let mean = means.iter().sum::<f64>() / count;
            let variance = means.iter().map(|own| (own - mean).powi(2)).sum::<f64>() / (count - 1.0);
            prop_assert_eq!(clusters.trials() as u64, size * sums.len() as u64);
            prop_assert!((clusters.mean() - mean).abs() < 1e-9);
            prop_assert!((clusters.standard_error().unwrap() - (variance / count).sqrt()).abs() < 1e-9);
            prop_assert!((clusters.freedom() - (count - 1.0)).abs() < 1e-9);
        }
    }

    #[test]
    fn units_of_unequal_size_count_by_their_trials() {
        let mut clusters = Clusters::default();
        [(1, 4.0), (0, 9.0), (3, 6.0)].into_iter().for_each(|(size, sum)| clusters.add(size, sum));
        // Weights 1/4 and 3/4, means 4 and 2: twice the same deviation, and one degree of freedom.
        assert_eq!((clusters.count(), clusters.mean(), clusters.freedom()), (2, 2.5, 1.0));
        let left = 1.0 - 2.0 * (28.0 / 64.0) / (10.0 / 16.0) + 10.0 / 16.0;
        let error = (2.0 * (0.25 * 1.5_f64).powi(2) / left).sqrt();
        assert!((clusters.standard_error().unwrap() - error).abs() < 1e-12);
    }

    #[test]
    fn equal_values_have_no_error_and_one_unit_has_none_known() {
        let clusters = Clusters::of_singles([0.1; 7]);
        assert_eq!((clusters.standard_error(), clusters.interval()), (Some(0.0), Some((0.1, 0.1))));
        let one = Clusters::of_singles([0.1]);
        assert_eq!((one.count(), one.mean(), one.standard_error(), one.interval()), (1, 0.1, None, None));
    }
}
