//! The checks, each a function of the subject.

mod causality;
mod extend;
mod independence;
mod loss;
mod positions;
mod precision;
mod reach;
mod state;

use percept_fault::Result;

use super::{Check, Effort, Subject};

type Run = fn(&dyn Subject, Effort) -> Result<Vec<Check>>;

/// Every check, in the order of the report.
pub(super) const ALL: [Run; 8] =
    [causality::run, extend::run, state::run, reach::run, independence::run, positions::run, loss::run, precision::run];

/// The largest of some values and where it was found.
#[derive(Debug, Default)]
pub(super) struct Worst {
    value: f64,
    place: Option<String>,
    tried: usize,
}

impl Worst {
    pub(super) fn see(&mut self, value: f64, place: impl FnOnce() -> String) {
        self.tried += 1;
        if value > self.value || value.is_nan() {
            (self.value, self.place) = (value, Some(place()));
        }
    }

    /// Holds where the largest value is at most `limit`. `what` says what the values are.
    pub(super) fn at_most(self, name: &'static str, limit: f64, what: &str) -> Check {
        let detail = match &self.place {
            Some(place) => format!("{what}, {} tried, largest {place}", self.tried),
            None => format!("{what}, {} tried", self.tried),
        };
        Check { name, passed: self.value <= limit, value: Some(self.value), limit, detail }
    }
}

/// A check that does not apply to a subject holds, and says why.
fn not_applicable(name: &'static str, why: &str) -> Check {
    Check { name, passed: true, value: None, limit: 0.0, detail: format!("does not apply: {why}") }
}
