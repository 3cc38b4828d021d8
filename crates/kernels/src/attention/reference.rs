//! The definition in f64, and the tests against it.

use super::{Attention, AttentionSaved, AttentionShape};
use crate::testing::close;
use crate::{Dropout, Pattern, Precision, Visibility};
use half::bf16;
use proptest::prelude::*;

struct Reference {
    output: Vec<f64>,
    lse: Vec<f64>,
    gradients: [Vec<f64>; 3],
    /// How far rounding by one moves output, dq, dk, dv at most, where the inputs are not rounded: that of the probabilities
    /// and, of the gradients of the scores, their own and that of the output behind their mean.
    slack: [Vec<f64>; 4],
}

/// Forward and backward, one element at a time.
fn reference(rule: &Attention, [q, k, v, grad]: [&[f32]; 4]) -> Reference {
    let s = rule.shape;
    let mut output = vec![0.0; s.query_len()];
    let mut lse = vec![0.0; s.lse_len()];
    let [mut dq, mut dk, mut dv] = [vec![0.0; s.query_len()], vec![0.0; s.key_len()], vec![0.0; s.key_len()]];
    let mut slack = [s.query_len(), s.query_len(), s.key_len(), s.key_len()].map(|length| vec![0.0; length]);
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
        for (i, j) in seen.clone().enumerate() {
            let (weight, value) = (p[i] * factor(j), key(j));
            (0..s.width).for_each(|c| slack[0][at + c] += weight * f64::from(v[value + c].abs()));
        }
        let off: f64 = (0..s.width).map(|c| slack[0][at + c] * f64::from(grad[at + c].abs())).sum();
        for (i, j) in seen.enumerate() {
            let ds = p[i] * (dp[i] - delta) * f64::from(rule.scale);
            for c in 0..s.width {
                output[at + c] += p[i] * factor(j) * f64::from(v[key(j) + c]);
                dq[at + c] += ds * f64::from(k[key(j) + c]);
                dk[key(j) + c] += ds * f64::from(q[at + c]);
                dv[key(j) + c] += p[i] * factor(j) * f64::from(grad[at + c]);
                let ds = ds.abs() + p[i] * off * f64::from(rule.scale);
                slack[1][at + c] += ds * f64::from(k[key(j) + c].abs());
                slack[2][key(j) + c] += ds * f64::from(q[at + c].abs());
                slack[3][key(j) + c] += p[i] * factor(j) * f64::from(grad[at + c].abs());
            }
        }
    }
    Reference { output, lse, gradients: [dq, dk, dv], slack }
}

/// [`close`] to 1e-5, but for what rounding explains: half a step of bfloat16 is 2^-8, and products of two roundings are less.
fn within(what: &str, precision: Precision, fast: &[f32], plain: &[f64], slack: &[f64]) {
    if precision == Precision::F32 {
        return close(what, fast, plain, 1e-5);
    }
    let size = plain.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (fast, (plain, slack))) in fast.iter().zip(plain.iter().zip(slack)).enumerate() {
        let most = 1.02 * slack / 256.0 + 1e-5 * size;
        assert!((f64::from(*fast) - plain).abs() < most, "{what}[{i}]: {fast} instead of {plain}, at most {most} off");
    }
}

/// The formats in which this processor multiplies.
pub(super) fn precisions() -> Vec<Precision> {
    [Precision::F32, Precision::Bf16].into_iter().filter(|precision| precision.is_supported()).collect()
}

/// In bfloat16 the inputs are such that rounding does not change them.
fn check(rule: &Attention, shared: bool) {
    let (s, precision) = (rule.shape, rule.precision);
    let round = |x: f32| if precision == Precision::F32 { x } else { bf16::from_f32(x).to_f32() };
    let [q, k, v, grad] = [(s.query_len(), 1), (s.key_len(), 2), (s.key_len(), 3), (s.query_len(), 4)]
        .map(|(len, seed)| crate::testing::random(len, seed).into_iter().map(round).collect::<Vec<_>>());
    let v = if shared { k.clone() } else { v };
    let expected = reference(rule, [&q, &k, &v, &grad]);
    let mut output = vec![f32::NAN; s.query_len()];
    let mut lse = vec![f32::NAN; s.lse_len()];
    rule.forward(&q, &k, &v, &mut output, &mut lse);
    let [slack_o, slack_q, slack_k, slack_v] = expected.slack;
    within("output", precision, &output, &expected.output, &slack_o);
    close("lse", &lse, &expected.lse, 1e-5);
    let mut dq = vec![f32::NAN; s.query_len()];
    let [mut dk, mut dv] = [(); 2].map(|()| vec![f32::NAN; s.key_len()]);
    let saved = AttentionSaved { q: &q, k: &k, v: &v, output: &output, lse: &lse };
    rule.backward(&saved, &grad, &mut dq, &mut dk, (!shared).then_some(&mut dv[..]));
    let [expected_q, expected_k, expected_v] = expected.gradients;
    within("dq", precision, &dq, &expected_q, &slack_q);
    if shared {
        let sum = |k: &[f64], v: &[f64]| k.iter().zip(v).map(|(k, v)| k + v).collect::<Vec<_>>();
        within("dk + dv", precision, &dk, &sum(&expected_k, &expected_v), &sum(&slack_k, &slack_v));
    } else {
        within("dk", precision, &dk, &expected_k, &slack_k);
        within("dv", precision, &dv, &expected_v, &slack_v);
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
        precision in proptest::sample::select(precisions()),
    ) {
        let shape = AttentionShape { batch, queries, keys, heads: groups * share, groups, width };
        let dropout = rate.map(|rate| Dropout { rate, seed: 11 });
        let visibility = Visibility { pattern, query_start, key_start };
        check(&Attention { shape, visibility, scale, dropout, precision }, shared);
    }
}

#[test]
fn many_key_tiles() {
    let shape = AttentionShape { batch: 1, queries: 70, keys: 1300, heads: 2, groups: 1, width: 8 };
    for (pattern, query_start) in
        [(Pattern::Everything, 0), (Pattern::Causal, 1230), (Pattern::Band { width: 900 }, 1200)]
    {
        let visibility = Visibility { pattern, query_start, key_start: 0 };
        for precision in precisions() {
            let dropout = Some(Dropout { rate: 0.1, seed: 3 });
            check(&Attention { shape, visibility, scale: 3.0, dropout: None, precision }, false);
            check(&Attention { shape, visibility, scale: 0.4, dropout, precision }, true);
        }
    }
}

#[test]
fn heads_of_any_width() {
    for width in [32, 40, 64, 96, 127, 128, 192, 193] {
        let shape = AttentionShape { batch: 1, queries: 67, keys: 131, heads: 2, groups: 2, width };
        for pattern in [Pattern::Causal, Pattern::SegmentPair { length: 33 }, Pattern::Band { width: 50 }] {
            let visibility = Visibility { pattern, query_start: 64, key_start: 0 };
            for precision in precisions() {
                check(&Attention { shape, visibility, scale: 0.3, dropout: None, precision }, false);
            }
        }
    }
}

/// The reference's own gradients against differences of its output.
#[test]
fn the_reference_backward_is_the_derivative() {
    let shape = AttentionShape { batch: 1, queries: 5, keys: 6, heads: 2, groups: 1, width: 2 };
    let visibility = Visibility { pattern: Pattern::SegmentPair { length: 2 }, query_start: 1, key_start: 0 };
    let rule = Attention {
        shape,
        visibility,
        scale: 0.8,
        dropout: Some(Dropout { rate: 0.2, seed: 4 }),
        precision: Precision::F32,
    };
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
