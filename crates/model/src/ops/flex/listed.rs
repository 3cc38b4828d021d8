//! Attention to listed rows, and maxima over them.

use super::buffer::{contiguous, numbers, slice, tensor};
use crate::ops::{ListedPart, Listing};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use percept_kernels::{Listed, ListedGradients, ListedMaximum};

/// What is not a tensor of a call with one table.
#[derive(Debug, Clone, Copy)]
pub(super) struct One {
    rows: Listing,
    scale: f32,
}

/// What is not a tensor of a call with two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Two {
    rows: [Listing; 2],
    scale: f32,
}

/// [`crate::ops::listed`] and [`crate::ops::listed_maximum`] as extensions of Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub(super) trait ListedOps: Backend {
    /// Queries, keys and values.
    fn listed(q: FloatTensor<Self>, k: FloatTensor<Self>, v: FloatTensor<Self>, rule: One) -> FloatTensor<Self>;

    /// The same of both tables.
    fn listed_pair(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        second_q: FloatTensor<Self>,
        second_k: FloatTensor<Self>,
        second_v: FloatTensor<Self>,
        rule: Two,
    ) -> FloatTensor<Self>;

    /// `x [b, rows, h, e]`.
    fn listed_maximum(x: FloatTensor<Self>, members: Listing, sets: usize) -> FloatTensor<Self>;
}

/// See [`crate::ops::listed`].
pub fn listed(first: ListedPart, second: Option<ListedPart>, scale: f32) -> Tensor<4> {
    let [q, k, v] = [first.q, first.k, first.v].map(Tensor::into_dispatch);
    let output = match second {
        None => <Dispatch as ListedOps>::listed(q, k, v, One { rows: first.rows, scale }),
        Some(second) => {
            let rule = Two { rows: [first.rows, second.rows], scale };
            let [second_q, second_k, second_v] = [second.q, second.k, second.v].map(Tensor::into_dispatch);
            <Dispatch as ListedOps>::listed_pair(q, k, v, second_q, second_k, second_v, rule)
        }
    };
    Tensor::from_dispatch(output)
}

/// See [`crate::ops::listed_maximum`].
pub fn listed_maximum(x: Tensor<4>, members: Listing, sets: usize) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ListedOps>::listed_maximum(x.into_dispatch(), members, sets))
}

/// Inputs and outputs of a call: queries, keys and values of N / 3 tables.
#[derive(Debug, Clone)]
struct Saved<const N: usize> {
    tables: [FlexTensor; N],
    rows: Vec<Listing>,
    output: FlexTensor,
    lse: FlexTensor,
    call: Listed,
}

impl<const N: usize> Saved<N> {
    fn parts(&self) -> Vec<percept_kernels::ListedPart<'_>> {
        let tables = self.tables.chunks_exact(3).zip(&self.rows);
        let parts = tables.filter_map(|(table, rows)| match table {
            [q, k, v] => Some(percept_kernels::ListedPart { q: slice(q), k: slice(k), v: slice(v), rows: *rows }),
            _ => None,
        });
        parts.collect()
    }
}

fn forward<const N: usize>(tables: [FlexTensor; N], rows: &[Listing], scale: f32) -> Saved<N> {
    let tables = tables.map(contiguous);
    let (query, key) = (tables[0].layout().shape().clone(), tables[1].layout().shape());
    let call = Listed { batch: query[0], queries: query[1], heads: query[2], groups: key[2], width: query[3], scale };
    let (mut output, mut lse) = (numbers(call.query_len()), numbers(call.lse_len()));
    let empty = [Vec::new(), Vec::new()].map(|data: Vec<f32>| tensor(data, [0]));
    let [no_output, no_lse] = empty;
    let mut saved = Saved { tables, rows: rows.to_vec(), output: no_output, lse: no_lse, call };
    call.forward(&saved.parts(), &mut output, &mut lse);
    (saved.output, saved.lse) = (tensor(output, query), tensor(lse, [call.lse_len()]));
    saved
}

#[derive(Debug)]
struct ListedBackward;

impl<const N: usize> Backward<Flex, N> for ListedBackward {
    type State = Saved<N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let saved = ops.state;
        let mut results: Vec<Vec<f32>> = saved.tables.iter().map(|table| numbers(slice(table).len())).collect();
        let mut gradients: Vec<ListedGradients<'_>> = results
            .chunks_exact_mut(3)
            .filter_map(|part| match part {
                [q, k, v] => Some(ListedGradients { q, k, v }),
                _ => None,
            })
            .collect();
        saved.call.backward(&saved.parts(), (slice(&saved.output), slice(&saved.lse)), slice(&grad), &mut gradients);
        for ((parent, result), table) in ops.parents.into_iter().zip(results).zip(&saved.tables) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, tensor(result, table.layout().shape().clone()));
            }
        }
    }
}

#[derive(Debug)]
struct MaximumBackward;

fn maximum(x: FlexTensor, members: Listing, sets: usize) -> (FlexTensor, FlexTensor, ListedMaximum) {
    let x = contiguous(x);
    let [batch, heads, width] = [0, 2, 3].map(|dim| x.layout().shape()[dim]);
    let call = ListedMaximum { batch, sets, channels: heads * width, members };
    let mut largest = numbers(batch * sets * heads * width);
    call.forward(slice(&x), &mut largest);
    (x, tensor(largest, [batch, sets, heads, width]), call)
}

impl Backward<Flex, 1> for MaximumBackward {
    type State = (FlexTensor, FlexTensor, ListedMaximum);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (x, largest, call) = ops.state;
        let mut dx = numbers(slice(&x).len());
        call.backward(slice(&x), slice(&largest), slice(&grad), &mut dx);
        if let [Some(parent)] = ops.parents {
            grads.register::<Flex>(parent.id, tensor(dx, x.layout().shape().clone()));
        }
    }
}

impl ListedOps for Flex {
    fn listed(q: FlexTensor, k: FlexTensor, v: FlexTensor, rule: One) -> FlexTensor {
        forward([q, k, v], &[rule.rows], rule.scale).output
    }

    fn listed_pair(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        second_q: FlexTensor,
        second_k: FlexTensor,
        second_v: FlexTensor,
        rule: Two,
    ) -> FlexTensor {
        forward([q, k, v, second_q, second_k, second_v], &rule.rows, rule.scale).output
    }

    fn listed_maximum(x: FlexTensor, members: Listing, sets: usize) -> FlexTensor {
        maximum(x, members, sets).1
    }
}

impl<C: CheckpointStrategy> ListedOps for Autodiff<Flex, C> {
    fn listed(q: FloatTensor<Self>, k: FloatTensor<Self>, v: FloatTensor<Self>, rule: One) -> FloatTensor<Self> {
        let ((q, q_node), (k, k_node), (v, v_node)) = (q.into_parts(), k.into_parts(), v.into_parts());
        let saved = forward([q, k, v], &[rule.rows], rule.scale);
        let output = saved.output.clone();
        match ListedBackward.prepare::<C>([q_node, k_node, v_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(saved, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }

    fn listed_pair(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        second_q: FloatTensor<Self>,
        second_k: FloatTensor<Self>,
        second_v: FloatTensor<Self>,
        rule: Two,
    ) -> FloatTensor<Self> {
        let ((q, q_node), (k, k_node), (v, v_node)) = (q.into_parts(), k.into_parts(), v.into_parts());
        let (second_q, second_q_node) = second_q.into_parts();
        let (second_k, second_k_node) = second_k.into_parts();
        let (second_v, second_v_node) = second_v.into_parts();
        let saved = forward([q, k, v, second_q, second_k, second_v], &rule.rows, rule.scale);
        let output = saved.output.clone();
        let nodes = [q_node, k_node, v_node, second_q_node, second_k_node, second_v_node];
        match ListedBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(saved, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }

    fn listed_maximum(x: FloatTensor<Self>, members: Listing, sets: usize) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let (x, largest, call) = maximum(x, members, sets);
        match MaximumBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x, largest.clone(), call), largest),
            OpsKind::UnTracked(prepared) => prepared.finish(largest),
        }
    }
}
