//! What products in bfloat16 promise beside being within their rounding of the definition.

use super::reference::precisions;
use super::{Attention, AttentionSaved, AttentionShape};
use crate::testing::random;
use crate::{Pattern, Precision, Product, Visibility};

/// Whether this processor can run the tests; says so where it can't.
fn supported() -> bool {
    let supported = Precision::Bf16.is_supported();
    if !supported {
        eprintln!("skipped: this processor has no AVX512-BF16");
    }
    supported
}

fn rule(shape: AttentionShape, pattern: Pattern, precision: Precision) -> Attention {
    Attention { shape, visibility: Visibility::new(pattern), scale: 0.25, dropout: None, precision }
}

/// Queries, keys, values and the gradient of the output.
fn inputs(s: AttentionShape) -> [Vec<f32>; 4] {
    [(s.query_len(), 1), (s.key_len(), 2), (s.key_len(), 3), (s.query_len(), 4)].map(|(len, seed)| random(len, seed))
}

/// Output, log-sum-exp, dq, dk, dv.
fn run(rule: &Attention, [q, k, v, grad]: &[Vec<f32>; 4]) -> [Vec<f32>; 5] {
    let s = rule.shape;
    let (mut output, mut lse) = (vec![f32::NAN; s.query_len()], vec![f32::NAN; s.lse_len()]);
    rule.forward(q, k, v, &mut output, &mut lse);
    let (mut dq, [mut dk, mut dv]) = (vec![f32::NAN; s.query_len()], [(); 2].map(|()| vec![f32::NAN; s.key_len()]));
    let saved = AttentionSaved { q, k, v, output: &output, lse: &lse };
    rule.backward(&saved, grad, &mut dq, &mut dk, Some(&mut dv));
    [output, lse, dq, dk, dv]
}

fn bits(results: &[Vec<f32>; 5]) -> Vec<u32> {
    results.iter().flatten().map(|x| x.to_bits()).collect()
}

#[test]
fn threads_do_not_show() {
    // One head: how many blocks a task takes depends on the threads.
    for (heads, groups) in [(1, 1), (6, 2)] {
        let shape = AttentionShape { batch: 1, queries: 1000, keys: 1000, heads, groups, width: 40 };
        for pattern in [Pattern::Causal, Pattern::Band { width: 77 }, Pattern::SegmentPair { length: 100 }] {
            for precision in precisions() {
                let (rule, inputs) = (rule(shape, pattern, precision), inputs(shape));
                let on = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    bits(&pool.install(|| run(&rule, &inputs)))
                };
                let one = on(1);
                assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one), "{precision:?} {pattern:?}");
            }
        }
    }
}

#[test]
fn what_follows_does_not_show() {
    let shape = AttentionShape { batch: 1, queries: 150, keys: 150, heads: 2, groups: 1, width: 24 };
    for pattern in [Pattern::Causal, Pattern::Band { width: 77 }, Pattern::SegmentPair { length: 40 }] {
        for precision in precisions() {
            let (rule, before) = (rule(shape, pattern, precision), inputs(shape));
            for position in [1, 31, 32, 77, 149] {
                // Everything at `position` and after it is something else.
                let mut after = before.clone();
                let firsts = [48, 24, 24, 48].map(|row| row * position);
                for (input, first) in after.iter_mut().zip(firsts) {
                    input[first..].iter_mut().for_each(|x| *x = 3.0 - 7.0 * *x);
                }
                let [before, after] = [&before, &after].map(|inputs| run(&rule, inputs));
                let same = |which: usize, end: usize| before[which][..end] == after[which][..end];
                // A query meets neither later keys nor later queries, forward or backward.
                assert!(same(0, firsts[0]) && same(2, firsts[0]), "{precision:?} {pattern:?} {position}");
            }
        }
    }
}

#[test]
fn rounding_is_small_and_there() {
    if !supported() {
        return;
    }
    for width in [32, 64, 128, 192] {
        let shape = AttentionShape { batch: 1, queries: 300, keys: 300, heads: 1, groups: 1, width };
        let inputs = inputs(shape);
        let [exact, rounded] =
            [Precision::F32, Precision::Bf16].map(|precision| run(&rule(shape, Pattern::Causal, precision), &inputs));
        for (which, (exact, rounded)) in exact.iter().zip(&rounded).enumerate() {
            let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let error = norm(&mut exact.iter().zip(rounded).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied());
            assert!((1e-5..6e-3).contains(&error), "width {width}, result {which} is off by {error:e}");
        }
    }
}

/// By AMX as by AVX512-BF16, but for the order of the sums, at odd lengths and all visibilities.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn tiles_of_amx_give_the_same() {
    if !crate::amx::emulator::is_ready() {
        return;
    }
    for (queries, width, pattern) in [
        (3, 32, Pattern::Causal),
        (33, 64, Pattern::SegmentPair { length: 10 }),
        (70, 40, Pattern::Band { width: 37 }),
        (131, 128, Pattern::Causal),
        (65, 192, Pattern::Everything),
    ] {
        let shape = AttentionShape { batch: 1, queries, keys: queries, heads: 2, groups: 1, width };
        let (rule, inputs) = (rule(shape, pattern, Precision::Bf16), inputs(shape));
        let [vectors, tiles] = [Product::Avx512Bf16, Product::Amx].map(|product| {
            product.choose();
            run(&rule, &inputs)
        });
        for (which, (vectors, tiles)) in vectors.iter().zip(&tiles).enumerate() {
            let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let error = norm(&mut vectors.iter().zip(tiles).map(|(a, b)| a - b)) / norm(&mut vectors.iter().copied());
            // A probability that another order of its sums rounds to the other side is off by 2^-9.
            assert!(error < 2e-3, "{queries} queries, width {width}, result {which} is off by {error:e}");
        }
        assert_ne!(bits(&vectors), bits(&tiles), "the same instructions twice");
    }
}

#[test]
fn rows_that_see_nothing_are_zero() {
    for precision in precisions() {
        let shape = AttentionShape { batch: 2, queries: 70, keys: 50, heads: 2, groups: 2, width: 5 };
        let visibility = Visibility { pattern: Pattern::Blocks { length: 30 }, query_start: 40, key_start: 0 };
        let rule = Attention { visibility, ..rule(shape, Pattern::Everything, precision) };
        let [output, lse, dq, ..] = run(&rule, &inputs(shape));
        // Queries from position 60 on are in blocks without keys.
        for entry in 0..2 {
            let rows = (entry * 70 + 20) * 10..(entry + 1) * 700;
            assert!(output[rows.clone()].iter().chain(&dq[rows]).all(|x| *x == 0.0), "{precision:?}");
        }
        assert!(lse.chunks(70).all(|lse| lse[20..].iter().all(|x| *x == 0.0)), "{precision:?}");
    }
}
