//! What a layer executes, declared as sizes of its products; [`crate::properties`] adds them up.

use percept_kernels::{Attention, AttentionShape, Visibility};

pub use percept_kernels::Cost;

/// A linear map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearCall {
    /// Rows of a window.
    pub rows: usize,
    /// Channels in.
    pub input: usize,
    /// Channels out.
    pub output: usize,
}

/// A call of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionCall {
    /// Query rows of a window.
    pub queries: usize,
    /// Key rows of a window.
    pub keys: usize,
    /// Query heads that take part.
    pub heads: usize,
    /// Who sees whom.
    pub visibility: Visibility,
}

impl LinearCall {
    /// The product of the forward pass over `batch` windows; the backward pass executes two that cost the same.
    pub fn cost(&self, batch: usize) -> Cost {
        Cost::of_product(batch.saturating_mul(self.rows), self.output, self.input)
    }
}

impl AttentionCall {
    /// The products of the forward and of the backward pass over `batch` windows; a head has `width` channels.
    pub fn costs(&self, width: usize, batch: usize) -> (Cost, Cost) {
        let Self { queries, keys, heads, visibility } = *self;
        // The number of key heads moves no product: each query head meets its own.
        let shape = AttentionShape { batch, queries, keys, heads, groups: heads, width };
        let attention = Attention { shape, visibility, scale: 1.0, dropout: None };
        (attention.forward_cost(), attention.backward_cost())
    }
}
