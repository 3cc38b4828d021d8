//! What a layer executes, declared as sizes of its products; [`crate::properties`] adds them up.

use percept_kernels::{Attention, AttentionShape, Precision, Visibility};

pub use percept_kernels::Cost;

/// Work of a pass over one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A linear map.
    Linear(LinearCall),
    /// So many of them, one after the other, each of which reads its weights.
    Linears(LinearCall, u64),
    /// Attention.
    Attention(AttentionCall),
    /// Anything else that multiplies (scans, convolutions): what its passes over one window cost.
    Other {
        /// The forward pass.
        forward: Cost,
        /// The backward pass.
        backward: Cost,
    },
}

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
    /// Channels of a head.
    pub width: usize,
    /// Who sees whom.
    pub visibility: Visibility,
}

impl Call {
    /// What the forward and the backward pass over `batch` windows cost.
    pub fn costs(&self, batch: usize) -> (Cost, Cost) {
        match self {
            Self::Linear(call) => (call.cost(batch), call.cost(batch) * 2),
            Self::Linears(call, times) => (call.cost(batch) * *times, call.cost(batch) * (2 * times)),
            Self::Attention(call) => call.costs(batch),
            Self::Other { forward, backward } => (*forward * batch as u64, *backward * batch as u64),
        }
    }
}

impl LinearCall {
    /// The product of the forward pass over `batch` windows; the backward pass executes two that cost the same.
    pub fn cost(&self, batch: usize) -> Cost {
        Cost::of_product(batch.saturating_mul(self.rows), self.output, self.input)
    }
}

impl AttentionCall {
    /// The products of the forward and of the backward pass over `batch` windows.
    pub fn costs(&self, batch: usize) -> (Cost, Cost) {
        let Self { queries, keys, heads, width, visibility } = *self;
        // The number of key heads moves no product: each query head meets its own.
        let shape = AttentionShape { batch, queries, keys, heads, groups: heads, width };
        let attention = Attention { shape, visibility, scale: 1.0, dropout: None, precision: Precision::F32 };
        (attention.forward_cost(), attention.backward_cost())
    }
}

impl From<LinearCall> for Call {
    fn from(call: LinearCall) -> Self {
        Self::Linear(call)
    }
}

impl From<AttentionCall> for Call {
    fn from(call: AttentionCall) -> Self {
        Self::Attention(call)
    }
}
