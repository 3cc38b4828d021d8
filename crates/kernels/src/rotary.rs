//! Rotary position embedding (arXiv 2104.09864): which channels are paired, and the table of angles.

use std::sync::{Arc, Mutex, PoisonError};

/// Which channels form a rotated pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RotaryLayout {
    /// Channels `2 i` and `2 i + 1`.
    Interleaved,
    /// Channels `i` and `i + channels / 2`.
    HalfSplit,
}

/// A rotary embedding of the first `channels` channels of each head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotary {
    /// Pair `i` turns by `position * base^(-2 i / channels)`.
    pub base: f64,
    /// Rotated channels, even, at most the channels of a head.
    pub channels: usize,
    /// The pairing.
    pub layout: RotaryLayout,
}

/// Cosines and sines `[length, channels / 2]`.
#[derive(Debug)]
pub struct RotaryTable {
    /// Cosines, row-major.
    pub cos: Vec<f64>,
    /// Sines, row-major.
    pub sin: Vec<f64>,
    /// The cosines rounded to f32.
    pub cos_f32: Vec<f32>,
    /// The sines rounded to f32.
    pub sin_f32: Vec<f32>,
}

/// Tables worth remembering: every layer of every step asks for the same few.
const REMEMBERED: usize = 8;
type Key = (u64, usize, usize, usize);
static TABLES: Mutex<Vec<(Key, Arc<RotaryTable>)>> = Mutex::new(Vec::new());

impl Rotary {
    /// The table for positions `start .. start + length`. Angles are computed in f64: at position
    /// 1,000,000 an f32 product is off by 0.06 rad.
    pub fn table(&self, start: usize, length: usize) -> Arc<RotaryTable> {
        let key = (self.base.to_bits(), self.channels, start, length);
        let find = |tables: &[(Key, Arc<RotaryTable>)]| {
            tables.iter().find(|(known, _)| *known == key).map(|(_, table)| table.clone())
        };
        if let Some(table) = find(&TABLES.lock().unwrap_or_else(PoisonError::into_inner)) {
            return table;
        }
        let table = Arc::new(self.compute(start, length));
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() == REMEMBERED {
            tables.remove(0);
        }
        tables.push((key, table.clone()));
        table
    }

    fn compute(&self, start: usize, length: usize) -> RotaryTable {
        let pairs = self.channels / 2;
        let frequencies: Vec<f64> =
            (0..pairs).map(|i| self.base.powf(-2.0 * i as f64 / self.channels as f64)).collect();
        let angles = (start..start + length).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        let (sin, cos): (Vec<f64>, Vec<f64>) = angles.map(f64::sin_cos).unzip();
        let round = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
        RotaryTable { cos_f32: round(&cos), sin_f32: round(&sin), cos, sin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_position_keeps_its_angle() {
        let rotary = Rotary { base: 10_000.0, channels: 8, layout: RotaryLayout::HalfSplit };
        let table = rotary.table(1_000_000, 2);
        let angle = 1_000_001.0 * 10_000f64.powf(-2.0 / 8.0);
        assert!((table.cos[4 + 1] - angle.cos()).abs() < 1e-9);
        assert!((f64::from(table.sin_f32[4 + 1]) - angle.sin()).abs() < 1e-7);
    }

    #[test]
    fn the_same_table_is_shared_and_old_ones_are_forgotten() {
        let rotary = Rotary { base: 500.0, channels: 4, layout: RotaryLayout::Interleaved };
        let first = rotary.table(0, 16);
        assert_eq!(first.cos, rotary.table(0, 16).cos);
        for start in 1..20 {
            rotary.table(start, 16);
        }
        assert!(TABLES.lock().unwrap().len() <= REMEMBERED);
    }
}
