//! Causal token statistics self-attention (TSSA): routing and gating by running sums of squares.

mod backward;
mod blocks;
mod forward;
#[cfg(test)]
mod reference;
mod row;
mod step;
mod sums;

pub use forward::TssaSaved;
pub use sums::TssaSums;

use crate::cost::Cost;

/// What is added to the mass, so that a division by it is one by a number above zero.
const MASS_FLOOR: f32 = 1e-8;
/// The least energy that is divided by. The sum that is carried is not clamped.
const ENERGY_FLOOR: f32 = 1e-12;

/// How the energy of a token counts where heads are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Routing {
    /// As it is, a share of the sum so far: what a token adds to t others is about 1/t, so that the choice fades with length.
    Share,
    /// Times the (decayed) number of tokens so far: a share of the mean.
    LengthScaled,
}

/// Causal TSSA (arXiv 2412.17810; causal form: the authors' `tost_lang`), for `u [batch, rows, heads, width]`, with running
/// sums that may decay:
///
/// - energy `E_t = decay E_(t-1) + u_t^2`, channel by channel,
/// - weights `p_t = softmax over heads of temperature_h (scale_t sum over channels of u_t^2 / E_t + offset_(t, h))`,
/// - numerator `N_t = decay N_(t-1) + p_t u_t^2`, mass `S_t = decay S_(t-1) + p_t`,
/// - `y_t = -p_t u_t / (1 + N_t / S_t)`.
///
/// Sums are carried in f64 from block to block of rows, and in f32 inside a block only.
///
/// ```
/// use percept_kernels::{Routing, Tssa, TssaInputs, TssaSums};
/// let tssa = Tssa { batch: 1, rows: 2, heads: 1, width: 1, decay: 1.0, routing: Routing::Share, start: 0 };
/// let inputs = TssaInputs { u: &[1.0, 3.0], temperature: &[1.0], offsets: &[0.0; 2] };
/// let (mut sums, mut y) = (TssaSums::zero(&tssa), [0.0; 2]);
/// tssa.forward(&inputs, &mut sums, &mut y);
/// // One head has all of the weight: each token is divided by one more than the mean square so far.
/// assert!((y[0] + 1.0 / 2.0).abs() < 1e-6 && (y[1] + 3.0 / 6.0).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tssa {
    /// Sequences.
    pub batch: usize,
    /// Rows per sequence.
    pub rows: usize,
    /// Heads.
    pub heads: usize,
    /// Channels per head.
    pub width: usize,
    /// What the sums are multiplied by per row, in (0, 1].
    pub decay: f64,
    /// How the energy of a token counts.
    pub routing: Routing,
    /// Position of the first row.
    pub start: usize,
}

/// What TSSA reads.
#[derive(Debug, Clone, Copy)]
pub struct TssaInputs<'a> {
    /// `[batch, rows, heads, width]`.
    pub u: &'a [f32],
    /// `[heads]`.
    pub temperature: &'a [f32],
    /// `[rows, heads]`, the same for all sequences.
    pub offsets: &'a [f32],
}

/// Gradients of [`TssaInputs`].
#[derive(Debug)]
pub struct TssaGradients<'a> {
    /// Of u.
    pub u: &'a mut [f32],
    /// Of the temperature.
    pub temperature: &'a mut [f32],
    /// Of the offsets.
    pub offsets: &'a mut [f32],
}

impl Tssa {
    /// Multiply-accumulates per element: two energies, the ratio, two numerators, the output.
    const FORWARD: u64 = 6;
    /// Five sums run again, and what flows back through each of them and through the three products.
    const BACKWARD: u64 = 17;

    /// Channels of a row.
    pub fn channels(&self) -> usize {
        self.heads * self.width
    }

    fn len(&self) -> usize {
        self.batch * self.rows * self.channels()
    }

    /// What the forward pass executes.
    pub fn forward_cost(&self) -> Cost {
        Cost { macs: Self::FORWARD.saturating_mul(self.size()), elements: self.size().saturating_mul(2) }
    }

    /// What the backward pass executes.
    pub fn backward_cost(&self) -> Cost {
        Cost { macs: Self::BACKWARD.saturating_mul(self.size()), elements: self.size().saturating_mul(3) }
    }

    fn size(&self) -> u64 {
        [self.batch, self.rows, self.heads, self.width].into_iter().fold(1, |size, n| size.saturating_mul(n as u64))
    }

    fn check(&self, inputs: &TssaInputs<'_>, y: &[f32]) {
        assert_eq!((inputs.u.len(), y.len()), (self.len(), self.len()), "sizes of TSSA's rows");
        assert_eq!(inputs.temperature.len(), self.heads, "size of TSSA's temperature");
        assert_eq!(inputs.offsets.len(), self.rows * self.heads, "size of TSSA's offsets");
    }

    /// What the shares of energy at a position are multiplied by.
    pub fn scale(&self, position: usize) -> f64 {
        let count = (position + 1) as f64;
        match self.routing {
            Routing::Share => 1.0,
            Routing::LengthScaled if self.decay == 1.0 => count,
            Routing::LengthScaled => (1.0 - self.decay.powf(count)) / (1.0 - self.decay),
        }
    }
}
