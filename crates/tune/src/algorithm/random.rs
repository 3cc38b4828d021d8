//! Random search (Bergstra and Bengio 2012): every configuration as likely as any other.

use percept_fault::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Algorithm, anywhere, written};
use crate::draws::Draws;
use crate::space::{Point, Space};
use crate::trial::Outcome;

/// Learns nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Random {
    seed: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl Algorithm for Random {
    fn ask(&self, space: &Space, number: u64) -> Point {
        anywhere(space, &mut Draws::new(&[self.seed, number]))
    }

    fn tell(&mut self, _space: &Space, _number: u64, _point: &[usize], _outcome: Outcome) {}

    fn state(&self) -> Result<Value> {
        written(self)
    }
}
