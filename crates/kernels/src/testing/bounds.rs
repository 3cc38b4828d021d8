//! Every kernel that uses raw pointers, over odd sizes, with guarded slices: a read or write outside of one ends the process by a
//! signal (`cargo test -p percept-kernels bounds -- --nocapture` shows on which sizes). Miri runs what needs no `gemm`, which asks the
//! processor for its caches.

use super::guarded::{Edge, Guarded};
use super::random;
use crate::decode::{Epilogue, PackedLinear, Pages, Ring, RingAttention, Source, Team, WeightPrecision};
use crate::{
    Attention, AttentionSaved, AttentionShape, Head, HeadGradients, Linear, Pattern, Precision, Product, Visibility,
    WeightOrder, embedding,
};

const ORDERS: [WeightOrder; 2] = [WeightOrder::InputOutput, WeightOrder::OutputInput];

/// Sizes to try: Miri takes a thousand times as long.
const MOST: usize = if cfg!(miri) { 1 } else { usize::MAX };

/// Makes `count` guarded elements of a seed.
type Make<'a> = &'a dyn Fn(usize, u64) -> Guarded;

/// Runs `work` with both edges guarded in turn; what it returns may not depend on where its slices lie.
fn guarded(sizes: impl std::fmt::Debug, work: impl Fn(Make<'_>) -> Vec<Guarded>) {
    eprintln!("{sizes:?}");
    let run = |edge| work(&|count, seed| Guarded::new(&random(count, seed), edge));
    let before = run(Edge::Before);
    // Miri sees both edges of any allocation.
    let after = if cfg!(miri) { Vec::new() } else { run(Edge::After) };
    for (before, after) in before.iter().zip(&after) {
        let bits = |elements: &[f32]| elements.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(before), bits(after), "{sizes:?}");
    }
}

/// The products of this processor, AMX by the emulator if need be.
fn products() -> impl Iterator<Item = Product> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    crate::amx::emulator::is_ready();
    Product::ALL.into_iter().filter(|product| product.is_available())
}

fn linear(linear: Linear) {
    let Linear { rows, input, output, .. } = linear;
    guarded(linear, |make| {
        let (x, weight, bias, grad) =
            (make(rows * input, 1), make(input * output, 2), make(output, 3), make(rows * output, 4));
        let [mut y, mut sum] = [5, 6].map(|seed| make(rows * output, seed));
        let (mut dx, mut dweight, mut dbias) = (make(rows * input, 7), make(input * output, 8), make(output, 9));
        linear.forward(&x, &weight, Some(&bias), &mut y);
        linear.forward_onto(&grad, &x, &weight, None, &mut sum);
        linear.input_gradient(&grad, &weight, &mut dx);
        linear.add_input_gradient(&grad, &weight, &mut dx);
        linear.weight_gradient(&x, &grad, &mut dweight);
        linear.add_weight_gradient(&x, &grad, &mut dweight);
        linear.bias_gradient(&grad, &mut dbias);
        vec![y, sum, dx, dweight, dbias]
    });
}

#[test]
#[cfg_attr(miri, ignore = "gemm asks the processor")]
fn products_stay_inside() {
    for product in products() {
        product.choose();
        let precision = product.precision();
        let [rows, inputs, outputs] = match product {
            // Few, since it may be the emulator: single tiles and several, at an edge and not.
            Product::Amx => [[1, 31, 32, 33].as_slice(), &[1, 17, 66], &[7, 16, 32, 97]],
            _ => [[1, 3, 5, 8, 11, 12, 13, 33].as_slice(), &[1, 2, 15, 16, 17, 31, 66], &[1, 7, 16, 31, 33, 64, 97]],
        };
        for order in ORDERS {
            for (rows, input) in rows.iter().flat_map(|rows| inputs.iter().map(|input| (*rows, *input))) {
                for output in outputs.iter().copied() {
                    linear(Linear { rows, input, output, order, precision });
                }
            }
            linear(Linear { rows: 39, input: 521, output: 801, order, precision });
        }
    }
}

#[test]
fn few_rows_stay_inside() {
    let sizes = if cfg!(miri) { [3].as_slice() } else { &[1, 2, 15, 17, 64, 127, 129, 200, 513] };
    for order in ORDERS {
        for rows in 1..=4 {
            for (input, output) in sizes.iter().flat_map(|input| sizes.iter().map(move |output| (*input, *output))) {
                let linear = Linear { rows, input, output, order, precision: Precision::F32 };
                guarded(linear, |make| {
                    let mut y = make(rows * output, 4);
                    linear.forward(&make(rows * input, 1), &make(input * output, 2), Some(&make(output, 3)), &mut y);
                    vec![y]
                });
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "gemm asks the processor")]
fn attention_stays_inside() {
    let patterns =
        [Pattern::Causal, Pattern::Everything, Pattern::Band { width: 9 }, Pattern::SegmentPair { length: 7 }];
    for pattern in patterns {
        for (queries, keys, query_start) in [(1, 1, 0), (3, 3, 0), (65, 65, 0), (7, 530, 523), (67, 19, 0)] {
            for (heads, groups, width) in [(1, 1, 1), (2, 1, 5), (2, 2, 17), (3, 1, 64)] {
                let shape = AttentionShape { batch: 2, queries, keys, heads, groups, width };
                let visibility = Visibility { pattern, query_start, key_start: 0 };
                // Few on what may be the emulator.
                let few = matches!(pattern, Pattern::Causal | Pattern::SegmentPair { .. }) && heads != groups;
                for product in products().filter(|product| few || *product != Product::Amx) {
                    product.choose();
                    let precision = product.precision();
                    attention(Attention { shape, visibility, scale: 0.5, dropout: None, precision });
                }
            }
        }
    }
}

fn attention(attention: Attention) {
    let shape = attention.shape;
    guarded(attention, |make| {
        let (q, grad) = (make(shape.query_len(), 1), make(shape.query_len(), 2));
        let [k, v] = [3, 4].map(|seed| make(shape.key_len(), seed));
        let (mut output, mut lse) = (make(shape.query_len(), 5), make(shape.lse_len(), 6));
        attention.forward(&q, &k, &v, &mut output, &mut lse);
        let saved = AttentionSaved { q: &q, k: &k, v: &v, output: &output, lse: &lse };
        let mut dq = make(shape.query_len(), 7);
        let [mut dk, mut dv] = [8, 9].map(|seed| make(shape.key_len(), seed));
        attention.backward(&saved, &grad, &mut dq, &mut dk, Some(&mut dv));
        vec![output, lse, dq, dk, dv]
    });
}

#[test]
#[cfg_attr(miri, ignore = "gemm asks the processor")]
fn the_head_stays_inside() {
    let sizes = [(1, 1, 1), (3, 17, 5), (9, 257, 33), (520, 70, 31)];
    for (product, (rows, vocab, dim)) in products().flat_map(|product| sizes.map(|sizes| (product, sizes))) {
        product.choose();
        guarded((product, rows, vocab, dim), |make| {
            let (hidden, weight, bias) = (make(rows * dim, 1), make(vocab * dim, 2), make(vocab, 3));
            let targets: Vec<u32> = (0..rows).map(|row| (row * 5 % vocab) as u32).collect();
            let bias_of = Some(&*bias);
            let precision = product.precision();
            let head = Head { hidden: &hidden, weight: &weight, bias: bias_of, targets: &targets, dim, precision };
            let (mut dhidden, mut dweight, mut dbias) = (make(rows * dim, 4), make(vocab * dim, 5), make(vocab, 6));
            let dbias_of = Some(&mut *dbias);
            head.loss_and_gradients(HeadGradients {
                hidden: &mut dhidden,
                weight: &mut dweight,
                bias: dbias_of,
                z_loss: 0.1,
            });
            vec![dhidden, dweight, dbias]
        });
    }
}

#[test]
fn embeddings_stay_inside() {
    for width in [65, 1, 15, 63, 64, 130].into_iter().take(MOST) {
        for ids in [&[][..], &[6], &[0, 6, 3, 6, 0]] {
            guarded((width, ids), |make| {
                let (mut rows, mut dweight) = (make(ids.len() * width, 1), make(7 * width, 2));
                embedding::gather(&make(7 * width, 3), width, ids, &mut rows);
                embedding::scatter(&rows, width, ids, &mut dweight);
                vec![rows, dweight]
            });
        }
    }
}

#[test]
fn packed_maps_stay_inside() {
    let team = Team::new(1);
    let sizes = if cfg!(miri) { [(2, 3)].as_slice() } else { &[(1, 1), (3, 64), (7, 65), (64, 63), (130, 190)] };
    for precision in [WeightPrecision::F32, WeightPrecision::Bf16, WeightPrecision::Int8] {
        for (inputs, outputs) in sizes.iter().copied() {
            for order in ORDERS {
                for rows in if cfg!(miri) { 3..=3 } else { 1..=7 } {
                    guarded((precision, inputs, outputs, order, rows), |make| {
                        let weight = make(inputs * outputs, 1);
                        let source = Source { weight: &weight, order };
                        let bias = Some(random(outputs, 2));
                        let mut pages = Pages::zeroed(PackedLinear::words(inputs, outputs, precision)).unwrap();
                        let (map, _) = PackedLinear::pack(&[source], bias, inputs, precision, (&mut pages, 0));
                        let mut y = make(rows * outputs, 3);
                        let x = make(rows * inputs, 4);
                        for epilogue in [Epilogue::Replace, Epilogue::Add, Epilogue::Gelu] {
                            map.apply(&mut team.crew(), &pages, &x, &mut y, epilogue);
                        }
                        PackedLinear::swiglu(&map, &map, &mut team.crew(), &pages, &x, &mut y);
                        vec![y]
                    });
                }
            }
        }
    }
}

#[test]
fn rings_stay_inside() {
    let team = Team::new(1);
    for (capacity, groups, width) in
        [(3, 1, 5), (1, 1, 1), (5, 2, 3), (9, 1, 64), (4, 3, 65), (6, 1, 129)].into_iter().take(MOST)
    {
        let (ring, heads) = (RingAttention { capacity, groups, width }, 2 * groups);
        // Few rows, whose heads are apart, and more, whose heads take turns.
        for (start, rows) in [(0, 3), (1, 3), (capacity + 2, 3), (0, 9), (capacity + 2, 9)] {
            let visible = |row: usize, head: usize| start..start + 1 + (row + head) % capacity;
            guarded((ring, start), |make| {
                let (keys, values, q) = (make(ring.len(), 1), make(ring.len(), 2), make(rows * heads * width, 3));
                let (mut scores, mut output) = (make(rows * heads * capacity, 4), make(q.len(), 5));
                let (slices, pair) = ((&*q, &mut *scores, &mut *output), Ring::F32([&*keys, &*values]));
                ring.attend_rows(&mut team.crew(), heads, slices, |_| pair, visible);
                vec![output]
            });
            guarded((ring, start), |make| {
                let words = ring.len().div_ceil(2);
                let (keys, values, q) = (make(words, 1), make(words, 2), make(rows * heads * width, 3));
                let (mut scores, mut output) = (make(rows * heads * capacity, 4), make(q.len(), 5));
                // The last ones, where there is half a word more.
                let [keys, values] = [&*keys, &*values].map(|words| &bytemuck::cast_slice(words)[ring.len() % 2..]);
                let slices = (&*q, &mut *scores, &mut *output);
                ring.attend_rows(&mut team.crew(), heads, slices, |_| Ring::Bf16([keys, values]), visible);
                vec![output]
            });
        }
    }
}
