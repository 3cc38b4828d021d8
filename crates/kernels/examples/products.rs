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

fn main() {
    println!("{:>20} {:>18} {:>18} {:>8}", "rows x in x out", "ours min / median", "gemm min / median", "min");
    for (rows, input, output) in [(4096, 256, 256), (4096, 256, 1024), (4096, 1024, 256), (2048, 256, 4096)] {
        let elements = |count: usize| (0..count).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect::<Vec<_>>();
        let (x, weight, mut y) = (elements(rows * input), elements(input * output), vec![0.0; rows * output]);
        let linear = Linear { rows, input, output, order: WeightOrder::InputOutput, precision: Precision::F32 };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(milliseconds(|| linear.forward(&x, &weight, None, &mut y)));
            theirs.push(milliseconds(|| {
                let (x, weight, y) = (x.as_ptr(), weight.as_ptr(), y.as_mut_ptr());
                let (row, wide, narrow) = (1isize, output as isize, input as isize);
                let parallelism = gemm::Parallelism::Rayon(0);
                // SAFETY: three matrices of these sizes, rows one after the other.
                unsafe {
                    gemm::gemm(
                        rows,
                        output,
                        input,
                        y,
                        row,
                        wide,
                        false,
                        x,
                        row,
                        narrow,
                        weight,
                        row,
                        wide,
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        parallelism,
                    );
                }
            }));
        }
        let ([fast, middle], [their_fast, their_middle]) = (summary(ours), summary(theirs));
        let sizes = format!("{rows} x {input} x {output}");
        println!(
            "{sizes:>20} {fast:>8.2} / {middle:>7.2} {their_fast:>8.2} / {their_middle:>7.2} {:>7.2}x",
            their_fast / fast
        );
    }
}
