use super::*;
use crate::matmul::product;
use crate::precision::Precision;
use crate::testing::random;
use half::bf16;
use proptest::prelude::*;

/// Whether this processor can run the tests; says so where it can't.
fn supported() -> bool {
    let supported = Precision::Bf16.is_supported();
    if !supported {
        eprintln!("skipped: this processor has no AVX512-BF16");
    }
    supported
}

/// A matrix of random elements in a larger one, of which nothing else may be read: the rest is NaN.
fn operand(rows: usize, columns: usize, stride: usize, seed: u64) -> Vec<f32> {
    let mut data = vec![f32::NAN; rows * stride];
    let elements = random(rows * columns, seed);
    for (to, from) in data.chunks_mut(stride.max(1)).zip(elements.chunks(columns.max(1))) {
        to[..columns].copy_from_slice(from);
    }
    data
}

fn at(view: View<'_>, row: usize, column: usize) -> f64 {
    f64::from(bf16::from_f32(view.data[row * view.row + column * view.column]))
}

/// The definition: operands rounded, sums in f64. Also the sums of the magnitudes, which bound the rounding of f32 sums.
fn reference((m, n, k): (usize, usize, usize), a: View<'_>, b: View<'_>) -> Vec<(f64, f64)> {
    let entry = |i: usize| {
        let terms = (0..k).map(|depth| at(a, i / n, depth) * at(b, depth, i % n));
        terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
    };
    (0..m * n).map(entry).collect()
}

/// Both operands in either order, behind strides.
fn check((m, n, k): (usize, usize, usize), turned: (bool, bool), gap: usize, output: Output) {
    let view = |rows: usize, columns: usize, turned: bool, seed: u64| {
        let (rows, columns) = if turned { (columns, rows) } else { (rows, columns) };
        (operand(rows, columns, columns + gap, seed), columns + gap, turned)
    };
    let (a, b) = (view(m, k, turned.0, 1), view(k, n, turned.1, 2));
    let [a, b] = [&a, &b].map(|(data, stride, turned)| {
        let view = View::rows(data, *stride);
        if *turned { view.transposed() } else { view }
    });
    let start = if output == Output::Accumulate { 0.5 } else { f32::NAN };
    let mut out = vec![start; m * (n + gap)];
    product(Precision::Bf16, (m, n, k), (&mut out, n + gap, output), a, b);
    let expected = reference((m, n, k), a, b);
    let before = if output == Output::Accumulate { 0.5 } else { 0.0 };
    for (row, out) in out.chunks(n + gap).enumerate() {
        for (column, value) in out[..n].iter().enumerate() {
            let (sum, size) = expected[row * n + column];
            let error = (f64::from(*value) - before - sum).abs();
            assert!(error <= 1e-6 * (1.0 + size), "[{row}, {column}] of {m} x {n} x {k}: {value} instead of {sum}");
        }
        assert!(out[n..].iter().all(|x| x.to_bits() == start.to_bits()), "the gap was written");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn products_are_those_of_rounded_operands(
        sizes in (1usize..80, prop_oneof![1usize..20, 1usize..120], prop_oneof![0usize..70, 200usize..600]),
        turned in (any::<bool>(), any::<bool>()),
        (gap, accumulate) in (0usize..5, any::<bool>()),
    ) {
        if supported() {
            check(sizes, turned, gap, if accumulate { Output::Accumulate } else { Output::Overwrite });
        }
    }
}

#[test]
fn an_empty_sum_is_zero() {
    if supported() {
        check((5, 7, 0), (false, false), 2, Output::Overwrite);
        check((5, 7, 0), (true, true), 2, Output::Accumulate);
    }
}

#[test]
fn blocks_do_not_show() {
    if supported() {
        // More depth than a block of B has, and more columns than fit beside it.
        check((3, 2 * COLUMNS + 5, DEEP + 77), (false, true), 1, Output::Accumulate);
        check((HEIGHT + 9, SHARED / DEEP + COLUMNS, 33), (true, false), 0, Output::Overwrite);
        check((1, SHARED / DEPTH + 1, 40), (false, true), 0, Output::Overwrite);
    }
}

#[test]
fn threads_and_places_do_not_show() {
    if !supported() {
        return;
    }
    let (m, n, k) = (3 * HEIGHT + 5, 3 * COLUMNS + 7, 2 * DEPTH + 11);
    let (a, b) = (random(m * k, 1), random(k * n, 2));
    let run = |rows: std::ops::Range<usize>, threads: usize| {
        let mut out = vec![0.0; rows.len() * n];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let a = View::rows(&a[rows.start * k..], k);
        let sizes = (rows.len(), n, k);
        pool.install(|| product(Precision::Bf16, sizes, (&mut out, n, Output::Overwrite), a, View::rows(&b, n)));
        out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let one = run(0..m, 1);
    assert_eq!(one, run(0..m, 2));
    assert_eq!(one, run(0..m, 3));
    assert_eq!(one[7 * n..90 * n], run(7..90, 2));
}
