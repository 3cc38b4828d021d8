//! The cost formulas of the kernels against the products that they execute.
//!
//! The count is one for the process, so these tests take turns; no other test shares their binary.

use std::sync::{Mutex, MutexGuard, PoisonError};

use percept_kernels::{
    Attention, AttentionSaved, AttentionShape, Cost, Head, HeadGradients, Linear, Pattern, Precision, Visibility,
    WeightOrder,
};

static TURN: Mutex<()> = Mutex::new(());

/// What `work` executes, and the right to count.
fn executed(work: impl FnOnce()) -> Cost {
    let _turn: MutexGuard<'_, ()> = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = Cost::executed();
    work();
    Cost::since(before)
}

#[test]
fn a_linear_map_executes_one_product_forward_and_two_backward() {
    for rows in [1, 4, 5, 70] {
        let (order, precision) = (WeightOrder::InputOutput, Precision::F32);
        let linear = Linear { rows, input: 6, output: 9, order, precision };
        let (x, weight, grad) = (vec![1.0; rows * 6], vec![1.0; 54], vec![1.0; rows * 9]);
        let product = Cost::of_product(rows, 9, 6);
        assert_eq!(executed(|| linear.forward(&x, &weight, None, &mut vec![0.0; rows * 9])), product, "{rows} rows");
        assert_eq!(executed(|| linear.input_gradient(&grad, &weight, &mut vec![0.0; rows * 6])), product);
        assert_eq!(executed(|| linear.weight_gradient(&x, &grad, &mut [0.0; 54])), product);
        assert_eq!((product.macs, product.elements), (54 * rows as u64, 15 * rows as u64 + 54));
    }
}

#[test]
fn a_head_executes_its_products_in_chunks() {
    for (rows, vocab) in [(3, 11), (300, 5000), (256, 5000), (0, 7)] {
        let dim = 4;
        let (hidden, weight, targets) = (vec![0.1; rows * dim], vec![0.1; vocab * dim], vec![1; rows]);
        let precision = Precision::F32;
        let head = Head { hidden: &hidden, weight: &weight, bias: None, targets: &targets, dim, precision };
        let cost = Head::cost(rows, vocab, dim);
        assert_eq!(executed(|| _ = head.loss()), cost, "{rows} rows, {vocab} tokens");
        let (mut dhidden, mut dweight) = (vec![0.0; hidden.len()], vec![0.0; weight.len()]);
        let gradients = HeadGradients { hidden: &mut dhidden, weight: &mut dweight, bias: None, z_loss: 0.0 };
        assert_eq!(executed(|| _ = head.loss_and_gradients(gradients)), cost * 3);
    }
}

/// The formats in which this processor multiplies.
fn precisions() -> impl Iterator<Item = Precision> {
    [Precision::F32, Precision::Bf16].into_iter().filter(|precision| precision.is_supported())
}

#[test]
fn attention_executes_the_tiles_that_its_rule_touches() {
    let patterns = [
        Pattern::Causal,
        Pattern::Everything,
        Pattern::Band { width: 100 },
        Pattern::SegmentPair { length: 70 },
        Pattern::Blocks { length: 33 },
        Pattern::CausalBlocks { length: 48, shift: 24 },
    ];
    let sizes = [(1, 1, 0), (65, 65, 0), (200, 1100, 900)];
    for pattern in patterns {
        for ((queries, keys, query_start), precision) in
            sizes.into_iter().flat_map(|size| precisions().map(move |p| (size, p)))
        {
            let shape = AttentionShape { batch: 2, queries, keys, heads: 4, groups: 2, width: 3 };
            let visibility = Visibility { pattern, query_start, key_start: 0 };
            let attention = Attention { shape, visibility, scale: 1.0, dropout: None, precision };
            let (q, k) = (vec![0.1; shape.query_len()], vec![0.1; shape.key_len()]);
            let (mut output, mut lse) = (vec![0.0; q.len()], vec![0.0; shape.lse_len()]);
            let forward = executed(|| attention.forward(&q, &k, &k, &mut output, &mut lse));
            assert_eq!(forward, attention.forward_cost(), "{precision:?} {pattern:?}, {queries} x {keys}");
            let saved = AttentionSaved { q: &q, k: &k, v: &k, output: &output, lse: &lse };
            let (mut dq, mut dk, mut dv) = (q.clone(), k.clone(), k.clone());
            let backward = executed(|| attention.backward(&saved, &q, &mut dq, &mut dk, Some(&mut dv)));
            assert_eq!(backward, attention.backward_cost(), "{precision:?} {pattern:?}, {queries} x {keys}");
        }
    }
}
