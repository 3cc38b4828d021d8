//! Buffers of a pass, for some number of rows (streams).

use std::collections::BTreeMap;

use percept_kernels::Rotary;

use super::step::Streams;

/// Grows to the largest number of rows, and never shrinks.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// The residual stream `[rows, d]`.
    x: Vec<f32>,
    /// Normalised `[rows, d]`.
    normalised: Vec<f32>,
    /// What the steps work in.
    pub(super) scratch: Vec<f32>,
    pub(super) angles: Angles,
    pub(super) carry: RowCarry,
    rows: usize,
    dim: usize,
}

impl Workspace {
    /// Makes room for `rows` rows of a model whose steps need at most `scratch` elements per row.
    pub(super) fn prepare(&mut self, rows: usize, dim: usize, scratch: usize) {
        (self.rows, self.dim) = (rows, dim);
        for (buffer, size) in [(&mut self.x, dim), (&mut self.normalised, dim), (&mut self.scratch, scratch)] {
            if buffer.len() < rows * size {
                buffer.resize(rows * size, 0.0);
            }
        }
        self.angles.forget();
        self.carry.forget();
    }

    pub(super) fn x_row(&mut self, row: usize) -> &mut [f32] {
        &mut self.x[row * self.dim..][..self.dim]
    }

    /// The residual stream, and what else a step needs.
    pub(super) fn split(&mut self) -> (&mut [f32], &mut [f32], &mut Angles, &mut RowCarry) {
        (&mut self.x[..self.rows * self.dim], &mut self.scratch, &mut self.angles, &mut self.carry)
    }

    pub(super) fn residual_and_normalised(&mut self) -> (&mut [f32], &mut [f32]) {
        let size = self.rows * self.dim;
        (&mut self.x[..size], &mut self.normalised[..size])
    }
}

/// Values that earlier layers have put in: `[rows, width]` each; see [`crate::layer::Carry`].
#[derive(Debug, Default)]
pub struct RowCarry {
    values: BTreeMap<&'static str, (Vec<f32>, Presence)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    OfThisPass,
    OfAnEarlierPass,
}

impl RowCarry {
    /// The value of that name, if an earlier layer of this pass has put one in.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        let (value, presence) = self.values.get(name)?;
        (*presence == Presence::OfThisPass).then_some(value)
    }

    /// Puts a value in; allocates at the first pass only.
    pub fn set(&mut self, name: &'static str, value: &[f32]) {
        let (kept, presence) = self.values.entry(name).or_insert((Vec::new(), Presence::OfThisPass));
        kept.clear();
        kept.extend_from_slice(value);
        *presence = Presence::OfThisPass;
    }

    /// Every value of this pass, with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        let here = self.values.iter().filter(|(_, (_, presence))| *presence == Presence::OfThisPass);
        here.map(|(name, (value, _))| (*name, value.as_slice()))
    }

    fn forget(&mut self) {
        self.values.values_mut().for_each(|(_, presence)| *presence = Presence::OfAnEarlierPass);
    }
}

/// Cosines and sines of the rows' positions, computed once per pass for each way of rotating.
#[derive(Debug, Default)]
pub struct Angles {
    tables: Vec<Table>,
}

#[derive(Debug)]
struct Table {
    rotary: Rotary,
    shift: usize,
    frequencies: Vec<f64>,
    cos: Vec<f32>,
    sin: Vec<f32>,
    presence: Presence,
}

impl Angles {
    /// Cosines and sines `[rows, pairs]` of what `rotary` turns a pair of channels by at the position of each row.
    pub fn of(&mut self, rotary: &Rotary, streams: &Streams<'_, '_>) -> (&[f32], &[f32]) {
        let found = self.tables.iter().position(|table| table.rotary == *rotary && table.shift == streams.shift);
        let index = found.unwrap_or_else(|| {
            self.tables.push(Table {
                rotary: *rotary,
                shift: streams.shift,
                frequencies: rotary.frequencies(),
                cos: Vec::new(),
                sin: Vec::new(),
                presence: Presence::OfAnEarlierPass,
            });
            self.tables.len() - 1
        });
        let table = &mut self.tables[index];
        if table.presence == Presence::OfAnEarlierPass {
            table.turn(streams);
        }
        (&table.cos, &table.sin)
    }

    fn forget(&mut self) {
        self.tables.iter_mut().for_each(|table| table.presence = Presence::OfAnEarlierPass);
    }
}

impl Table {
    /// The angles are computed in f64: at position 1,000,000 an f32 product is off by 0.06 rad.
    fn turn(&mut self, streams: &Streams<'_, '_>) {
        self.cos.clear();
        self.sin.clear();
        for row in 0..streams.len() {
            for frequency in &self.frequencies {
                let (sin, cos) = (streams.position(row) as f64 * frequency).sin_cos();
                self.sin.push(sin as f32);
                self.cos.push(cos as f32);
            }
        }
        self.presence = Presence::OfThisPass;
    }
}
