//! The list of cases.

use super::{Bound, Case};
use crate::*;

/// Sizes of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shapes {
    /// Windows.
    pub batch: usize,
    /// Positions per window.
    pub context: usize,
    /// Positions per segment (LLP).
    pub segment: usize,
    /// Width d.
    pub dim: usize,
    /// Hidden width of the feed-forward sublayer.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Weights that the optimizer updates.
    pub parameters: usize,
}

impl Shapes {
    fn rows(&self) -> usize {
        self.batch * self.context
    }
}

const FLOAT: usize = size_of::<f32>();

/// Every kernel, forward and backward, on these shapes.
pub fn cases(shapes: &Shapes) -> Vec<Case> {
    let (dim, hidden) = (shapes.dim, shapes.hidden);
    let available = Product::ALL.into_iter().filter(|product| product.is_available());
    let products = available.flat_map(|product| {
        let maps = [(dim, dim), (dim, hidden), (hidden, dim)];
        let maps = maps.into_iter().flat_map(move |(input, output)| linear(shapes, product, input, output));
        maps.chain(head(shapes, product)).chain(attentions(shapes, product))
    });
    let others = [norms(shapes), activations(shapes), rotary(shapes), optimizer(shapes)];
    products.chain(others.into_iter().flatten()).collect()
}

/// Elements between -1 and 1 without a short period.
pub(super) fn elements(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect()
}

fn case<F: FnMut() + 'static>(
    name: String,
    bound: Bound,
    work: (f64, usize),
    prepare: impl Fn() -> F + 'static,
) -> Case {
    let (flops, floats) = work;
    Case { name, bound, flops, bytes: (floats * FLOAT) as f64, prepare: Box::new(move || Box::new(prepare())) }
}

/// What limits these products, and how their names end.
fn products(product: Product) -> (Bound, &'static str) {
    match product {
        Product::F32 => (Bound::Arithmetic, ""),
        Product::Avx512Bf16 => (Bound::Bf16Arithmetic, " bf16"),
        Product::Amx => (Bound::AmxArithmetic, " bf16 AMX"),
    }
}

/// `work` on these instructions. A later case chooses its own.
fn on(product: Product, mut work: impl FnMut()) -> impl FnMut() {
    move || {
        product.choose();
        work();
    }
}

fn linear(shapes: &Shapes, product: Product, input: usize, output: usize) -> Vec<Case> {
    let rows = shapes.rows();
    let map = Linear { rows, input, output, order: WeightOrder::InputOutput, precision: product.precision() };
    let (bound, suffix) = products(product);
    let work = (2.0 * (rows * input * output) as f64, rows * input + input * output + rows * output);
    let name = |what| format!("linear {input} x {output} {what}{suffix}");
    vec![
        case(name("forward"), bound, work, move || {
            let (x, weight, mut y) = (elements(rows * input), elements(input * output), vec![0.0; rows * output]);
            on(product, move || map.forward(&x, &weight, None, &mut y))
        }),
        case(name("dx"), bound, work, move || {
            let (grad, weight, mut dx) = (elements(rows * output), elements(input * output), vec![0.0; rows * input]);
            on(product, move || map.input_gradient(&grad, &weight, &mut dx))
        }),
        case(name("dw"), bound, work, move || {
            let (x, grad, mut dweight) = (elements(rows * input), elements(rows * output), vec![0.0; input * output]);
            on(product, move || map.weight_gradient(&x, &grad, &mut dweight))
        }),
    ]
}

fn attentions(shapes: &Shapes, product: Product) -> impl Iterator<Item = Case> {
    let context = shapes.context;
    // Perceiver AR's latents, the second half of the window, see history and earlier latents.
    let latents = (context / 2).max(1);
    let kinds = [
        ("llp", Visibility::new(Pattern::SegmentPair { length: shapes.segment }), context),
        ("full", Visibility::new(Pattern::Causal), context),
        ("prefix-causal", Visibility { query_start: context - latents, ..Visibility::new(Pattern::Causal) }, latents),
    ];
    kinds.into_iter().flat_map(move |(what, visibility, queries)| attention(shapes, product, what, visibility, queries))
}

/// Attention whose key and value are one tensor.
fn attention(shapes: &Shapes, product: Product, what: &str, visibility: Visibility, queries: usize) -> Vec<Case> {
    let (batch, keys, heads) = (shapes.batch, shapes.context, shapes.heads);
    let width = shapes.dim / heads;
    let shape = AttentionShape { batch, queries, keys, heads, groups: heads, width };
    let call = Attention {
        shape,
        visibility,
        scale: (width as f32).powf(-0.5),
        dropout: None,
        precision: product.precision(),
    };
    let (bound, suffix) = products(product);
    let entries: usize = (0..queries).map(|row| visibility.range(row, keys).len()).sum();
    let flops = 2.0 * (batch * heads * entries * width) as f64;
    let (query, key) = (shape.query_len(), shape.key_len());
    let forward = case(
        format!("attention {what} forward{suffix}"),
        bound,
        (2.0 * flops, 2 * query + key + shape.lse_len()),
        move || {
            let (q, k) = (elements(query), elements(key));
            let (mut output, mut lse) = (vec![0.0; query], vec![0.0; shape.lse_len()]);
            on(product, move || call.forward(&q, &k, &k, &mut output, &mut lse))
        },
    );
    let backward = case(
        format!("attention {what} backward{suffix}"),
        bound,
        (5.0 * flops, 4 * query + 2 * key + shape.lse_len()),
        move || {
            let (q, k, grad) = (elements(query), elements(key), elements(query));
            let (mut output, mut lse) = (vec![0.0; query], vec![0.0; shape.lse_len()]);
            call.forward(&q, &k, &k, &mut output, &mut lse);
            let (mut dq, mut dk) = (vec![0.0; query], vec![0.0; key]);
            on(product, move || {
                let saved = AttentionSaved { q: &q, k: &k, v: &k, output: &output, lse: &lse };
                call.backward(&saved, &grad, &mut dq, &mut dk, None);
            })
        },
    );
    vec![forward, backward]
}

fn head(shapes: &Shapes, product: Product) -> Vec<Case> {
    let Shapes { dim, vocab, .. } = *shapes;
    let rows = shapes.rows();
    let work = (6.0 * (rows * vocab * dim) as f64, 2 * (rows + vocab) * dim);
    let (bound, suffix) = products(product);
    let precision = product.precision();
    let name = format!("head {dim} x {vocab} with cross-entropy and gradients{suffix}");
    vec![case(name, bound, work, move || {
        let (hidden, weight) = (elements(rows * dim), elements(vocab * dim));
        let targets: Vec<u32> = (0..rows).map(|row| (row * 31 % vocab) as u32).collect();
        let (mut dhidden, mut dweight) = (vec![0.0; rows * dim], vec![0.0; vocab * dim]);
        on(product, move || {
            let head = Head { hidden: &hidden, weight: &weight, bias: None, targets: &targets, dim, precision };
            let (hidden, weight) = (&mut dhidden[..], &mut dweight[..]);
            head.loss_and_gradients(HeadGradients { hidden, weight, bias: None, z_loss: 0.0 });
        })
    })]
}

fn norms(shapes: &Shapes) -> Vec<Case> {
    let (rows, dim) = (shapes.rows(), shapes.dim);
    let forward = move |norm: Norm, name: &str| {
        case(format!("{name} forward"), Bound::Memory, (0.0, 2 * rows * dim), move || {
            let (x, gamma) = (elements(rows * dim), elements(dim));
            let (mut y, mut statistics) = (vec![0.0; rows * dim], vec![RowStatistics::default(); rows]);
            move || norm.forward(&x, (&gamma, beta(norm, &gamma)), 1e-5, &mut y, &mut statistics)
        })
    };
    let backward = move |norm: Norm, name: &str| {
        case(format!("{name} backward"), Bound::Memory, (0.0, 3 * rows * dim), move || {
            let (x, gamma, mut grad) = (elements(rows * dim), elements(dim), elements(rows * dim));
            let mut statistics = vec![RowStatistics::default(); rows];
            norm.forward(&x, (&gamma, beta(norm, &gamma)), 1e-5, &mut grad.clone(), &mut statistics);
            let (mut dgamma, mut dbeta) = (vec![0.0; dim], vec![0.0; dim]);
            move || {
                let dbeta = (norm == Norm::Layer).then_some(&mut dbeta[..]);
                norm.backward(&x, &gamma, &statistics, &mut grad, (&mut dgamma, dbeta));
            }
        })
    };
    let kinds = [(Norm::Layer, "layer norm"), (Norm::Rms, "RMS norm")];
    kinds.into_iter().flat_map(|(norm, name)| [forward(norm, name), backward(norm, name)]).collect()
}

/// LayerNorm has a shift, RMSNorm has none.
fn beta(norm: Norm, gamma: &[f32]) -> Option<&[f32]> {
    (norm == Norm::Layer).then_some(gamma)
}

fn activations(shapes: &Shapes) -> Vec<Case> {
    let count = shapes.rows() * shapes.hidden;
    vec![
        case("GELU forward".into(), Bound::Memory, (0.0, 2 * count), move || {
            let (x, mut y) = (elements(count), vec![0.0; count]);
            move || gelu(&x, &mut y)
        }),
        case("GELU backward".into(), Bound::Memory, (0.0, 3 * count), move || {
            let (x, mut grad) = (elements(count), elements(count));
            move || gelu_backward(&x, &mut grad)
        }),
        case("SwiGLU forward".into(), Bound::Memory, (0.0, 3 * count), move || {
            let (gate, up, mut y) = (elements(count), elements(count), vec![0.0; count]);
            move || swiglu(&gate, &up, &mut y)
        }),
        case("SwiGLU backward".into(), Bound::Memory, (0.0, 5 * count), move || {
            let (gate, up, mut grad, mut dgate) = (elements(count), elements(count), elements(count), vec![0.0; count]);
            move || swiglu_backward(&gate, &up, &mut grad, &mut dgate)
        }),
    ]
}

fn rotary(shapes: &Shapes) -> Vec<Case> {
    let channels = (shapes.dim / shapes.heads) & !1;
    let sizes = [shapes.batch, shapes.context, shapes.heads, shapes.dim / shapes.heads];
    let rotary = Rotary { base: 1e4, channels, layout: RotaryLayout::Interleaved };
    let count = sizes.iter().product();
    vec![case("rotary".into(), Bound::Memory, (0.0, 2 * count), move || {
        let mut x = elements(count);
        move || rotary.rotate(&mut x, sizes, 0, Turn::Forward)
    })]
}

fn optimizer(shapes: &Shapes) -> Vec<Case> {
    let count = shapes.parameters;
    let (correction1, correction2, grad_scale) = (0.1, 0.05, 1.0);
    let hyper =
        AdamW { lr: 1e-4, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, correction1, correction2, grad_scale };
    vec![
        case("AdamW".into(), Bound::Memory, (0.0, 7 * count), move || {
            let (mut weights, gradient) = (elements(count), elements(count));
            let (mut m, mut v) = (vec![0.0; count], vec![0.0; count]);
            move || hyper.update(&mut weights, &gradient, &mut m, &mut v)
        }),
        case("gradient norm".into(), Bound::Memory, (0.0, count), move || {
            let gradient = elements(count);
            move || {
                std::hint::black_box(squared_norm(&gradient));
            }
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Shapes =
        Shapes { batch: 2, context: 16, segment: 4, dim: 8, hidden: 24, heads: 2, vocab: 11, parameters: 100 };

    #[test]
    fn every_case_runs_twice_and_has_a_name_of_its_own() {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        let amx = crate::amx::emulator::is_ready();
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        let amx = false;
        let cases = cases(&TINY);
        assert_eq!(cases.iter().filter(|case| case.bound == Bound::AmxArithmetic).count(), if amx { 16 } else { 0 });
        for case in &cases {
            let mut run = case.prepare();
            run();
            run();
            if case.bound == Bound::AmxArithmetic {
                assert_eq!(Product::of(Precision::Bf16), Product::Amx, "{}", case.name);
            }
            assert!(case.bytes > 0.0 && (case.bound == Bound::Memory || case.flops > 0.0), "{}", case.name);
        }
        let names: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
    }

    #[test]
    fn operations_are_counted_from_what_is_visible() {
        let flops = |name: &str| cases(&TINY).into_iter().find(|case| case.name == name).unwrap().flops;
        // Two products, of two operations per entry and channel, in 2 windows and 2 heads of 4 channels.
        let products = 2.0 * 2.0 * 2.0 * 2.0 * 4.0;
        assert_eq!(flops("attention full forward"), products * 136.0);
        // The first segment sees 1 to 4 keys, the other three 5 to 8.
        assert_eq!(flops("attention llp forward"), products * (10.0 + 3.0 * 26.0));
        // Eight latents see 9 to 16 keys.
        assert_eq!(flops("attention prefix-causal forward"), products * 100.0);
        assert_eq!(flops("linear 8 x 24 dw"), 2.0 * 32.0 * 8.0 * 24.0);
    }
}
