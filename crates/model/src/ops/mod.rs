//! The numeric operations of the models, aware of autodiff.
//!
//! Each function takes contiguous or strided tensors, with or without autodiff. f32 tensors on the CPU (Burn's Flex
//! device) go to the kernels of `percept-kernels` ([`flex`], one file per operation); every other device and float type
//! takes the same formula composed of tensor operations ([`composed`]), which is also what the kernels are tested against.

pub mod composed;
pub mod flex;
#[cfg(test)]
mod parity;
mod precision;

pub use percept_kernels::{
    AdamW, Axes, AxesTable, Dropout, IGNORED, Listing, Pattern, Rotary, RotaryLayout, Routing, Sides, TimeMix, Tssa,
    Visibility,
};
pub use precision::{Precision, in_precision};

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Int, Tensor};

/// Whether this tensor's operations have kernels.
fn has_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && matches!(x.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// The elements of a tensor of f32 in order.
pub(crate) fn elements<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    data.as_slice::<f32>().map_or_else(|_| data.iter::<f32>().collect(), <[f32]>::to_vec)
}

/// A copy in memory of its own: a narrowed tensor would keep the whole buffer alive.
pub(crate) fn detached<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let (device, dtype) = (tensor.device(), tensor.dtype());
    Tensor::from_data(tensor.into_data(), (&device, dtype))
}

/// Softmax attention, `q [b, tq, h, e]` to `k, v [b, tk, g, e]`: `[b, tq, h, e]`. Query head i reads key head
/// `i / (h / g)`. The dropout mask is a function of the flat index into `[b, h, tq, tk]`. A query that sees no key gives
/// zero. No path holds `tq x tk` scores for a local pattern. Where keys and values are one tensor, pass it twice.
pub fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    visibility: &Visibility,
    scale: f32,
    dropout: Option<Dropout>,
) -> Tensor<4> {
    if has_kernels(&q) {
        return flex::attention(q, k, v, visibility, scale, dropout);
    }
    composed::attention(q, k, v, visibility, scale, dropout)
}

/// One table of [`listed`].
#[derive(Debug, Clone)]
pub struct ListedPart {
    /// The queries, `[b, tq, h, e]`.
    pub q: Tensor<4>,
    /// The keys, `[b, rows, g, e]`.
    pub k: Tensor<4>,
    /// The values, `[b, rows, g or h, e]`.
    pub v: Tensor<4>,
    /// Which rows a query reads.
    pub rows: Listing,
}

/// Attention of queries to listed rows, of one table or of two in one softmax ([`percept_kernels::Listed`]): `[b, tq, h, e]`. A query
/// that reads nothing gives zero.
pub fn listed(first: ListedPart, second: Option<ListedPart>, scale: f32) -> Tensor<4> {
    match has_kernels(&first.q) {
        true => flex::listed(first, second, scale),
        false => composed::listed(first, second, scale),
    }
}

/// The elementwise maximum over the rows of each of some sets, `x [b, rows, h, e]`: `[b, sets, h, e]`. Its gradient goes to one of
/// the rows that reach it.
pub fn listed_maximum(x: Tensor<4>, members: Listing, sets: usize) -> Tensor<4> {
    match has_kernels(&x) {
        true => flex::listed_maximum(x, members, sets),
        false => composed::listed_maximum(x, members, sets),
    }
}

/// `y[t] = sum over i of taps[i] * x[t - i]`, channel by channel, with zeros before the first row: `x [b, t, d]`, `taps [w, d]`.
pub fn convolution(x: Tensor<3>, taps: Tensor<2>) -> Tensor<3> {
    if has_kernels(&x) { flex::convolution(x, taps) } else { composed::convolution(x, taps) }
}

/// Causal token statistics self-attention ([`Tssa`]) of `u [b, t, d]` with `temperature [h]` and `offsets [t, h]`, from sums of zero.
pub fn tssa(u: Tensor<3>, temperature: Tensor<1>, offsets: Tensor<2>, tssa: &Tssa) -> Tensor<3> {
    match has_kernels(&u) {
        true => flex::tssa(u, temperature, offsets, tssa),
        false => composed::tssa(u, temperature, offsets, tssa),
    }
}

/// [`tssa`] of one sequence that goes on from sums of energy, numerator and mass, `[1, 2, d]`, `[1, 2, d]` and `[1, 2, h]`: what the
/// number format holds of each, and of the rest. Also returns those after it. Sums have no gradient.
pub fn tssa_extend(
    u: Tensor<3>,
    temperature: Tensor<1>,
    offsets: Tensor<2>,
    sums: [Tensor<3>; 3],
    tssa: &Tssa,
) -> (Tensor<3>, [Tensor<3>; 3]) {
    match has_kernels(&u) {
        true => flex::tssa_extend(u, temperature, offsets, sums, tssa),
        false => composed::tssa_extend(u, temperature, offsets, sums, tssa),
    }
}

/// RWKV's token shift: `mix x[t] + (1 - mix) x[t - 1]` of `x [b, t, d]` with `mix [d]`; `first [b, d]`, the row before the first of each
/// sequence, has no gradient.
pub fn shift(x: Tensor<3>, first: Tensor<2>, mix: Tensor<1>) -> Tensor<3> {
    if has_kernels(&x) { flex::shift(x, first, mix) } else { composed::shift(x, first, mix) }
}

/// RWKV-4's recurrence over rows, channel by channel ([`percept_kernels::Wkv`]): `key, value [b, t, d]`, `decay` (at most 0) and
/// `bonus [d]`.
pub fn wkv(key: Tensor<3>, value: Tensor<3>, decay: Tensor<1>, bonus: Tensor<1>) -> Tensor<3> {
    if has_kernels(&key) {
        return flex::wkv(key, value, decay, bonus);
    }
    let [batch, _, channels] = key.dims();
    let empty = Tensor::zeros([batch, 3, channels], (&key.device(), key.dtype()));
    composed::wkv([key, value], [decay, bonus], empty).0
}

/// [`wkv`] from a state `[b, 3, d]` on, of which zeros are the empty one; returns y, and the state after the last row. There are no
/// gradients through kernels.
pub fn wkv_from(rows: [Tensor<3>; 2], channels: [Tensor<1>; 2], state: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    match has_kernels(&rows[0]) {
        true => flex::wkv_from(rows, channels, state),
        false => composed::wkv(rows, channels, state),
    }
}

/// RWKV-7's time mix between its maps ([`TimeMix`]) from the empty state: r, d, k, v, alpha and g, `[b, t, d]` each, and k_k, k_a, r_k, gamma
/// and beta, `[5, d]`, with d = heads x width.
pub fn time_mix(rows: [Tensor<3>; 6], vectors: Tensor<2>, mix: &TimeMix) -> Tensor<3> {
    if has_kernels(&rows[0]) {
        return flex::time_mix(rows, vectors, mix);
    }
    let empty = Tensor::zeros([mix.batch, mix.heads, mix.width, mix.width], (&rows[0].device(), rows[0].dtype()));
    composed::time_mix(rows, vectors, mix, empty).0
}

/// [`time_mix`] from a state `[b, h, e, e]` on, row = channel of the value; returns its output, and the state after the last row. There are
/// no gradients through kernels.
pub fn time_mix_from(
    rows: [Tensor<3>; 6],
    vectors: Tensor<2>,
    mix: &TimeMix,
    state: Tensor<4>,
) -> (Tensor<3>, Tensor<4>) {
    match has_kernels(&rows[0]) {
        true => flex::time_mix_from(rows, vectors, mix, state),
        false => composed::time_mix(rows, vectors, mix, state),
    }
}

/// Rotates the first `rotary.channels` channels of `x [b, t, h, e]`; row 0 has absolute position `start`.
pub fn rotary(x: Tensor<4>, start: usize, rotary: &Rotary) -> Tensor<4> {
    if has_kernels(&x) {
        return flex::rotary(x, start, rotary);
    }
    composed::rotary(x, start, rotary)
}

/// `x / sqrt(mean(x^2) + eps) * gamma` over the last dimension (RMSNorm, arXiv 1910.07467).
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, eps: f64) -> Tensor<D> {
    if has_kernels(&x) {
        return flex::rms_norm(x, gamma, eps);
    }
    composed::rms_norm(x, gamma, eps)
}

/// `(x - mean) / sqrt(var + eps) * gamma + beta` over the last dimension (LayerNorm, arXiv 1607.06450).
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Option<Tensor<1>>, eps: f64) -> Tensor<D> {
    if has_kernels(&x) {
        return flex::layer_norm(x, gamma, beta, eps);
    }
    composed::layer_norm(x, gamma, beta, eps)
}

/// GELU in its exact form, `x * (1 + erf(x / sqrt 2)) / 2`.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if has_kernels(&x) { flex::gelu(x) } else { composed::gelu(x) }
}

/// `max(x, 0)^2`, the activation of RWKV's channel mix.
pub fn relu_squared<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if has_kernels(&x) { flex::relu_squared(x) } else { composed::relu_squared(x) }
}

/// `silu(gate) * up`, the gate of SwiGLU (arXiv 2002.05202).
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    if has_kernels(&gate) { flex::swiglu(gate, up) } else { composed::swiglu(gate, up) }
}

/// `1 / (1 + exp(-x))`.
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if has_kernels(&x) { flex::sigmoid(x) } else { composed::sigmoid(x) }
}

/// `tanh(x)`.
pub fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if has_kernels(&x) { flex::tanh(x) } else { composed::tanh(x) }
}

/// `value + sigmoid(share) (other - value)`, RWKV-7's mix of a layer's values with those of the first one.
pub fn blend<const D: usize>(share: Tensor<D>, value: Tensor<D>, other: Tensor<D>) -> Tensor<D> {
    match has_kernels(&share) {
        true => flex::blend(share, value, other),
        false => composed::blend(share, value, other),
    }
}

/// `sigmoid(gate) * x`, the gate of GLU (arXiv 1612.08083); with `gate = x` it is the SiLU.
pub fn glu<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    if has_kernels(&gate) { flex::glu(gate, x) } else { composed::glu(gate, x) }
}

/// `y[t, g] = sum over i of x[t - i, g] taps[i, g]`, a product for each of some groups of channels, with zeros before the first row:
/// `x [b, t, groups in]`, `taps [w in, groups out]`, row `i in + c` for channel c of the row i back; `[b, t, groups out]`.
pub fn grouped(x: Tensor<3>, taps: Tensor<2>, groups: usize) -> Tensor<3> {
    if has_kernels(&x) { flex::grouped(x, taps, groups) } else { composed::grouped(x, taps, groups) }
}

/// `x [b, t, in] * weight [in, out] + bias [out]`.
pub fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    if has_kernels(&x) { flex::linear(x, weight, bias) } else { composed::linear(x, weight, bias) }
}

/// [`linear`] with the map `first` for rows `..split` of every sequence and `rest` for the others; `x [b, t, in]`,
/// `0 < split < t`.
pub fn linear_by_rows(x: Tensor<3>, first: Map, rest: Map, split: usize) -> Tensor<3> {
    match has_kernels(&x) {
        true => flex::linear_by_rows(x, first, rest, split),
        false => composed::linear_by_rows(x, first, rest, split),
    }
}

/// `x + y`, in place where nobody else holds `x`.
pub fn add<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    if has_kernels(&x) { flex::add(x, y) } else { x + y }
}

/// Weight `[in, out]` and bias `[out]` of a linear map.
#[derive(Debug, Clone)]
pub struct Map {
    /// The weight.
    pub weight: Tensor<2>,
    /// The bias.
    pub bias: Option<Tensor<1>>,
}

/// The parameters of a feed-forward sublayer.
#[derive(Debug, Clone)]
pub struct FeedForward {
    /// Of the norm.
    pub gamma: Tensor<1>,
    /// Of the norm; its presence makes it a LayerNorm, its absence an RMSNorm.
    pub beta: Option<Tensor<1>>,
    /// Of the norm.
    pub eps: f64,
    /// Its presence makes this a SwiGLU, its absence a GELU.
    pub gate: Option<Map>,
    /// Into the hidden channels.
    pub up: Map,
    /// Out of them.
    pub down: Map,
}

/// The whole feed-forward sublayer on `x [b, t, d]`: with z = norm(x), `x + down(dropout(gelu(up(z))))` or
/// `x + down(dropout(silu(gate(z)) * up(z)))`. The kernels keep x and what enters the activation; z and what leaves the
/// activation are computed again in the backward pass.
pub fn feed_forward(x: Tensor<3>, parameters: FeedForward, dropout: Option<Dropout>) -> Tensor<3> {
    let dropout = dropout.filter(|dropout| dropout.rate > 0.0);
    match has_kernels(&x) {
        true => flex::feed_forward(x, parameters, dropout),
        false => composed::feed_forward(x, parameters, dropout),
    }
}

/// Drops elements by the hash of their flat index and scales the others.
pub fn dropout<const D: usize>(x: Tensor<D>, dropout: Option<Dropout>) -> Tensor<D> {
    if has_kernels(&x) { flex::dropout(x, dropout) } else { composed::dropout(x, dropout) }
}

/// Rows `ids [b, t]` of `weight [v, d]`: `[b, t, d]`. The gradient adds rows in the order of the ids.
pub fn embedding(weight: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    if has_kernels(&weight) { flex::embedding(weight, ids) } else { composed::embedding(weight, ids) }
}

/// Sum over the scored targets of `-ln p`, where `p = softmax(hidden [n, d] * weight [v, d]^T + bias [v])`.
///
/// The value is that sum alone; the gradient is that of `sum(-ln p + z_loss * logsumexp(logits)^2)`. Targets equal to
/// [`IGNORED`] are not scored. Works in chunks of rows: `n x v` logits are never held, and the gradients are computed
/// on the way forward.
pub fn head_cross_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    targets: &[u32],
    z_loss: f32,
) -> Tensor<1> {
    if has_kernels(&hidden) {
        return flex::head_cross_entropy(hidden, weight, bias, targets, z_loss);
    }
    composed::head_cross_entropy(hidden, weight, bias, targets, z_loss)
}

/// One AdamW update of one flat parameter: the new parameter and moments. In place where a tensor has no other owner.
pub fn adamw(
    param: Tensor<1>,
    grad: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    hyper: &AdamW,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    if has_kernels(&param) {
        return flex::adamw(param, grad, m, v, hyper);
    }
    composed::adamw(param, grad, m, v, hyper)
}

/// Sum of squares, in a fixed order.
pub fn squared_norm(x: Tensor<1>) -> f64 {
    if has_kernels(&x) { flex::squared_norm(x) } else { composed::squared_norm(x) }
}
