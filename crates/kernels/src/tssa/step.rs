//! One new row of one sequence, from sums in pairs of f32.

use super::sums::{add_one, add_squares};
use super::{ENERGY_FLOOR, Tssa, TssaInputs};

impl Tssa {
    /// Elements of working memory of [`Tssa::step`].
    pub fn step_scratch(&self) -> usize {
        self.channels() + self.heads
    }

    /// The row at `start`, alone: writes `y [channels]` and moves `sums` past it, pairs of energy, numerator and mass
    /// ([`super::TssaSums::pairs`]). Allocates nothing.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn step(&self, inputs: &TssaInputs<'_>, sums: [&mut [f32]; 3], scratch: &mut [f32], y: &mut [f32]) {
        let one = Self { batch: 1, rows: 1, ..*self };
        one.check(inputs, y);
        let [(energy, energy_rest), (numerator, numerator_rest), (mass, mass_rest)] =
            sums.map(|pair| pair.split_at_mut(pair.len() / 2));
        let (ratios, weights) = scratch[..self.step_scratch()].split_at_mut(self.channels());
        add_squares(inputs.u, 1.0, self.decay, energy, energy_rest, ratios);
        for (ratio, u) in ratios.iter_mut().zip(inputs.u) {
            *ratio = u * u / ratio.max(ENERGY_FLOOR);
        }
        self.logits(ratios, inputs.offsets, self.start, weights);
        self.weigh(inputs.temperature, weights);
        for (head, weight) in weights.iter().enumerate() {
            let range = head * self.width..(head + 1) * self.width;
            let (u, y) = (&inputs.u[range.clone()], &mut y[range.clone()]);
            let total = add_one(*weight, self.decay, &mut mass[head], &mut mass_rest[head]);
            let (high, low) = (&mut numerator[range.clone()], &mut numerator_rest[range]);
            add_squares(u, *weight, self.decay, high, low, y);
            let of_head = Self::head(*weight, total);
            for (y, u) in y.iter_mut().zip(u) {
                *y = -of_head.weight * u * of_head.mass / (of_head.mass + *y);
            }
        }
    }
}
