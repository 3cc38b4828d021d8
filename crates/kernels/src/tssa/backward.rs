//! The backward pass: the gradients of the numerator and the mass flow back from row to row, then those of the energy.

use super::blocks::{Block, Order};
use super::row;
use super::{Tssa, TssaGradients, TssaInputs, TssaSaved};
use crate::cost::count_cost;
use rayon::prelude::*;

/// Parts of the gradients that belong to one block.
struct Parts<'a> {
    /// Of y, then of the numerator, then of the energy.
    flow: &'a mut [f32],
    du: &'a mut [f32],
    /// Of the weights, then of what they are the softmax of.
    dweights: &'a mut [f32],
    dmass: &'a mut [f32],
}

impl Tssa {
    /// Writes the gradients of the inputs from `grad`, that of y, which is used up; `saved` comes from the forward pass, from
    /// sums of zero.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn backward(&self, inputs: &TssaInputs<'_>, saved: &TssaSaved, grad: &mut [f32], gradients: TssaGradients<'_>) {
        self.check(inputs, grad);
        assert_eq!(gradients.u.len(), grad.len(), "size of TSSA's gradient");
        let (channels, heads) = (self.channels(), self.heads);
        let [mut dweights, mut dmass] = [(); 2].map(|()| vec![0.0; self.batch * self.rows * heads]);
        let mut parts = self.parts(grad, gradients.u, &mut dweights, &mut dmass);
        let (mut numerator, mut mass) = (self.sums(channels), self.sums(heads));
        let sums = numerator.par_chunks_mut(channels).zip(mass.par_chunks_mut(heads));
        parts.par_iter_mut().zip(sums).enumerate().for_each(|(index, (parts, sums))| {
            self.gates_backward(index, inputs.u, saved, parts, sums);
        });
        self.carry(&mut numerator, &mut vec![0.0; self.batch * channels], channels, Order::Backward);
        self.carry(&mut mass, &mut vec![0.0; self.batch * heads], heads, Order::Backward);

        let (mut energy, mut dtemperature) = (self.sums(channels), self.sums(heads));
        let flows = numerator.par_chunks_mut(channels).zip(mass.par_chunks_mut(heads));
        let sums = energy.par_chunks_mut(channels).zip(dtemperature.par_chunks_mut(heads));
        parts.par_iter_mut().zip(flows.zip(sums)).enumerate().for_each(|(index, (parts, (flows, sums)))| {
            self.routes_backward(index, inputs, saved, parts, flows, sums);
        });
        self.carry(&mut energy, &mut vec![0.0; self.batch * channels], channels, Order::Backward);

        parts.par_iter_mut().zip(energy.par_chunks_mut(channels)).enumerate().for_each(|(index, (parts, flow))| {
            let rows = self.rows_of(self.block(index), inputs.u).zip(parts.flow.chunks_exact(channels));
            for ((u, denergy), du) in rows.zip(parts.du.chunks_exact_mut(channels)).rev() {
                row::energy_backward(u, self.decay as f32, denergy, flow, du);
            }
        });
        add_up(&dtemperature, gradients.temperature);
        add_up(&dweights, gradients.offsets);
        count_cost(self.backward_cost());
    }

    fn parts<'a>(
        &self,
        flow: &'a mut [f32],
        du: &'a mut [f32],
        dweights: &'a mut [f32],
        dmass: &'a mut [f32],
    ) -> Vec<Parts<'a>> {
        let [flow, du] = [flow, du].map(|x| self.by_blocks(x, self.channels()));
        let [dweights, dmass] = [dweights, dmass].map(|x| self.by_blocks(x, self.heads));
        let all = flow.into_iter().zip(du).zip(dweights.into_iter().zip(dmass));
        all.map(|((flow, du), (dweights, dmass))| Parts { flow, du, dweights, dmass }).collect()
    }

    /// From the gradient of y to those of its own inputs; `sums` get those of numerator and mass at the block's first row, as
    /// far as they come from the block.
    fn gates_backward(
        &self,
        index: usize,
        u: &[f32],
        saved: &TssaSaved,
        parts: &mut Parts<'_>,
        (dnumerator, dmass): (&mut [f32], &mut [f32]),
    ) {
        let (block, channels, width) = (self.block(index), self.channels(), self.width);
        let (base, base_mass) = (&saved.numerator[index * channels..], &saved.mass[index * self.heads..]);
        let (mut own, mut mass) = (vec![0.0; channels], vec![0.0; self.heads]);
        let powers = self.powers();
        let rows = self.rows_of(block, u).zip(self.rows_of(block, &saved.weights)).zip(self.fading());
        for (at, ((u, weights), fading)) in rows.enumerate() {
            for (head, weight) in weights.iter().enumerate() {
                let (range, single) = (head * width..(head + 1) * width, at * self.heads + head);
                let in_row = at * channels + range.start..at * channels + range.end;
                mass[head] = fading.decay * mass[head] + weight;
                let of_head = Self::head(*weight, fading.power * base_mass[head] + mass[head]);
                let (base, own) = (&base[range.clone()], &mut own[range.clone()]);
                let (grad, du) = (&mut parts.flow[in_row.clone()], &mut parts.du[in_row]);
                let (of_weight, of_mass) = row::gate_backward(&u[range.clone()], of_head, fading, base, own, grad, du);
                row::add_scaled(grad, powers[at], &mut dnumerator[range]);
                dmass[head] += powers[at] * of_mass;
                (parts.dweights[single], parts.dmass[single]) = (of_weight, of_mass);
            }
        }
    }

    /// From the gradients of numerator and mass, `flows` those that come from later blocks, to those of the weights, and from
    /// there to that of the energy; `sums` get that of the energy, as [`Tssa::gates_backward`], and that of the temperature.
    fn routes_backward(
        &self,
        index: usize,
        inputs: &TssaInputs<'_>,
        saved: &TssaSaved,
        parts: &mut Parts<'_>,
        (dnumerator, dmass): (&mut [f32], &mut [f32]),
        (denergy, dtemperature): (&mut [f32], &mut [f32]),
    ) {
        let (block, channels, width) = (self.block(index), self.channels(), self.width);
        let (energies, logits) = self.energies_again(block, inputs, &saved.energy[index * channels..][..channels]);
        let (powers, decay) = (self.powers(), self.decay as f32);
        let rows = self.rows_of(block, inputs.u).zip(self.rows_of(block, &saved.weights));
        for (at, (u, weights)) in rows.enumerate().rev() {
            let row = at * channels..(at + 1) * channels;
            let (flow, du) = (&mut parts.flow[row.clone()], &mut parts.du[row.clone()]);
            let singles = at * self.heads..(at + 1) * self.heads;
            let (dweights, logits) = (&mut parts.dweights[singles.clone()], &logits[singles.clone()]);
            for (head, weight) in weights.iter().enumerate() {
                let range = head * width..(head + 1) * width;
                let (flow, running) = (&flow[range.clone()], &mut dnumerator[range.clone()]);
                dmass[head] = decay * dmass[head] + parts.dmass[singles.start + head];
                let (u, du) = (&u[range.clone()], &mut du[range]);
                dweights[head] += dmass[head] + row::numerator_backward(u, *weight, decay, flow, running, du);
            }
            let mean: f32 = weights.iter().zip(&*dweights).map(|(weight, dweight)| weight * dweight).sum();
            let scale = self.scale(self.start + block.first + at) as f32;
            for (head, weight) in weights.iter().enumerate() {
                let range = head * width..(head + 1) * width;
                let through = weight * (dweights[head] - mean);
                dtemperature[head] += through * logits[head];
                dweights[head] = through * inputs.temperature[head];
                let (flow, du) = (&mut flow[range.clone()], &mut du[range.clone()]);
                let energies = &energies[row.start..][range.clone()];
                row::ratios_backward(&u[range.clone()], scale * dweights[head], energies, flow, du);
            }
            row::add_scaled(flow, powers[at], denergy);
        }
    }

    /// The energies of a block, `[rows, channels]`, and what the temperature multiplies, `[rows, heads]`.
    fn energies_again(&self, block: Block, inputs: &TssaInputs<'_>, base: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (channels, heads) = (self.channels(), self.heads);
        let (mut energies, mut logits) = (vec![0.0; block.len * channels], vec![0.0; block.len * heads]);
        let [mut own, mut ratios] = [(); 2].map(|()| vec![0.0; channels]);
        let rows = energies.chunks_exact_mut(channels).zip(logits.chunks_exact_mut(heads));
        let rows = self.rows_of(block, inputs.u).zip(rows).zip(self.fading());
        for (at, ((u, (energies, logits)), fading)) in rows.enumerate() {
            row::energies(u, fading, base, &mut own, energies, &mut ratios);
            let offsets = &inputs.offsets[(block.first + at) * heads..][..heads];
            self.logits(&ratios, offsets, self.start + block.first + at, logits);
        }
        (energies, logits)
    }
}

/// Adds up parts that are as long as the total, in their order.
fn add_up(parts: &[f32], total: &mut [f32]) {
    total.fill(0.0);
    for part in parts.chunks_exact(total.len().max(1)) {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
}
