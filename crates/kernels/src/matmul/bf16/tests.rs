use super::*;
use crate::matmul::product_on;
use crate::product::Product;
use crate::testing::random;
use half::bf16;
use proptest::prelude::*;

/// A kernel of this processor, or of the emulator: rows of a task that is not deep, columns of a panel, depth of a block.
#[derive(Debug, Clone, Copy)]
struct Tested {
    product: Product,
    height: usize,
    columns: usize,
    depth: usize,
}

/// The kernels that can be tested here; says so where there is none.
fn kernels() -> Vec<Tested> {
    fn tested<K: Kernel>(product: Product) -> Tested {
        Tested { product, height: K::height(1 << 20, 33, Threads::All), depth: K::DEPTH, columns: K::COLUMNS }
    }
    #[cfg(target_os = "linux")]
    crate::amx::emulator::is_ready();
    let mut kernels = vec![tested::<Avx512>(Product::Avx512Bf16), tested::<Amx>(Product::Amx)];
    kernels.retain(|kernel| kernel.product.is_available());
    if kernels.is_empty() {
        eprintln!("skipped: this processor has no AVX512-BF16");
    }
    kernels
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
fn check(
    Tested { product, .. }: Tested,
    (m, n, k): (usize, usize, usize),
    turned: (bool, bool),
    gap: usize,
    output: Output,
) {
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
    product_on(product, (m, n, k), (&mut out, n + gap, output), a, b);
    let expected = reference((m, n, k), a, b);
    let before = if output == Output::Accumulate { 0.5 } else { 0.0 };
    for (row, out) in out.chunks(n + gap).enumerate() {
        for (column, value) in out[..n].iter().enumerate() {
            let (sum, size) = expected[row * n + column];
            let error = (f64::from(*value) - before - sum).abs();
            assert!(
                error <= 1e-6 * (1.0 + size),
                "{product:?} [{row}, {column}] of {m} x {n} x {k}: {value} instead of {sum}"
            );
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
        for kernel in kernels() {
            check(kernel, sizes, turned, gap, if accumulate { Output::Accumulate } else { Output::Overwrite });
        }
    }
}

#[test]
fn an_empty_sum_is_zero() {
    for kernel in kernels() {
        check(kernel, (5, 7, 0), (false, false), 2, Output::Overwrite);
        check(kernel, (5, 7, 0), (true, true), 2, Output::Accumulate);
    }
}

#[test]
fn blocks_do_not_show() {
    for kernel in kernels() {
        let Tested { height, columns, .. } = kernel;
        // More depth than a block of B has, and more columns than fit beside it.
        check(kernel, (3, 2 * columns + 5, DEEP + 77), (false, true), 1, Output::Accumulate);
        check(kernel, (height + 9, SHARED / DEEP + columns, 33), (true, false), 0, Output::Overwrite);
        check(kernel, (1, SHARED / STEEP + 1, 40), (false, true), 0, Output::Overwrite);
    }
}

#[test]
fn threads_and_places_do_not_show() {
    for kernel in kernels() {
        let (m, n, k) = (3 * 64 + 5, 3 * kernel.columns + 7, 2 * kernel.depth + 11);
        let (a, b, start) = (random(m * k, 1), random(k * n, 2), random(m * n, 3));
        let run = |rows: std::ops::Range<usize>, threads: usize, output: Output| {
            let mut out = start[rows.start * n..rows.end * n].to_vec();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let a = View::rows(&a[rows.start * k..], k);
            let sizes = (rows.len(), n, k);
            pool.install(|| product_on(kernel.product, sizes, (&mut out, n, output), a, View::rows(&b, n)));
            out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        for output in [Output::Overwrite, Output::Accumulate] {
            let one = run(0..m, 1, output);
            assert_eq!(one, run(0..m, 2, output), "{kernel:?}");
            assert_eq!(one, run(0..m, 3, output), "{kernel:?}");
            // What was inside is at an edge now, and the other way round.
            assert_eq!(one[7 * n..90 * n], run(7..90, 2, output), "{kernel:?}");
        }
    }
}
