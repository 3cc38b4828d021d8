//! Products in bfloat16 arrive where they should.

use super::*;

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
