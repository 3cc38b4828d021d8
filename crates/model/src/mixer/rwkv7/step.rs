//! The decoding step: a row of each stream from packed weights.

use std::ops::Range;

use percept_kernels::decode::{Crew, Epilogue, PackedLinear, Pages};
use percept_kernels::{self as kernels, shift_row, wkv7_row};

use super::{HEAD_EPS, LowRank, Rwkv7, VALUE};
use crate::decoder::{Packer, Pass, RowNorm, Step, elements, parts};
use crate::layers::Norm;

/// A low-rank map.
#[derive(Debug)]
struct PackedLowRank {
    first: PackedLinear,
    second: PackedLinear,
}

impl PackedLowRank {
    fn new(map: &LowRank, packer: &mut Packer) -> Self {
        Self { first: packer.linear(&map.first), second: packer.linear(&map.second) }
    }

    /// `scratch` has room for the rows between.
    fn apply(
        &self,
        (crew, pages): (&mut Crew<'_>, &Pages),
        x: &[f32],
        (scratch, between): (&mut [f32], fn(&mut [f32])),
        y: &mut [f32],
    ) {
        let rows = x.len() / self.first.inputs();
        let low = &mut scratch[..rows * self.first.outputs()];
        self.first.apply(crew, pages, x, low, Epilogue::Replace);
        between(low);
        self.second.apply(crew, pages, low, y, Epilogue::Replace);
    }
}

fn plain(_: &mut [f32]) {}

fn tanh(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = x.tanh());
}

fn sigmoid(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
}

/// The time mix, packed.
#[derive(Debug)]
pub(super) struct Rwkv7Step {
    embedding_norm: Option<RowNorm>,
    norm: RowNorm,
    /// Shares of the present row: of receptance, key, value, decay, rate, gate.
    now: [Vec<f32>; 6],
    /// Receptance, key, value.
    maps: [PackedLinear; 3],
    /// Decay, rate, gate.
    low_rank: [PackedLowRank; 3],
    first_value: Option<PackedLowRank>,
    output: PackedLinear,
    heads: Heads,
}

/// What works inside each head.
#[derive(Debug)]
struct Heads {
    width: usize,
    removal_key: Vec<f32>,
    rate_key: Vec<f32>,
    bonus: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    removal_scale: f32,
}

/// What the maps say of a head and stays as it is.
struct Said<'a> {
    receptance: &'a [f32],
    value: &'a [f32],
    gate: &'a [f32],
}

/// What the maps say of a head and is changed on the way, and room for a, b and y.
struct Head<'a> {
    key: &'a mut [f32],
    decay: &'a mut [f32],
    rate: &'a mut [f32],
    removal: &'a mut [f32],
    replacement: &'a mut [f32],
    y: &'a mut [f32],
}

impl Rwkv7Step {
    pub(super) fn new(mix: &Rwkv7, norm: &Norm, packer: &mut Packer) -> Self {
        let mixes = [&mix.mix_receptance, &mix.mix_key, &mix.mix_value, &mix.mix_decay, &mix.mix_rate, &mix.mix_gate];
        Self {
            embedding_norm: mix.embedding_norm.as_ref().map(RowNorm::of),
            norm: RowNorm::of(norm),
            now: mixes.map(|mix| elements(mix).into_iter().map(|before| 1.0 - before).collect()),
            maps: [&mix.receptance, &mix.key, &mix.value].map(|map| packer.linear(map)),
            low_rank: [&mix.decay, &mix.rate, &mix.gate].map(|map| PackedLowRank::new(map, packer)),
            first_value: mix.first_value.as_ref().map(|map| PackedLowRank::new(map, packer)),
            output: packer.linear(&mix.output),
            heads: Heads {
                width: mix.bonus.shape().dims::<2>()[1],
                removal_key: elements(&mix.removal_key),
                rate_key: elements(&mix.rate_key),
                bonus: elements(&mix.bonus),
                gamma: elements(&mix.head_gamma),
                beta: elements(&mix.head_beta),
                removal_scale: mix.removal_scale,
            },
        }
    }

    /// The low-rank maps.
    fn low_ranks(&self) -> impl Iterator<Item = &PackedLowRank> {
        self.low_rank.iter().chain(&self.first_value)
    }

    /// The widest of them.
    fn rank(&self) -> usize {
        self.low_ranks().map(|map| map.first.outputs()).max().unwrap_or(0)
    }
}

impl Step for Rwkv7Step {
    fn bytes(&self) -> usize {
        let low_rank = self.low_ranks().flat_map(|map| [&map.first, &map.second]);
        let maps = self.maps.iter().chain([&self.output]).chain(low_rank).map(PackedLinear::bytes).sum::<usize>();
        maps + (self.now.len() + 5) * self.norm.width() * size_of::<f32>()
    }

    /// Normalised and mixed rows, r, k, v, d, alpha, g, y, and the low-rank rows.
    fn scratch(&self) -> usize {
        9 * self.norm.width() + self.rank()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, carry, .. } = pass;
        let (dim, size, count) = (self.norm.width(), x.len(), streams.len());
        let low = count * self.rank();
        let [normalised, mixed, receptance, key, value, decay, rate, gate, y, low] =
            parts(scratch, [size, size, size, size, size, size, size, size, size, low]);
        if let Some(embedding_norm) = &self.embedding_norm {
            embedding_norm.apply(x, normalised);
            x.copy_from_slice(normalised);
        }
        self.norm.apply(x, normalised);
        let rows = |row: usize| row * dim..(row + 1) * dim;
        let [of_low, of_maps] = [&self.now[3..], &self.now[..3]];
        let mix = |now: &[f32], mixed: &mut [f32]| {
            for row in 0..count {
                shift_row(&normalised[rows(row)], streams.buffers(row)[0].all(), now, &mut mixed[rows(row)]);
            }
        };
        let between = [tanh, plain, sigmoid];
        for (((map, now), between), out) in
            self.low_rank.iter().zip(of_low).zip(between).zip([&mut *decay, &mut *rate, &mut *gate])
        {
            mix(now, mixed);
            map.apply((crew, pages), mixed, (low, between), out);
        }
        for ((map, now), out) in self.maps.iter().zip(of_maps).zip([&mut *receptance, &mut *key, &mut *value]) {
            mix(now, mixed);
            map.apply(crew, pages, mixed, out, Epilogue::Replace);
        }
        // The mix of the values is the last one.
        match (&self.first_value, carry.get(VALUE)) {
            (Some(map), Some(first)) => {
                map.apply((crew, pages), mixed, (low, plain), y);
                sigmoid(y);
                for ((value, first), share) in value.iter_mut().zip(first).zip(&*y) {
                    *value += (first - *value) * share;
                }
            }
            _ => carry.set(VALUE, value),
        }
        for row in 0..count {
            let [shift, state] = streams.buffers_mut(row) else { continue };
            shift.row_mut(0).copy_from_slice(&normalised[rows(row)]);
            let said = [&*receptance, &*value, &*gate].map(|said| &said[rows(row)]);
            let changed = [&mut *key, &mut *decay, &mut *rate, &mut *mixed, &mut *normalised, &mut *y];
            let [key, decay, rate, removal, replacement, y] = changed.map(|part| &mut part[rows(row)]);
            let parts = [key, decay, rate, removal, replacement, y, state.row_mut(0)];
            crew.each_part(dim / self.heads.width, parts, |head, parts| {
                let [key, decay, rate, removal, replacement, y, state] = parts;
                let channels = self.heads.channels(head);
                let [receptance, value, gate] = said.map(|said| &said[channels.clone()]);
                let head = Head { key, decay, rate, removal, replacement, y };
                self.heads.run(channels, Said { receptance, value, gate }, head, state);
            });
        }
        self.output.apply(crew, pages, y, x, Epilogue::Add);
    }
}

impl Heads {
    fn channels(&self, head: usize) -> Range<usize> {
        head * self.width..(head + 1) * self.width
    }

    /// From what the maps say of the head of these channels to what the output map reads of it, in place of y.
    fn run(&self, channels: Range<usize>, said: Said<'_>, mut head: Head<'_>, state: &mut [f32]) {
        sigmoid(head.decay);
        let most = (-0.5f32).exp();
        head.decay.iter_mut().for_each(|decay| *decay = (-most * *decay).exp());
        sigmoid(head.rate);
        self.removal(channels.clone(), &mut head);
        let Said { receptance: r, value: v, gate } = said;
        let Head { key: k, decay, removal: a, replacement: b, y, .. } = head;
        wkv7_row([r, decay, k, v, a, b], state, y);
        // What was put in its place is not needed any more.
        let (normalised, weights) = (b, (&self.gamma[channels.clone()], Some(&self.beta[channels.clone()])));
        kernels::Norm::Layer.few_rows(y, weights, HEAD_EPS, normalised);
        let bonus: f32 = r.iter().zip(&*k).zip(&self.bonus[channels]).map(|((r, k), bonus)| r * k * bonus).sum();
        let outputs = y.iter_mut().zip(normalised).zip(v).zip(gate);
        outputs.for_each(|(((y, normalised), value), gate)| *y = (*normalised + bonus * value) * gate);
    }

    /// Writes a and b of a head, and what is left of k.
    fn removal(&self, channels: Range<usize>, head: &mut Head<'_>) {
        let (removal_key, rate_key) = (&self.removal_key[channels.clone()], &self.rate_key[channels]);
        let mut squares = 0.0;
        for ((removal, key), weight) in head.removal.iter_mut().zip(&*head.key).zip(removal_key) {
            *removal = key * weight;
            squares += *removal * *removal;
        }
        let length = squares.sqrt().max(1e-12);
        for (i, rate_key) in rate_key.iter().enumerate() {
            let kappa = head.removal[i] / length;
            head.removal[i] = -kappa;
            head.replacement[i] = self.removal_scale * kappa * head.rate[i];
            head.key[i] *= 1.0 + (head.rate[i] - 1.0) * rate_key;
        }
    }
}
