//! The forward pass: sums of blocks, what is carried between them, outputs of blocks.

use super::blocks::{Block, Order, ROWS};
use super::row::{self, Fading};
use super::{Tssa, TssaInputs, TssaSums};
use crate::cost::count_cost;
use rayon::prelude::*;
use std::slice::ChunksExact;

/// What the backward pass needs beside the inputs.
#[derive(Debug, Clone)]
pub struct TssaSaved {
    /// `[batch, rows, heads]`.
    pub weights: Vec<f32>,
    /// What is carried into each block, `[batch, blocks, channels]`.
    pub(super) energy: Vec<f32>,
    /// The same.
    pub(super) numerator: Vec<f32>,
    /// `[batch, blocks, heads]`.
    pub(super) mass: Vec<f32>,
}

impl Tssa {
    /// Writes `y [batch, rows, heads, width]` and moves `sums` past the rows.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward(&self, inputs: &TssaInputs<'_>, sums: &mut TssaSums, y: &mut [f32]) -> TssaSaved {
        self.check(inputs, y);
        let channels = self.channels();
        let mut energy = self.sums(channels);
        energy.par_chunks_mut(channels).enumerate().for_each(|(index, sum)| {
            let decay = self.decay as f32;
            self.rows_of(self.block(index), inputs.u).for_each(|u| row::add_squares(u, 1.0, decay, sum));
        });
        self.carry(&mut energy, &mut sums.energy, channels, Order::Forward);

        let mut weights = vec![0.0; self.batch * self.rows * self.heads];
        let (mut numerator, mut mass) = (self.sums(channels), self.sums(self.heads));
        let blocks = self.by_blocks(&mut weights, self.heads);
        let sums_of_blocks = numerator.par_chunks_mut(channels).zip(mass.par_chunks_mut(self.heads));
        blocks.into_par_iter().zip(sums_of_blocks).enumerate().for_each(|(index, (weights, (numerator, mass)))| {
            let base = &energy[index * channels..][..channels];
            self.route(self.block(index), inputs, base, weights, numerator, mass);
        });
        self.carry(&mut numerator, &mut sums.numerator, channels, Order::Forward);
        self.carry(&mut mass, &mut sums.mass, self.heads, Order::Forward);

        self.by_blocks(y, channels).into_par_iter().enumerate().for_each(|(index, y)| {
            let base = &numerator[index * channels..][..channels];
            self.emit(self.block(index), inputs.u, &weights, base, &mass[index * self.heads..][..self.heads], y);
        });
        count_cost(self.forward_cost());
        TssaSaved { weights, energy, numerator, mass }
    }

    /// The rows of a block.
    pub(super) fn rows_of<'a>(&self, block: Block, x: &'a [f32]) -> ChunksExact<'a, f32> {
        let width = x.len() / (self.batch * self.rows);
        x[block.row * width..][..block.len * width].chunks_exact(width)
    }

    /// How sums fade at each row of a block.
    pub(super) fn fading(&self) -> [Fading; ROWS] {
        let powers = self.powers();
        std::array::from_fn(|row| Fading { decay: self.decay as f32, power: powers[row + 1] })
    }

    /// Writes the weights of a block, and its own sums of numerator and mass; `base` is the energy carried into it.
    fn route(
        &self,
        block: Block,
        inputs: &TssaInputs<'_>,
        base: &[f32],
        weights: &mut [f32],
        numerator: &mut [f32],
        mass: &mut [f32],
    ) {
        let decay = self.decay as f32;
        let [mut own, mut energies, mut ratios] = [(); 3].map(|()| vec![0.0; self.channels()]);
        let rows = self.rows_of(block, inputs.u).zip(weights.chunks_exact_mut(self.heads)).zip(self.fading());
        for (at, ((u, weights), fading)) in rows.enumerate() {
            row::energies(u, fading, base, &mut own, &mut energies, &mut ratios);
            let offsets = &inputs.offsets[(block.first + at) * self.heads..][..self.heads];
            self.logits(&ratios, offsets, self.start + block.first + at, weights);
            self.weigh(inputs.temperature, weights);
            let heads = u.chunks_exact(self.width).zip(numerator.chunks_exact_mut(self.width));
            for (((u, numerator), weight), mass) in heads.zip(&*weights).zip(&mut *mass) {
                row::add_squares(u, *weight, decay, numerator);
                *mass = decay * *mass + weight;
            }
        }
    }

    /// Writes the outputs of a block; `base` and `base_mass` are numerator and mass carried into it.
    fn emit(&self, block: Block, u: &[f32], weights: &[f32], base: &[f32], base_mass: &[f32], y: &mut [f32]) {
        let (mut own, mut mass) = (vec![0.0; self.channels()], vec![0.0; self.heads]);
        let rows = self.rows_of(block, u).zip(self.rows_of(block, weights)).zip(y.chunks_exact_mut(self.channels()));
        for (((u, weights), y), fading) in rows.zip(self.fading()) {
            let width = self.width;
            let channels = u.chunks_exact(width).zip(base.chunks_exact(width)).zip(own.chunks_exact_mut(width));
            let channels = channels.zip(y.chunks_exact_mut(width));
            let heads = weights.iter().zip(base_mass).zip(&mut mass);
            for ((((u, base), own), y), ((weight, base_mass), mass)) in channels.zip(heads) {
                *mass = fading.decay * *mass + weight;
                let head = Self::head(*weight, fading.power * base_mass + *mass);
                row::gate(u, head, fading, base, own, y);
            }
        }
    }
}
