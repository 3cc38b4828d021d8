//! What an algorithm was told.

use percept_fault::Result;
use serde::{Deserialize, Serialize};

use super::foreign;
use crate::space::{Point, Space};
use crate::trial::Outcome;

/// A configuration and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) point: Point,
    pub(super) outcome: Outcome,
}

/// Refuses what was told of another space.
pub(super) fn check(told: &[Told], space: &Space) -> Result<()> {
    let axes = space.axes();
    let fits = |point: &Point| {
        point.len() == axes.len() && point.iter().zip(axes).all(|(choice, axis)| *choice < axis.choices())
    };
    if told.iter().all(|told| fits(&told.point)) {
        Ok(())
    } else {
        Err(foreign("has configurations that are not in the space"))
    }
}
