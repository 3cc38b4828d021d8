//! The kernels against the composed formulas, through autodiff, on odd shapes and strided tensors.

mod rounding;
mod sums;

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
fn a_squared_relu_lets_no_gradient_through_below_zero() {
    let run = |f: fn(Tensor<2>) -> Tensor<2>| move |t: Vec<Tensor<1>>| f(strided(&t[0], [3, 700]));
    agree(&[&[3, 700]], run(relu_squared), run(composed::relu_squared));
}

#[test]
fn a_shift_reads_the_row_before_and_the_one_given() {
    for rows in [9, 1] {
        let run = |f: fn(Tensor<3>, Tensor<2>, Tensor<1>) -> Tensor<3>| {
            move |t: Vec<Tensor<1>>| {
                let first = t[2].clone().detach().reshape([2, 17]);
                // The row before the first has no gradient.
                f(strided(&t[0], [2, rows, 17]), first, t[1].clone()) + t[2].clone().sum().unsqueeze()
            }
        };
        agree(&[&[2, rows, 17], &[17], &[2, 17]], run(shift), run(composed::shift));
    }
}

#[test]
fn sigmoids_tanh_and_blends() {
    for (fast, plain) in [
        (sigmoid as fn(Tensor<2>) -> Tensor<2>, composed::sigmoid as fn(Tensor<2>) -> Tensor<2>),
        (tanh, composed::tanh),
    ] {
        agree(&[&[3, 700]], |t| fast(strided(&t[0], [3, 700])), |t| plain(strided(&t[0], [3, 700])));
    }
    let run = |f: fn(Tensor<2>, Tensor<2>, Tensor<2>) -> Tensor<2>| {
        move |t: Vec<Tensor<1>>| {
            let value = t[1].clone().reshape([3, 700]);
            f(strided(&t[0], [3, 700]), value.clone(), t[2].clone().reshape([3, 700])) * value
        }
    };
    agree(&[&[3, 700], &[700, 3], &[2100]], run(blend), run(composed::blend));
}

#[test]
fn a_time_mix_with_all_gradients() {
    // More than one chunk, and heads wider than a vector.
    for (rows, width, removal_scale) in [(70, 4, 1.0), (3, 20, 2.0)] {
        let mix = TimeMix { batch: 2, rows, heads: 3, width, removal_scale, eps: 64e-5 };
        let dim = 3 * width;
        let empty = |like: &Tensor<3>| Tensor::zeros([2, 3, width, width], (&like.device(), like.dtype()));
        let inputs = |t: &[Tensor<1>]| {
            let of = |i: usize| t[i].clone().reshape([2, rows, dim]);
            let rows = [of(0), of(1), of(2), of(3), of(4), strided(&t[5], [2, rows, dim])];
            (rows, t[6].clone().reshape([5, dim]))
        };
        // Tensors of one size differ by how it is written.
        let shapes: [&[usize]; 7] = [
            &[2, rows, dim],
            &[2, rows, dim, 1],
            &[rows, 2, dim],
            &[rows, dim, 2],
            &[dim, rows, 2],
            &[dim, 2, rows],
            &[5, dim],
        ];
        let fast = |t: Vec<Tensor<1>>| {
            let (rows, vectors) = inputs(&t);
            time_mix(rows, vectors, &mix)
        };
        let plain = |t: Vec<Tensor<1>>| {
            let (rows, vectors) = inputs(&t);
            let state = empty(&rows[0]);
            composed::time_mix(rows, vectors, &mix, state).0
        };
        agree(&shapes, fast, plain);
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
