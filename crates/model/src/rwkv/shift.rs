//! The token shift of RWKV: a row beside the one before it.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};

use crate::layer::{LayerState, StateTensor};
use crate::layers::Linear;
use crate::ops;

/// Name of the row that a state keeps.
const ROW: &str = "shift";

/// The state of a shift over `dim` channels: the last row.
pub(crate) fn shift_state(dim: usize) -> StateTensor {
    StateTensor::fixed(ROW, [dim])
}

/// Rows `[B, T, d]`, and the row before the first of each sequence.
pub(crate) struct Shifted {
    rows: Tensor<3>,
    first: Tensor<2>,
}

impl Shifted {
    /// The row before is the state's, which becomes the last of these; zeros at the start of a stream.
    pub(crate) fn new(rows: Tensor<3>, state: Option<&mut LayerState>) -> Self {
        let ([batch, count, dim], place) = (rows.dims(), (&rows.device(), rows.dtype()));
        let kept = state.as_ref().and_then(|state| state.get::<2>(ROW));
        let first = kept.unwrap_or_else(|| Tensor::zeros([batch, dim], place));
        if let Some(state) = state {
            let last = rows.clone().narrow(1, count - 1, 1).reshape([batch, dim]);
            // A narrowed tensor would keep the whole buffer alive.
            let data: TensorData = last.into_data();
            state.set(ROW, Tensor::<2>::from_data(data, place));
        }
        Self { rows, first }
    }

    /// The rows, each mixed with the one before it, whose shares are `before`, `[d]`.
    pub(crate) fn mixed(&self, before: &Param<Tensor<1>>) -> Tensor<3> {
        ops::shift(self.rows.clone(), self.first.clone(), 1.0 - before.val())
    }

    /// `map` of the rows, each mixed with the one before it: `mix` is the share of the present one.
    pub(crate) fn through(&self, mix: &Param<Tensor<1>>, map: &Linear) -> Tensor<3> {
        map.forward(ops::shift(self.rows.clone(), self.first.clone(), mix.val()))
    }
}
