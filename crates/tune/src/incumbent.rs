//! The best configuration so far.

use crate::trial::{Outcome, Trial};

/// The best trial so far: the lowest metric among those of the highest rung that any has reached, since metrics after different
/// budgets can't be compared.
///
/// ```
/// use percept_tune::{Incumbent, Outcome, Trial};
/// let trial = |number, rung| Trial { number, point: vec![0], rung, fraction: if rung == 0 { 0.5 } else { 1.0 } };
/// let best = Incumbent::after(None, &trial(0, 0), Outcome::Finished(2.0));
/// // More training comes first, and a lower metric after less training takes nothing back.
/// let best = Incumbent::after(best, &trial(0, 1), Outcome::Finished(3.0));
/// let best = Incumbent::after(best, &trial(1, 0), Outcome::Finished(1.0));
/// assert_eq!(best.unwrap().metric, 3.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Incumbent {
    /// The trial.
    pub trial: Trial,
    /// Its metric.
    pub metric: f64,
}

impl Incumbent {
    /// The better of what was best and a new trial; the elder of equals.
    pub fn after(best: Option<Self>, trial: &Trial, outcome: Outcome) -> Option<Self> {
        let Some(metric) = outcome.value() else { return best };
        match best {
            Some(best) if (best.trial.rung, -best.metric) >= (trial.rung, -metric) => Some(best),
            _ => Some(Self { trial: trial.clone(), metric }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rung_counts_then_the_metric_then_age() {
        let trial = |number, rung| Trial { number, point: vec![0], rung, fraction: 1.0 };
        let mut best = None;
        let mut after = |number, rung, outcome| {
            best = Incumbent::after(best.take(), &trial(number, rung), outcome);
            best.as_ref().map(|best| best.trial.number)
        };
        assert_eq!(after(9, 0, Outcome::Diverged), None);
        assert_eq!(after(0, 0, Outcome::Finished(1.0)), Some(0));
        assert_eq!(after(1, 1, Outcome::Finished(2.0)), Some(1));
        assert_eq!(after(2, 0, Outcome::Finished(0.5)), Some(1));
        assert_eq!(after(3, 1, Outcome::Finished(2.0)), Some(1));
        assert_eq!(after(4, 1, Outcome::Failed), Some(1));
        assert_eq!(after(5, 1, Outcome::Finished(1.5)), Some(5));
    }
}
