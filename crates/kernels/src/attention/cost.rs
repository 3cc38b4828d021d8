//! What the passes cost: the products that they execute, counted in closed form per block of query rows.

use super::{Attention, ROWS, TILE, pieces};
use crate::Cost;

impl Attention {
    /// Products of the forward pass: scores, and values weighted by them.
    pub fn forward_cost(&self) -> Cost {
        self.tile_products() * 2
    }

    /// Products of the backward pass: the scores again, their gradient, and the gradients of queries, keys and values.
    pub fn backward_cost(&self) -> Cost {
        self.tile_products() * 5
    }

    /// One product per tile; all of a tile have the same three sizes: rows, keys, channels.
    fn tile_products(&self) -> Cost {
        let shape = &self.shape;
        let width = shape.width as u64;
        let blocks = pieces(0..shape.queries, ROWS).map(|rows| {
            let (count, span) = (rows.len() as u64, self.span(&rows).len());
            let (tiles, span) = (span.div_ceil(TILE) as u64, span as u64);
            Cost { macs: count * span * width, elements: tiles * count * width + span * width + count * span }
        });
        blocks.sum::<Cost>() * (shape.batch as u64).saturating_mul(shape.heads as u64)
    }
}
