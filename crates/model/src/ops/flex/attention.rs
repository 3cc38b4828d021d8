//! Attention.

use super::buffer::{contiguous, numbers, slice, tensor};
use crate::ops::precision;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::{Attention, AttentionSaved, AttentionShape, Dropout, Precision, Visibility};

/// Everything but the tensors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Who sees whom.
    pub visibility: Visibility,
    /// Factor of the scores.
    pub scale: f32,
    /// Dropout of the probabilities.
    pub dropout: Option<Dropout>,
    /// Format of the products' operands, in the backward pass too.
    pub precision: Precision,
}

/// [`crate::ops::attention`] as an extension of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait AttentionOps: Backend {
    /// `q [b, tq, h, e]` to `k, v [b, tk, g, e]`.
    fn interval_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        rule: Rule,
    ) -> FloatTensor<Self>;
}

/// See [`crate::ops::attention`].
pub fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    visibility: &Visibility,
    scale: f32,
    dropout: Option<Dropout>,
) -> Tensor<4> {
    let dropout = dropout.filter(|d| d.rate > 0.0);
    let rule = Rule { visibility: *visibility, scale, dropout, precision: precision::current() };
    let (q, k, v) = (q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
    Tensor::from_dispatch(<Dispatch as AttentionOps>::interval_attention(q, k, v, rule))
}

/// Inputs and outputs of the forward pass, and what it computed.
#[derive(Debug, Clone)]
struct Saved {
    q: FlexTensor,
    k: FlexTensor,
    v: FlexTensor,
    output: FlexTensor,
    lse: FlexTensor,
    call: Attention,
}

fn forward(q: FlexTensor, k: FlexTensor, v: FlexTensor, rule: Rule) -> Saved {
    let (q, k, v) = (contiguous(q), contiguous(k), contiguous(v));
    let (query, key) = (q.layout().shape(), k.layout().shape());
    let shape = AttentionShape {
        batch: query[0],
        queries: query[1],
        keys: key[1],
        heads: query[2],
        groups: key[2],
        width: query[3],
    };
    let Rule { visibility, scale, dropout, precision } = rule;
    let call = Attention { shape, visibility, scale, dropout, precision };
    let (mut output, mut lse) = (numbers(shape.query_len()), numbers(shape.lse_len()));
    call.forward(slice(&q), slice(&k), slice(&v), &mut output, &mut lse);
    let output = tensor(output, query.clone());
    let lse = tensor(lse, [shape.lse_len()]);
    Saved { q, k, v, output, lse, call }
}

impl AttentionOps for Flex {
    fn interval_attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, rule: Rule) -> FlexTensor {
        forward(q, k, v, rule).output
    }
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 3> for AttentionBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let Saved { q, k, v, output, lse, call } = ops.state;
        let [q_node, k_node, v_node] = ops.parents;
        let shared = matches!((&k_node, &v_node), (Some(k), Some(v)) if k.id == v.id);
        let mut dq = numbers(call.shape.query_len());
        let mut dk = numbers(call.shape.key_len());
        let mut dv = (!shared).then(|| numbers(call.shape.key_len()));
        let saved =
            AttentionSaved { q: slice(&q), k: slice(&k), v: slice(&v), output: slice(&output), lse: slice(&lse) };
        call.backward(&saved, slice(&grad), &mut dq, &mut dk, dv.as_deref_mut());
        let results = [(q_node, Some(dq), &q), (k_node, Some(dk), &k), (v_node, dv, &v)];
        for (node, data, like) in results {
            if let (Some(node), Some(data)) = (node, data) {
                grads.register::<Flex>(node.id, tensor(data, like.layout().shape().clone()));
            }
        }
    }
}

impl<C: CheckpointStrategy> AttentionOps for Autodiff<Flex, C> {
    fn interval_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        rule: Rule,
    ) -> FloatTensor<Self> {
        let ((q, q_node), (k, k_node), (v, v_node)) = (q.into_parts(), k.into_parts(), v.into_parts());
        let saved = forward(q, k, v, rule);
        let output = saved.output.clone();
        match AttentionBackward.prepare::<C>([q_node, k_node, v_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(saved, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }
}
