//! Times each kernel on the shapes of one training step of the small LLP (4096 rows, width 256, segments of 128).
//!
//! `cargo run --release -p percept-kernels --example kernel_times` prints, per kernel, the fastest of several runs and, for
//! matrix products, GFLOP/s. With the argument `products` it times only these, on the shapes of S, M and L in f32 and bf16.

use percept_kernels::*;
use std::time::Instant;

const ROWS: usize = 4096;
const DIM: usize = 256;

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect()
}

/// Prints the fastest of several runs; `flop` is the number of operations, 0 where it does not matter.
fn time(what: &str, flop: f64, mut body: impl FnMut()) {
    let seconds = (0..12)
        .map(|_| {
            let start = Instant::now();
            body();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    match flop > 0.0 {
        true => println!("{what:36} {:9.3} ms {:7.0} GFLOP/s", seconds * 1e3, flop / seconds / 1e9),
        false => println!("{what:36} {:9.3} ms", seconds * 1e3),
    }
}

fn linear(precision: Precision, rows: usize, input: usize, output: usize) {
    let map = Linear { rows, input, output, order: WeightOrder::InputOutput, precision };
    let (x, weight, bias) = (numbers(rows * input), numbers(input * output), numbers(output));
    let (mut y, mut dx, mut dweight) = (numbers(rows * output), numbers(rows * input), numbers(input * output));
    let flop = 2.0 * (rows * input * output) as f64;
    let name = |what| format!("{precision:?} {rows} x {input} x {output} {what}");
    time(&name("forward"), flop, || map.forward(&x, &weight, None, &mut y));
    time(&name("forward with bias"), flop, || map.forward(&x, &weight, Some(&bias), &mut y));
    let grad = numbers(rows * output);
    time(&name("input gradient"), flop, || map.input_gradient(&grad, &weight, &mut dx));
    time(&name("weight gradient"), flop, || map.weight_gradient(&x, &grad, &mut dweight));
    let mut dbias = bias.clone();
    time(&name("bias gradient"), 0.0, || map.bias_gradient(&grad, &mut dbias));
}

fn attention(pattern: Pattern, batch: usize, length: usize, entries: usize) {
    let (heads, width) = (4, 64);
    let shape = AttentionShape { batch, queries: length, keys: length, heads, groups: heads, width };
    let call = Attention { shape, visibility: Visibility::new(pattern), scale: 0.125, dropout: None };
    let (q, k, grad) = (numbers(shape.query_len()), numbers(shape.key_len()), numbers(shape.query_len()));
    let (mut output, mut lse) = (numbers(shape.query_len()), numbers(shape.lse_len()));
    let flop = 2.0 * (batch * heads * entries * width) as f64;
    let name = |what| format!("{pattern:?} {what}");
    time(&name("forward"), 2.0 * flop, || call.forward(&q, &k, &k, &mut output, &mut lse));
    let (mut dq, mut dk) = (numbers(shape.query_len()), numbers(shape.key_len()));
    let saved = AttentionSaved { q: &q, k: &k, v: &k, output: &output, lse: &lse };
    time(&name("backward"), 5.0 * flop, || call.backward(&saved, &grad, &mut dq, &mut dk, None));
}

fn head(precision: Precision, rows: usize, dim: usize, vocab: usize) {
    let (hidden, weight) = (numbers(rows * dim), numbers(vocab * dim));
    let targets: Vec<u32> = (0..rows as u32).map(|i| i * 31 % vocab as u32).collect();
    let head = Head { hidden: &hidden, weight: &weight, bias: None, targets: &targets, dim, precision };
    let (mut dhidden, mut dweight) = (hidden.clone(), weight.clone());
    let flop = 6.0 * (rows * vocab * dim) as f64;
    time(&format!("{precision:?} head {rows} x {dim} x {vocab}"), flop, || {
        let gradients = HeadGradients { hidden: &mut dhidden, weight: &mut dweight, bias: None, z_loss: 0.0 };
        head.loss_and_gradients(gradients);
    });
}

fn elementwise() {
    let (x, gamma) = (numbers(ROWS * DIM), numbers(DIM));
    let (mut y, mut statistics) = (x.clone(), vec![RowStatistics::default(); ROWS]);
    time("layer norm forward", 0.0, || Norm::Layer.forward(&x, (&gamma, Some(&gamma)), 1e-5, &mut y, &mut statistics));
    let (mut grad, mut dgamma, mut dbeta) = (x.clone(), gamma.clone(), gamma.clone());
    time("layer norm backward", 0.0, || {
        Norm::Layer.backward(&x, &gamma, &statistics, &mut grad, (&mut dgamma, Some(&mut dbeta)));
    });
    let hidden = numbers(ROWS * 4 * DIM);
    let mut wide = hidden.clone();
    time("GELU forward", 0.0, || gelu(&hidden, &mut wide));
    time("GELU backward", 0.0, || gelu_backward(&hidden, &mut wide));
    let rotary = Rotary { base: 1e4, channels: 64, layout: RotaryLayout::Interleaved };
    time("rotary", 0.0, || rotary.rotate(&mut grad, [4, 1024, 4, 64], 0, Turn::Forward));
    let (mut param, mut m, mut v) = (numbers(5_000_000), vec![0.0; 5_000_000], vec![0.0; 5_000_000]);
    let gradient = numbers(5_000_000);
    let (correction1, correction2, grad_scale) = (0.1, 0.05, 1.0);
    let hyper =
        AdamW { lr: 1e-4, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, correction1, correction2, grad_scale };
    time("AdamW, 5 M weights", 0.0, || hyper.update(&mut param, &gradient, &mut m, &mut v));
}

/// Every large product of a training step of S, M and L.
fn products() {
    for precision in [Precision::F32, Precision::Bf16].into_iter().filter(|precision| precision.is_supported()) {
        for (rows, dim, vocab) in [(4096, 256, 4096), (4096, 512, 8192), (2048, 768, 28_996)] {
            linear(precision, rows, dim, dim);
            linear(precision, rows, dim, 4 * dim);
            linear(precision, rows, 4 * dim, dim);
            head(precision, rows, dim, vocab);
        }
    }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("products") {
        return products();
    }
    linear(Precision::F32, ROWS, DIM, DIM);
    linear(Precision::F32, ROWS, DIM, 4 * DIM);
    linear(Precision::F32, ROWS, 4 * DIM, DIM);
    attention(Pattern::SegmentPair { length: 128 }, 4, 1024, 15 * 128 * 128);
    attention(Pattern::Causal, 1, 4096, 4096 * 4096 / 2);
    head(Precision::F32, ROWS, DIM, 4096);
    elementwise();
}
