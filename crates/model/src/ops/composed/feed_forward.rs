//! The feed-forward sublayer.

use super::{dropout, gelu, layer_norm, linear, rms_norm, swiglu};
use crate::ops::{FeedForward, Map};
use burn::tensor::Tensor;
use percept_kernels::Dropout;

/// See [`crate::ops::feed_forward`].
pub fn feed_forward(x: Tensor<3>, parameters: FeedForward, mask: Option<Dropout>) -> Tensor<3> {
    let FeedForward { gamma, beta, eps, gate, up, down } = parameters;
    let z = match beta {
        Some(beta) => layer_norm(x.clone(), gamma, Some(beta), eps),
        None => rms_norm(x.clone(), gamma, eps),
    };
    let apply = |map: Map, x: Tensor<3>| linear(x, map.weight, map.bias);
    let hidden = match gate {
        Some(gate) => swiglu(apply(gate, z.clone()), apply(up, z)),
        None => gelu(apply(up, z)),
    };
    x + apply(down, dropout(hidden, mask))
}
