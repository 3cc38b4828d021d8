//! The definition in f64, and the tests against it.

use super::{Attention, AttentionSaved, AttentionShape};
use crate::testing::close;
use crate::{Dropout, Pattern, Visibility};
use proptest::prelude::*;

struct Reference {
    output: Vec<f64>,
    lse: Vec<f64>,
    gradients: [Vec<f64>; 3],
}

/// Forward and backward, one element at a time.
fn reference(rule: &Attention, [q, k, v, grad]: [&[f32]; 4]) -> Reference {
    let s = rule.shape;
    let mut output = vec![0.0; s.query_len()];
    let mut lse = vec![0.0; s.lse_len()];
    let [mut dq, mut dk, mut dv] = [vec![0.0; s.query_len()], vec![0.0; s.key_len()], vec![0.0; s.key_len()]];
    for (index, lse) in lse.iter_mut().enumerate() {
        let (entry, head, row) = (index / s.queries / s.heads, index / s.queries % s.heads, index % s.queries);
        let at = s.query_at(entry, row, head);
        let key = |j: usize| s.key_at(entry, j, head / (s.heads / s.groups));
        let seen = rule.visibility.range(row, s.keys);
        let dot = |a: &[f32], a_at: usize, b: &[f32], b_at: usize| {
            (0..s.width).map(|c| f64::from(a[a_at + c]) * f64::from(b[b_at + c])).sum::<f64>()
        };
        let scores: Vec<f64> = seen.clone().map(|j| dot(q, at, k, key(j)) * f64::from(rule.scale)).collect();
        let sum: f64 = scores.iter().map(|s| s.exp()).sum();
        *lse = if seen.is_empty() { 0.0 } else { sum.ln() };
        let p: Vec<f64> = scores.iter().map(|s| s.exp() / sum).collect();
        let factor = |j: usize| rule.dropout.map_or(1.0, |d| f64::from(d.factor((index * s.keys + j) as u64)));
        let dp: Vec<f64> = seen.clone().map(|j| dot(grad, at, v, key(j)) * factor(j)).collect();
        let delta: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
        for (i, j) in seen.enumerate() {
            let ds = p[i] * (dp[i] - delta) * f64::from(rule.scale);
            for c in 0..s.width {
                output[at + c] += p[i] * factor(j) * f64::from(v[key(j) + c]);
                dq[at + c] += ds * f64::from(k[key(j) + c]);
                dk[key(j) + c] += ds * f64::from(q[at + c]);
                dv[key(j) + c] += p[i] * factor(j) * f64::from(grad[at + c]);
            }
        }
    }
    Reference { output, lse, gradients: [dq, dk, dv] }
}

fn check(rule: &Attention, shared: bool) {
    let s = rule.shape;
    let [q, k, v, grad] = [(s.query_len(), 1), (s.key_len(), 2), (s.key_len(), 3), (s.query_len(), 4)]
        .map(|(len, seed)| crate::testing::random(len, seed));
    let v = if shared { k.clone() } else { v };
    let expected = reference(rule, [&q, &k, &v, &grad]);
    let mut output = vec![f32::NAN; s.query_len()];
    let mut lse = vec![f32::NAN; s.lse_len()];
    rule.forward(&q, &k, &v, &mut output, &mut lse);
    close("output", &output, &expected.output, 1e-5);
    close("lse", &lse, &expected.lse, 1e-5);
    let mut dq = vec![f32::NAN; s.query_len()];
    let [mut dk, mut dv] = [(); 2].map(|()| vec![f32::NAN; s.key_len()]);
    let saved = AttentionSaved { q: &q, k: &k, v: &v, output: &output, lse: &lse };
    rule.backward(&saved, &grad, &mut dq, &mut dk, (!shared).then_some(&mut dv[..]));
    let [expected_q, expected_k, expected_v] = expected.gradients;
    close("dq", &dq, &expected_q, 1e-5);
    if shared {
        close("dk + dv", &dk, &expected_k.iter().zip(expected_v).map(|(k, v)| k + v).collect::<Vec<_>>(), 1e-5);
    } else {
        close("dk", &dk, &expected_k, 1e-5);
        close("dv", &dv, &expected_v, 1e-5);
    }
}

fn patterns() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        Just(Pattern::Causal),
        Just(Pattern::Everything),
        (1usize..90).prop_map(|width| Pattern::Band { width }),
        (1usize..90).prop_map(|length| Pattern::SegmentPair { length }),
        (1usize..90).prop_map(|length| Pattern::Blocks { length }),
        (1usize..90, 0usize..50).prop_map(|(length, shift)| Pattern::CausalBlocks { length, shift: shift % length }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_shape_and_pattern(
        (batch, groups, share, width) in (1usize..3, 1usize..3, 1usize..4, 1usize..20),
        (queries, keys) in (1usize..150, 1usize..150),
        pattern in patterns(),
        (query_start, key_start) in (0usize..100, 0usize..100),
        rate in prop_oneof![Just(None), Just(Some(0.3f32))],
        (scale, shared) in (0.01f32..1.0, any::<bool>()),
    ) {
        let shape = AttentionShape { batch, queries, keys, heads: groups * share, groups, width };
        let dropout = rate.map(|rate| Dropout { rate, seed: 11 });
        check(&Attention { shape, visibility: Visibility { pattern, query_start, key_start }, scale, dropout }, shared);
    }
}

#[test]
fn many_key_tiles() {
    let shape = AttentionShape { batch: 1, queries: 70, keys: 1300, heads: 2, groups: 1, width: 8 };
    for (pattern, query_start) in
        [(Pattern::Everything, 0), (Pattern::Causal, 1230), (Pattern::Band { width: 900 }, 1200)]
    {
        let visibility = Visibility { pattern, query_start, key_start: 0 };
        check(&Attention { shape, visibility, scale: 3.0, dropout: None }, false);
        check(&Attention { shape, visibility, scale: 0.4, dropout: Some(Dropout { rate: 0.1, seed: 3 }) }, true);
    }
}

/// The reference's own gradients against differences of its output.
#[test]
fn the_reference_backward_is_the_derivative() {
    let shape = AttentionShape { batch: 1, queries: 5, keys: 6, heads: 2, groups: 1, width: 2 };
    let visibility = Visibility { pattern: Pattern::SegmentPair { length: 2 }, query_start: 1, key_start: 0 };
    let rule = Attention { shape, visibility, scale: 0.8, dropout: Some(Dropout { rate: 0.2, seed: 4 }) };
    let inputs = [(shape.query_len(), 1), (shape.key_len(), 2), (shape.key_len(), 3), (shape.query_len(), 4)]
        .map(|(len, seed)| crate::testing::random(len, seed));
    let value = |inputs: &[Vec<f32>; 4]| -> f64 {
        let output = reference(&rule, std::array::from_fn(|i| &inputs[i][..])).output;
        output.iter().zip(&inputs[3]).map(|(o, g)| o * f64::from(*g)).sum()
    };
    let gradients = reference(&rule, std::array::from_fn(|i| &inputs[i][..])).gradients;
    for (which, gradient) in gradients.iter().enumerate() {
        for (index, gradient) in gradient.iter().enumerate() {
            let step = |by: f32| {
                let mut moved = inputs.clone();
                moved[which][index] += by;
                (value(&moved), f64::from(moved[which][index]))
            };
            let ((high, x1), (low, x0)) = (step(1e-3), step(-1e-3));
            let difference = (high - low) / (x1 - x0);
            assert!((difference - gradient).abs() < 1e-5, "input {which}[{index}]: {gradient} {difference}");
        }
    }
}
