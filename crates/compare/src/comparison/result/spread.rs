//! A figure over seeds.

use serde::{Deserialize, Serialize};

/// A figure over seeds.
///
/// ```
/// use percept_compare::Spread;
/// let losses = Spread::of(&[2.0, 2.25, 2.5]).unwrap();
/// assert_eq!((losses.mean, losses.width()), (2.25, Some(0.5)));
/// // One seed tells nothing about the spread.
/// assert_eq!(Spread::of(&[2.0]).unwrap().width(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Lowest.
    pub min: f64,
    /// Highest.
    pub max: f64,
    /// Number of seeds.
    pub seeds: usize,
}

impl Spread {
    /// The spread of some values; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let (min, max) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
        Some(Self { mean: values.iter().sum::<f64>() / values.len() as f64, min, max, seeds: values.len() })
    }

    /// Highest less lowest; `None` with one seed, which tells nothing about the spread.
    pub fn width(&self) -> Option<f64> {
        (self.seeds > 1).then_some(self.max - self.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_needs_two_seeds() {
        let spread = Spread::of(&[2.0, 1.0, 1.5]).unwrap();
        assert_eq!((spread.mean, spread.width()), (1.5, Some(1.0)));
        assert_eq!(Spread::of(&[2.0]).unwrap().width(), None);
        assert_eq!(Spread::of(&[]), None);
    }
}
