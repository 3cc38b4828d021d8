//! The loops over the channels of one row.

use super::{ENERGY_FLOOR, MASS_FLOOR, Tssa};
use crate::simd::{LANES, dot, exp, lanes_sum, scale, simd};

/// What a block knows of its decay at one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fading {
    /// What the block's own sum is multiplied by.
    pub(super) decay: f32,
    /// What the sum carried into the block is multiplied by, all in all.
    pub(super) power: f32,
}

/// One head's weight and mass at one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) weight: f32,
    /// The mass with its floor.
    pub(super) mass: f32,
}

simd! {
    /// `sum = decay sum + weight u^2`.
    pub(super) fn add_squares(u: &[f32], weight: f32, decay: f32, sum: &mut [f32]) {
        for (u, sum) in u.iter().zip(sum) {
            *sum = A::fma(decay, *sum, weight * *u * *u);
        }
    }

    /// `sum += factor x`.
    pub(super) fn add_scaled(x: &[f32], factor: f32, sum: &mut [f32]) {
        for (x, sum) in x.iter().zip(sum) {
            *sum = A::fma(factor, *x, *sum);
        }
    }

    /// `sum = decay sum + u^2`, the block's own; `energies` gets the energy, `ratios` the share of u^2 in it.
    pub(super) fn energies(
        u: &[f32], fading: Fading, base: &[f32], sum: &mut [f32], energies: &mut [f32], ratios: &mut [f32],
    ) {
        for ((((u, base), sum), energy), ratio) in u.iter().zip(base).zip(sum).zip(energies).zip(ratios) {
            let square = *u * *u;
            *sum = A::fma(fading.decay, *sum, square);
            *energy = A::fma(fading.power, *base, *sum);
            *ratio = square / energy.max(ENERGY_FLOOR);
        }
    }

    /// `sum = decay sum + weight u^2`, the block's own; `y = -weight u mass / (mass + numerator)`.
    pub(super) fn gate(u: &[f32], head: Head, fading: Fading, base: &[f32], sum: &mut [f32], y: &mut [f32]) {
        for (((u, base), sum), y) in u.iter().zip(base).zip(sum).zip(y) {
            *sum = A::fma(fading.decay, *sum, head.weight * *u * *u);
            let numerator = A::fma(fading.power, *base, *sum);
            *y = -head.weight * *u * head.mass / (head.mass + numerator);
        }
    }

    /// What flows back through [`gate`] from `grad`, the gradient of y: that of the numerator takes its place, that of weight u
    /// goes into `du`.
    fn gate_flow(
        u: &[f32], head: Head, fading: Fading, base: &[f32], sum: &mut [f32], grad: &mut [f32], du: &mut [f32],
    ) {
        for ((((u, base), sum), grad), du) in u.iter().zip(base).zip(sum).zip(grad).zip(du) {
            *sum = A::fma(fading.decay, *sum, head.weight * *u * *u);
            let share = 1.0 / (head.mass + A::fma(fading.power, *base, *sum));
            let gated = -*grad * head.mass * share;
            *grad = -head.weight * gated * *u * share;
            *du = gated;
        }
    }

    /// `flow = decay flow + dnumerator`, the gradient of the numerator through all later rows; adds what it means for u.
    fn numerator_flow(u: &[f32], weight: f32, decay: f32, dnumerator: &[f32], flow: &mut [f32], du: &mut [f32]) {
        for (((u, dnumerator), flow), du) in u.iter().zip(dnumerator).zip(flow).zip(du) {
            *flow = A::fma(decay, *flow, *dnumerator);
            *du = A::fma(2.0 * weight * *u, *flow, *du);
        }
    }

    /// The sum of `flow u^2`.
    fn squares_weighted(u: &[f32], flow: &[f32]) -> f32 {
        let mut lanes = [0.0; LANES];
        let (us, flows) = (u.chunks_exact(LANES), flow.chunks_exact(LANES));
        let rest: f32 = us.remainder().iter().zip(flows.remainder()).map(|(u, flow)| flow * u * u).sum();
        for (u, flow) in us.zip(flows) {
            for lane in 0..LANES {
                lanes[lane] = A::fma(flow[lane] * u[lane], u[lane], lanes[lane]);
            }
        }
        lanes_sum(lanes) + rest
    }

    /// What flows back through the ratios from `dratio`, the gradient of each: that of the energy into `denergy`; that of u, as
    /// far as the ratios alone depend on it, is added to `du`.
    pub(super) fn ratios_backward(u: &[f32], dratio: f32, energies: &[f32], denergy: &mut [f32], du: &mut [f32]) {
        for (((u, energy), denergy), du) in u.iter().zip(energies).zip(denergy).zip(du) {
            let share = 1.0 / energy.max(ENERGY_FLOOR);
            let flow = dratio * *u * share;
            *du = A::fma(2.0, flow, *du);
            *denergy = if *energy > ENERGY_FLOOR { -flow * *u * share } else { 0.0 };
        }
    }

    /// `flow = decay flow + denergy`, the gradient of the energy through all later rows; adds what it means for u.
    pub(super) fn energy_backward(u: &[f32], decay: f32, denergy: &[f32], flow: &mut [f32], du: &mut [f32]) {
        for (((u, denergy), flow), du) in u.iter().zip(denergy).zip(flow).zip(du) {
            *flow = A::fma(decay, *flow, *denergy);
            *du = A::fma(2.0 * *u, *flow, *du);
        }
    }

    /// `x = softmax(x)`.
    fn softmax(x: &mut [f32]) {
        let most = x.iter().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
        let mut sum = 0.0;
        for x in x.iter_mut() {
            *x = exp::<A>(*x - most);
            sum += *x;
        }
        for x in x {
            *x /= sum;
        }
    }
}

/// What flows back through [`gate`] from `grad`, the gradient of y: that of the numerator takes its place, that of u, as far
/// as y alone depends on it, goes into `du`; returns those of the weight and of the mass.
pub(super) fn gate_backward(
    u: &[f32],
    head: Head,
    fading: Fading,
    base: &[f32],
    own: &mut [f32],
    grad: &mut [f32],
    du: &mut [f32],
) -> (f32, f32) {
    gate_flow(u, head, fading, base, own, grad, du);
    let dweight = dot(u, du);
    // dy/dS = weight u N / (S + N)^2 in which N = (S + N) - S.
    let dmass = dweight * head.weight / head.mass + sum(grad);
    scale(du, head.weight);
    (dweight, dmass)
}

/// Adds what later rows ask of the numerator ([`numerator_flow`]) to the gradient of u, and returns that of the weight.
pub(super) fn numerator_backward(
    u: &[f32],
    weight: f32,
    decay: f32,
    dnumerator: &[f32],
    flow: &mut [f32],
    du: &mut [f32],
) -> f32 {
    numerator_flow(u, weight, decay, dnumerator, flow, du);
    squares_weighted(u, flow)
}

/// The sum of the elements.
fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let blocks = x.chunks_exact(LANES);
    let rest: f32 = blocks.remainder().iter().sum();
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane += x);
    }
    lanes_sum(lanes) + rest
}

impl Tssa {
    /// What is multiplied by the temperature, `[heads]`, from the ratios of a row at a position.
    pub(super) fn logits(&self, ratios: &[f32], offsets: &[f32], position: usize, logits: &mut [f32]) {
        let scale = self.scale(position) as f32;
        for ((ratios, offset), logit) in ratios.chunks_exact(self.width).zip(offsets).zip(logits) {
            *logit = scale * sum(ratios) + offset;
        }
    }

    /// The weights of the heads, from what [`Tssa::logits`] gives, in its place.
    pub(super) fn weigh(&self, temperature: &[f32], logits: &mut [f32]) {
        logits.iter_mut().zip(temperature).for_each(|(logit, temperature)| *logit *= temperature);
        softmax(logits);
    }

    /// One head's weight and mass.
    pub(super) fn head(weight: f32, mass: f32) -> Head {
        Head { weight, mass: mass + MASS_FLOOR }
    }
}
