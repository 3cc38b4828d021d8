//! The token shift of RWKV: a row beside the one before it.

use burn::tensor::{Tensor, TensorData};

use crate::layer::{LayerState, StateTensor};

/// Name of the row that a state keeps.
const ROW: &str = "shift";

/// The state of a shift over `dim` channels: the last row.
pub(crate) fn shift_state(dim: usize) -> StateTensor {
    StateTensor::fixed(ROW, [dim])
}

/// The row before each of `x`, `[B, T, d]`: zeros before the first of a stream.
pub(crate) fn shifted(x: &Tensor<3>, state: Option<&mut LayerState>) -> Tensor<3> {
    let [batch, rows, dim] = x.dims();
    let kept = state.as_ref().and_then(|state| state.get::<2>(ROW));
    let first = match kept {
        Some(row) => row.reshape([batch, 1, dim]),
        None => Tensor::zeros([batch, 1, dim], (&x.device(), x.dtype())),
    };
    if let Some(state) = state {
        let last = x.clone().narrow(1, rows - 1, 1).reshape([batch, dim]);
        // A narrowed tensor would keep the whole buffer alive.
        let data: TensorData = last.into_data();
        state.set(ROW, Tensor::<2>::from_data(data, (&x.device(), x.dtype())));
    }
    match rows {
        1 => first,
        _ => Tensor::cat(vec![first, x.clone().narrow(1, 0, rows - 1)], 1),
    }
}

/// `now * mix + before * (1 - mix)`, one row of a step.
pub(crate) fn mix_row(now: &[f32], before: &[f32], mix: &[f32], out: &mut [f32]) {
    for (((out, now), before), mix) in out.iter_mut().zip(now).zip(before).zip(mix) {
        *out = before + (now - before) * mix;
    }
}
