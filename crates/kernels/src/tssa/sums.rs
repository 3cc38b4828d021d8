//! The running sums, in f64 and as pairs of f32.

use super::Tssa;
use crate::simd::simd;

/// The three running sums of some sequences. A sum of a million squares in f32 would no longer see a small one.
#[derive(Debug, Clone, PartialEq)]
pub struct TssaSums {
    /// `[batch, channels]`.
    pub energy: Vec<f64>,
    /// `[batch, channels]`.
    pub numerator: Vec<f64>,
    /// `[batch, heads]`.
    pub mass: Vec<f64>,
}

impl TssaSums {
    /// Before the first row.
    pub fn zero(tssa: &Tssa) -> Self {
        let of = |width: usize| vec![0.0; tssa.batch * width];
        Self { energy: of(tssa.channels()), numerator: of(tssa.channels()), mass: of(tssa.heads) }
    }

    /// Of one sequence, from pairs `[2, channels]`, `[2, channels]`, `[2, heads]`.
    pub fn of_pairs([energy, numerator, mass]: [&[f32]; 3]) -> Self {
        Self { energy: join(energy), numerator: join(numerator), mass: join(mass) }
    }

    /// As pairs: what f32 holds of each sum, then what f32 holds of the rest.
    pub fn pairs(&self) -> [Vec<f32>; 3] {
        [&self.energy, &self.numerator, &self.mass].map(|sums| split(sums))
    }
}

fn join(pair: &[f32]) -> Vec<f64> {
    let (high, low) = pair.split_at(pair.len() / 2);
    high.iter().zip(low).map(|(high, low)| f64::from(*high) + f64::from(*low)).collect()
}

fn split(sums: &[f64]) -> Vec<f32> {
    let high = sums.iter().map(|sum| *sum as f32);
    let low = sums.iter().map(|sum| (sum - f64::from(*sum as f32)) as f32);
    high.chain(low).collect()
}

simd! {
    /// `sum = decay sum + weight u^2` in pairs `[2, n]`; `totals` gets the sums.
    pub(super) fn add_squares(u: &[f32], weight: f32, decay: f64, high: &mut [f32], low: &mut [f32], totals: &mut [f32]) {
        for (((u, high), low), total) in u.iter().zip(high).zip(low).zip(totals) {
            let square = f64::from(weight * *u * *u);
            let sum = decay * (f64::from(*high) + f64::from(*low)) + square;
            *high = sum as f32;
            *low = (sum - f64::from(*high)) as f32;
            *total = *high;
        }
    }
}

/// `sum = decay sum + value`, in a pair; returns the sum.
pub(super) fn add_one(value: f32, decay: f64, high: &mut f32, low: &mut f32) -> f32 {
    let sum = decay * (f64::from(*high) + f64::from(*low)) + f64::from(value);
    *high = sum as f32;
    *low = (sum - f64::from(*high)) as f32;
    *high
}
