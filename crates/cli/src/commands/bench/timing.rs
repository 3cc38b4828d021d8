//! Repeated measurements and their statistics.

use std::time::Instant;

use percept::Result;

use crate::meter::Meter;
use crate::terminal::Terminal;

/// Runs before the first that counts.
pub(super) const WARM_UP: usize = 2;

/// Times in milliseconds, sorted; at least one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Times(Vec<f64>);

impl Times {
    /// Runs `body` [`WARM_UP`] times and then `count` times on the clock.
    pub(super) fn measure(
        terminal: Terminal,
        label: &str,
        count: usize,
        mut body: impl FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let total = count + WARM_UP;
        let mut meter = Meter::new(terminal, label, total as u64);
        let mut times = Vec::new();
        for run in 0..total {
            let begin = Instant::now();
            body(run)?;
            let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
            if run >= WARM_UP {
                times.push(milliseconds);
            }
            meter.set(run as u64 + 1, || format!("{milliseconds:.1} ms"));
        }
        Ok(Self::new(times))
    }

    /// These times, of which there is at least one.
    pub(super) fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    pub(super) fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    /// The middle one, the upper of two.
    pub(super) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Format, Talk};

    #[test]
    fn statistics_are_those_of_the_sorted_times() {
        let times = Times::new(vec![3.0, 1.0, 2.0, 10.0]);
        assert_eq!((times.min(), times.median(), times.max(), times.mean()), (1.0, 3.0, 10.0, 4.0));
        assert_eq!(Times::new(vec![5.0, 4.0, 9.0]).median(), 5.0);
    }

    #[test]
    fn runs_that_warm_up_do_not_count() {
        let (mut runs, quiet) = (Vec::new(), Terminal { talk: Talk::Quiet, format: Format::Text });
        let times = Times::measure(quiet, "test", 3, |run| {
            runs.push(run);
            Ok(())
        });
        assert_eq!((times.unwrap().0.len(), runs), (3, vec![0, 1, 2, 3, 4]));
    }
}
