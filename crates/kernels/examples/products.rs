//! The f32 products of a training step, ours against the `gemm` crate, in turns: `cargo run --release -p percept-kernels --example
//! products`. What decision 7 says of speed.

use std::time::Instant;

use percept_kernels::{Linear, Precision, WeightOrder};

/// Rounds, in each of which either runs once.
const ROUNDS: usize = 41;

fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

/// Fastest and median.
fn summary(mut times: Vec<f64>) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    [times[0], times[times.len() / 2]]
}

/// `y [m, n] = a [m, k] * b [k, n]` by the `gemm` crate; each operand with the distances of its rows and of its columns.
fn by_gemm([m, n, k]: [usize; 3], y: &mut [f32], (a, a_at): (&[f32], [usize; 2]), (b, b_at): (&[f32], [usize; 2])) {
    let ([a_row, a_column], [b_row, b_column]) = (a_at.map(|at| at as isize), b_at.map(|at| at as isize));
    assert!(y.len() == m * n && a.len() == m * k && b.len() == k * n, "sizes");
    let (out, a, b, threads) = (y.as_mut_ptr(), a.as_ptr(), b.as_ptr(), gemm::Parallelism::Rayon(0));
    // SAFETY: the sizes above, and each operand is dense either way round.
    unsafe {
        gemm::gemm(
            m, n, k, out, 1, n as isize, false, a, a_column, a_row, b, b_column, b_row, 0.0, 1.0, false, false, false,
            threads,
        );
    }
}

/// Times two ways of one product in turns and prints a line.
fn compare(name: &str, mut ours: impl FnMut(), mut theirs: impl FnMut()) {
    let (mut times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times.push(milliseconds(&mut ours));
        their_times.push(milliseconds(&mut theirs));
    }
    let ([fast, middle], [their_fast, their_middle]) = (summary(times), summary(their_times));
    let (by_fast, by_middle) = (their_fast / fast, their_middle / middle);
    println!(
        "{name:>28} {fast:>8.2} / {middle:>6.2} {their_fast:>8.2} / {their_middle:>6.2} {by_fast:>6.2} / {by_middle:.2}"
    );
}

fn main() {
    println!("{:>28} {:>17} {:>17} {:>13}", "rows x in x out", "ours min / median", "gemm min / median", "gemm / ours");
    for (rows, input, output) in [(4096, 256, 256), (4096, 256, 1024), (4096, 1024, 256), (512, 256, 4096)] {
        let elements = |count: usize| (0..count).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect::<Vec<_>>();
        let (x, weight, grad) = (elements(rows * input), elements(input * output), elements(rows * output));
        let (mut y, mut dx, mut dweight) = (grad.clone(), x.clone(), weight.clone());
        let (mut y2, mut dx2, mut dweight2) = (grad.clone(), x.clone(), weight.clone());
        let linear = Linear { rows, input, output, order: WeightOrder::InputOutput, precision: Precision::F32 };
        let sizes = |kind: &str| format!("{rows} x {input} x {output} {kind}");
        let forward = || by_gemm([rows, output, input], &mut y2, (&x, [input, 1]), (&weight, [output, 1]));
        compare(&sizes("y"), || linear.forward(&x, &weight, None, &mut y), forward);
        let back = || by_gemm([rows, input, output], &mut dx2, (&grad, [output, 1]), (&weight, [1, output]));
        compare(&sizes("dx"), || linear.input_gradient(&grad, &weight, &mut dx), back);
        let weights = || by_gemm([input, output, rows], &mut dweight2, (&x, [1, input]), (&grad, [output, 1]));
        compare(&sizes("dw"), || linear.weight_gradient(&x, &grad, &mut dweight), weights);
        assert!(
            y.iter()
                .zip(&y2)
                .chain(dx.iter().zip(&dx2))
                .chain(dweight.iter().zip(&dweight2))
                .all(|(a, b)| (a - b).abs() < 0.1)
        );
    }
}
