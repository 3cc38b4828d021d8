//! A search of the learning rate.

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most learning rates of a sweep.
const MOST_POINTS: usize = 100;

/// A search of the learning rate: a geometric grid around the configured one, the same effort for every model.
///
/// ```
/// use percept_compare::Sweep;
/// let sweep = Sweep { lr: 3, factor: 2.0, ..Sweep::default() };
/// assert_eq!(sweep.factors(), [0.5, 1.0, 2.0]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    /// Points of the grid.
    pub lr: usize,
    /// Ratio of neighbours.
    pub factor: f64,
    /// Share of the budget that each point is trained for.
    pub fraction: f64,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { lr: 3, factor: 2.0, fraction: 0.1 }
    }
}

impl Sweep {
    /// Factors on the configured learning rate, in rising order: 1/2, 1, 2.
    pub fn factors(&self) -> Vec<f64> {
        (0..self.lr).map(|index| self.factor.powf(index as f64 - (self.lr - 1) as f64 / 2.0)).collect()
    }

    /// The sweep that `lr=3` asks for.
    ///
    /// # Errors
    /// A usage fault where it does not read so.
    pub fn from_flag(text: &str) -> Result<Self> {
        match text.split_once('=').map(|(key, count)| (key.trim(), count.trim().parse())) {
            Some(("lr", Ok(lr))) => Ok(Self { lr, ..Self::default() }),
            _ => {
                Err(Fault::usage(format!("--sweep {text}")).hint("write --sweep lr=3: three learning rates per model"))
            }
        }
    }

    /// Checks that the grid can be trained.
    pub(super) fn validate(&self) -> Result<()> {
        let sound =
            (1..=MOST_POINTS).contains(&self.lr) && self.factor > 1.0 && self.fraction > 0.0 && self.fraction <= 1.0;
        match sound {
            true => Ok(()),
            false => Err(Fault::usage("sweep is out of range").hint(format!(
                "lr is at least 1 and at most {MOST_POINTS}, factor above 1, fraction above 0 and at most 1"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_geometric_around_the_configured_rate() {
        assert_eq!(Sweep::from_flag("lr=3").unwrap().factors(), [0.5, 1.0, 2.0]);
        assert_eq!(Sweep::from_flag("lr=1").unwrap().factors(), [1.0]);
        assert!(Sweep::from_flag("rate=3").unwrap_err().is_usage());
    }
}
