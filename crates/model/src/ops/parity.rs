//! The kernels against the composed formulas, through autodiff, on odd shapes and strided tensors.

use super::composed::check::{numbers, random};
use super::*;
use burn::tensor::Device;

/// Runs `fast` on f32 and `plain` on f64 with the same elements; compares outputs and all gradients.
fn agree<const D: usize>(
    shapes: &[&[usize]],
    fast: impl Fn(Vec<Tensor<1>>) -> Tensor<D>,
    plain: impl Fn(Vec<Tensor<1>>) -> Tensor<D>,
) {
    let run = |dtype: DType, function: &dyn Fn(Vec<Tensor<1>>) -> Tensor<D>| {
        let device = Device::flex().autodiff();
        let inputs: Vec<_> = shapes.iter().map(|s| random(s, &device).cast(dtype).require_grad()).collect();
        let y = function(inputs.clone());
        let count = y.shape().num_elements();
        let weights = random(&[count, 3], &device).narrow(0, 0, count).cast(dtype);
        let gradients = (y.clone().reshape([count]) * weights).sum().backward();
        let mut results = vec![numbers(y)];
        results.extend(inputs.iter().map(|x| numbers(x.grad(&gradients).expect("a gradient"))));
        results
    };
    let (fast, plain) = (run(DType::F32, &fast), run(DType::F64, &plain));
    for (which, (fast, plain)) in fast.iter().zip(&plain).enumerate() {
        assert_eq!(fast.len(), plain.len());
        let size = plain.iter().fold(1.0f64, |m, x| m.max(x.abs()));
        for (fast, plain) in fast.iter().zip(plain) {
            assert!((fast - plain).abs() < 2e-5 * size, "result {which}: {fast} instead of {plain}");
        }
    }
}

/// The same elements behind a view whose elements are not in order.
fn strided<const D: usize>(x: &Tensor<1>, shape: [usize; D]) -> Tensor<D> {
    let mut turned = shape;
    turned.swap(D - 2, D - 1);
    x.clone().reshape(turned).swap_dims(D - 2, D - 1)
}

#[test]
fn attention_with_groups_dropout_and_strides() {
    for (pattern, rate) in
        [(Pattern::SegmentPair { length: 5 }, 0.0), (Pattern::Causal, 0.3), (Pattern::Band { width: 4 }, 0.2)]
    {
        let visibility = Visibility { pattern, query_start: 2, key_start: 1 };
        let dropout = Some(Dropout { rate, seed: 3 });
        let call = |f: fn(Tensor<4>, Tensor<4>, Tensor<4>, &Visibility, f32, Option<Dropout>) -> Tensor<4>| {
            move |t: Vec<Tensor<1>>| {
                let q = strided(&t[0], [2, 13, 4, 6]);
                f(q, t[1].clone().reshape([2, 14, 2, 6]), strided(&t[2], [2, 14, 2, 6]), &visibility, 0.6, dropout)
            }
        };
        agree(&[&[2, 13, 4, 6], &[2, 14, 2, 6], &[2, 14, 2, 6, 1]], call(attention), call(composed::attention));
    }
}

#[test]
fn one_tensor_as_key_and_value_gets_both_gradients() {
    let visibility = Visibility::new(Pattern::SegmentPair { length: 4 });
    let call = |f: fn(Tensor<4>, Tensor<4>, Tensor<4>, &Visibility, f32, Option<Dropout>) -> Tensor<4>| {
        move |t: Vec<Tensor<1>>| {
            let k = t[1].clone().reshape([1, 10, 2, 3]);
            f(t[0].clone().reshape([1, 10, 2, 3]), k.clone(), k, &visibility, 0.5, None)
        }
    };
    agree(&[&[1, 10, 2, 3], &[10, 2, 3]], call(attention), call(composed::attention));
}

#[test]
fn rotary_leaves_a_shared_input_alone() {
    let rule = Rotary { base: 100.0, channels: 4, layout: RotaryLayout::Interleaved };
    let call = |f: fn(Tensor<4>, usize, &Rotary) -> Tensor<4>| {
        move |t: Vec<Tensor<1>>| {
            let x = t[0].clone().reshape([2, 50, 10, 5]);
            f(x.clone(), 7, &rule) * x
        }
    };
    agree(&[&[2, 50, 10, 5]], call(rotary), call(composed::rotary));
}

#[test]
fn norms() {
    agree(
        &[&[3, 7, 33], &[33]],
        |t| rms_norm(strided(&t[0], [3, 7, 33]), t[1].clone(), 1e-5),
        |t| composed::rms_norm(strided(&t[0], [3, 7, 33]), t[1].clone(), 1e-5),
    );
    for with_beta in [true, false] {
        let run = |f: fn(Tensor<3>, Tensor<1>, Option<Tensor<1>>, f64) -> Tensor<3>| {
            move |t: Vec<Tensor<1>>| {
                let beta = t[2].clone();
                let y = f(t[0].clone().reshape([3, 7, 33]), t[1].clone(), with_beta.then(|| beta.clone()), 1e-5);
                y * beta.unsqueeze()
            }
        };
        agree(&[&[3, 7, 33], &[33], &[33, 1]], run(layer_norm), run(composed::layer_norm));
    }
}

#[test]
fn activations_and_dropout() {
    agree(&[&[3, 700]], |t| gelu(strided(&t[0], [3, 700]) * 3.0), |t| composed::gelu(strided(&t[0], [3, 700]) * 3.0));
    let shapes: [&[usize]; 2] = [&[3, 700], &[700, 3]];
    agree(
        &shapes,
        |t| swiglu::<2>(t[0].clone().reshape([3, 700]), strided(&t[1], [3, 700])),
        |t| composed::swiglu::<2>(t[0].clone().reshape([3, 700]), strided(&t[1], [3, 700])),
    );
    let rule = Some(Dropout { rate: 0.25, seed: 8 });
    agree(
        &[&[90, 70]],
        |t| dropout::<2>(strided(&t[0], [90, 70]), rule),
        |t| composed::dropout::<2>(strided(&t[0], [90, 70]), rule),
    );
}

#[test]
fn linear_with_and_without_bias() {
    for biased in [true, false] {
        let run = |f: fn(Tensor<3>, Tensor<2>, Option<Tensor<1>>) -> Tensor<3>| {
            move |t: Vec<Tensor<1>>| {
                let bias = t[2].clone();
                let y = f(strided(&t[0], [2, 30, 17]), strided(&t[1], [17, 19]), biased.then(|| bias.clone()));
                y + bias.unsqueeze()
            }
        };
        agree(&[&[2, 30, 17], &[17, 19], &[19]], run(linear), run(composed::linear));
    }
}

#[test]
fn linear_maps_by_rows() {
    for (biased, split) in [(true, 7), (false, 25)] {
        let run = |f: fn(Tensor<3>, Map, Map, usize) -> Tensor<3>| {
            move |t: Vec<Tensor<1>>| {
                let bias = [t[3].clone(), t[4].clone()];
                let map = |weight: &Tensor<1>, bias: &Tensor<1>| Map {
                    weight: strided(weight, [17, 19]),
                    bias: biased.then(|| bias.clone()),
                };
                let (first, rest) = (map(&t[1], &bias[0]), map(&t[2], &bias[1]));
                let y = f(strided(&t[0], [3, 30, 17]), first, rest, split);
                let [first, rest] = bias;
                y + (first + rest).unsqueeze()
            }
        };
        let shapes: [&[usize]; 5] = [&[3, 30, 17], &[17, 19], &[17, 19, 1], &[19], &[19, 1]];
        agree(&shapes, run(linear_by_rows), run(composed::linear_by_rows));
    }
}

#[test]
fn convolutions_with_more_and_fewer_rows_than_taps() {
    for rows in [30, 3] {
        let run = |f: fn(Tensor<3>, Tensor<2>) -> Tensor<3>| {
            move |t: Vec<Tensor<1>>| f(strided(&t[0], [2, rows, 17]), strided(&t[1], [5, 17]))
        };
        agree(&[&[2, rows, 17], &[5, 17]], run(convolution), run(composed::convolution));
    }
}

#[test]
fn feed_forward_sublayers_with_all_gradients() {
    for (gated, biased, rate) in [(false, true, 0.0), (false, true, 0.3), (true, false, 0.2), (true, true, 0.0)] {
        let mask = Some(Dropout { rate, seed: 5 });
        let run = |f: fn(Tensor<3>, FeedForward, Option<Dropout>) -> Tensor<3>| {
            move |t: Vec<Tensor<1>>| {
                let bias = |i: usize| biased.then(|| t[i].clone());
                let parameters = FeedForward {
                    gamma: t[1].clone(),
                    beta: bias(2),
                    eps: 1e-3,
                    gate: gated.then(|| Map { weight: t[3].clone().reshape([17, 70]), bias: bias(4) }),
                    up: Map { weight: strided(&t[5], [17, 70]), bias: bias(6) },
                    down: Map { weight: t[7].clone().reshape([70, 17]), bias: bias(8) },
                };
                let y = f(strided(&t[0], [2, 30, 17]), parameters, mask.filter(|mask| mask.rate > 0.0));
                // Every input has a gradient, whether the sublayer uses it or not.
                let unused: Tensor<1> = t.iter().map(|x| x.clone().sum()).reduce(|x, y| x + y).unwrap();
                y + unused.unsqueeze()
            }
        };
        let shapes: [&[usize]; 9] = [&[2, 30, 17], &[17], &[17], &[17, 70], &[70], &[17, 70], &[70], &[70, 17], &[17]];
        agree(&shapes, run(feed_forward), run(composed::feed_forward));
    }
}

#[test]
fn sums_leave_shared_inputs_alone() {
    let run = |f: fn(Tensor<2>, Tensor<2>) -> Tensor<2>| {
        move |t: Vec<Tensor<1>>| {
            let (x, y) = (t[0].clone().reshape([70, 90]), strided(&t[1], [70, 90]));
            f(f(x.clone(), y.clone()) * 2.0, y) * x
        }
    };
    agree(&[&[70, 90], &[90, 70]], run(add), run(|x, y| x + y));
}

#[test]
fn embedding_and_head() {
    let embed = |f: fn(Tensor<2>, Tensor<2, Int>) -> Tensor<3>| {
        move |t: Vec<Tensor<1>>| {
            let ids = Tensor::<2, Int>::from_data([[0, 4, 4], [1, 4, 0]], &t[0].device());
            f(strided(&t[0], [5, 30]), ids)
        }
    };
    agree(&[&[5, 30]], embed(embedding), embed(composed::embedding));
    let targets = [3, 0, IGNORED, 3, 8];
    for (biased, z_loss) in [(true, 0.0), (true, 0.2), (false, 0.2)] {
        let run = |f: fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>, &[u32], f32) -> Tensor<1>| {
            move |t: Vec<Tensor<1>>| {
                let bias = t[2].clone();
                let hidden = strided(&t[0], [5, 4]);
                let loss = f(hidden, t[1].clone().reshape([9, 4]), biased.then(|| bias.clone()), &targets, z_loss);
                loss * 0.25 + bias.sum()
            }
        };
        agree(&[&[5, 4], &[9, 4], &[9]], run(head_cross_entropy), run(composed::head_cross_entropy));
    }
}

#[test]
fn the_optimizer_does_not_touch_shared_tensors() {
    let hyper = AdamW {
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        correction1: 0.0,
        correction2: 0.0,
        grad_scale: 0.5,
    }
    .at_step(1);
    let run = |dtype: DType| {
        let device = Device::flex();
        let param = random(&[5000], &device).cast(dtype);
        let grad = random(&[50, 100], &device).cast(dtype);
        let zero = grad.zeros_like();
        let before = numbers(param.clone());
        let (new, m, v) = adamw(param.clone(), grad.clone(), zero.clone(), zero, &hyper);
        assert_eq!(numbers(param), before);
        (numbers(new), numbers(m), numbers(v), squared_norm(grad))
    };
    let (fast, plain) = (run(DType::F32), run(DType::F64));
    let pairs = fast.0.iter().zip(&plain.0).chain(fast.1.iter().zip(&plain.1)).chain(fast.2.iter().zip(&plain.2));
    assert!(pairs.into_iter().all(|(fast, plain)| (fast - plain).abs() < 1e-6));
    assert!((fast.3 - plain.3).abs() < 1e-5 * plain.3);
}

/// Loss and gradients by products of bfloat16 against those of the definition in f64: within its rounding, but not equal.
#[test]
fn bf16_products_reach_the_linear_map_and_the_head() {
    if !Precision::Bf16.is_supported() {
        eprintln!("skipped: this processor has no AVX512-BF16");
        return;
    }
    let device = Device::flex().autodiff();
    let inputs = [random(&[2, 30, 17], &device), random(&[17, 19], &device)];
    let targets: Vec<u32> = (0..60).map(|i| i * 7 % 19).collect();
    let run = |dtype: DType, precision: Precision| {
        let [x, weight] = inputs.clone().map(|x| x.mul_scalar(8.0).round().div_scalar(8.0).cast(dtype).require_grad());
        let loss = in_precision(precision, || {
            let hidden = linear(x.clone().reshape([2, 30, 17]), weight.clone().reshape([17, 19]), None);
            let head = weight.clone().reshape([19, 17]);
            let hidden = linear(hidden, head.clone(), None).reshape([60, 17]);
            head_cross_entropy(hidden, head, None, &targets, 0.0)
        });
        let gradients = loss.clone().backward();
        let gradient = |x: &Tensor<1>| numbers(x.grad(&gradients).expect("a gradient"));
        [numbers(loss), gradient(&x), gradient(&weight)]
    };
    let (exact, rounded) = (run(DType::F64, Precision::F32), run(DType::F32, Precision::Bf16));
    let same = run(DType::F32, Precision::F32);
    for ((exact, rounded), same) in exact.iter().zip(&rounded).zip(&same) {
        let size = exact.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let error = |other: &[f64]| exact.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size;
        assert!(error(same) < 1e-5, "f32 is off by {}", error(same));
        assert!((1e-6..2e-2).contains(&error(rounded)), "bf16 is off by {}", error(rounded));
    }
}

/// Operands that bfloat16 holds exactly: what is off in a gradient comes from the products of the backward pass alone.
#[test]
fn the_backward_pass_rounds_even_where_the_forward_pass_is_exact() {
    if !Precision::Bf16.is_supported() {
        eprintln!("skipped: this processor has no AVX512-BF16");
        return;
    }
    let device = Device::flex().autodiff();
    let eighths = |shape: &[usize]| random(shape, &device).mul_scalar(8.0).round().div_scalar(8.0).cast(DType::F32);
    let (x, weight) = (eighths(&[60, 17]), eighths(&[17, 19]));
    let factors = random(&[60, 19], &device).cast(DType::F32);
    let targets: Vec<u32> = (0..60).map(|i| i * 7 % 19).collect();
    let run = |precision: Precision, with_head: bool| {
        let (x, weight) = (x.clone().require_grad(), weight.clone().require_grad());
        let y = in_precision(precision, || match with_head {
            true => head_cross_entropy(
                x.clone().reshape([60, 17]),
                weight.clone().reshape([17, 19]).transpose(),
                None,
                &targets,
                0.0,
            ),
            false => linear(x.clone().reshape([1, 60, 17]), weight.clone().reshape([17, 19]), None).reshape([60 * 19]),
        });
        let loss = if with_head { y.clone() } else { (y.clone() * factors.clone().reshape([60 * 19])).sum() };
        let gradients = loss.backward();
        let gradient = |x: &Tensor<1>| numbers(x.grad(&gradients).expect("a gradient"));
        (numbers(y), [gradient(&x), gradient(&weight)])
    };
    for with_head in [false, true] {
        let ((exact_y, exact), (rounded_y, rounded)) =
            (run(Precision::F32, with_head), run(Precision::Bf16, with_head));
        let error = |a: &[f64], b: &[f64]| {
            let size = a.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
        };
        assert!(error(&exact_y, &rounded_y) < 1e-6, "head {with_head}: {:e}", error(&exact_y, &rounded_y));
        for (exact, rounded) in exact.iter().zip(&rounded) {
            let error = error(exact, rounded);
            assert!((1e-4..2e-2).contains(&error), "head {with_head}: the gradient is off by {error:e}");
        }
    }
}

/// Attention of the scope's precision, whose backward pass runs outside of it.
#[test]
fn bf16_products_reach_attention_forward_and_backward() {
    if !Precision::Bf16.is_supported() {
        eprintln!("skipped: this processor has no AVX512-BF16");
        return;
    }
    let device = Device::flex().autodiff();
    let shape = [2, 40, 3, 24];
    let eighths = |x: Tensor<1>| x.mul_scalar(8.0).round().div_scalar(8.0).cast(DType::F32);
    let inputs: [_; 3] =
        std::array::from_fn(|part| eighths(random(&[2, 40, 3, 24, part + 1], &device).narrow(0, 0, 5760)));
    let factors = random(&shape, &device).cast(DType::F32);
    let run = |precision: Precision, pattern: Pattern| {
        let [q, k, v] = inputs.clone().map(Tensor::require_grad);
        let rows = |x: &Tensor<1>| x.clone().reshape(shape);
        let y =
            in_precision(precision, || attention(rows(&q), rows(&k), rows(&v), &Visibility::new(pattern), 0.5, None));
        let gradients = (y.clone().reshape([5760]) * factors.clone()).sum().backward();
        let gradient = |x: &Tensor<1>| numbers(x.grad(&gradients).expect("a gradient"));
        [numbers(y), gradient(&q), gradient(&k), gradient(&v)]
    };
    let errors = |pattern: Pattern| {
        let [exact, rounded] = [Precision::F32, Precision::Bf16].map(|precision| run(precision, pattern));
        std::array::from_fn::<f64, 4, _>(|which| {
            let size = exact[which].iter().fold(0.0f64, |m, x| m.max(x.abs()));
            exact[which].iter().zip(&rounded[which]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
        })
    };
    let all = errors(Pattern::Causal);
    assert!(all.iter().all(|error| (1e-4..2e-2).contains(error)), "{all:?}");
    // Who sees one key has its value, which bfloat16 holds; of the backward pass the gradient of the output is rounded.
    let [output, .., values] = errors(Pattern::Band { width: 1 });
    assert!(output == 0.0 && (1e-4..2e-2).contains(&values), "{output:e} {values:e}");
}
