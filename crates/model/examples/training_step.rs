//! Times whole training steps (forward, backward, AdamW) of an LLP of the paper preset on random tokens.
//!
//! `cargo run --release -p percept-model --example training_step -- S 6 bf16` prints milliseconds. Shapes S, M and L are
//! those of the PyTorch script it is compared with.

use burn::tensor::{Device, Tensor};
use percept_model::ops::{self, AdamW, Precision};
use percept_model::{Batch, LanguageModel, Mode, ModelConfig, Recompute, parameters};
use std::collections::BTreeMap;
use std::time::Instant;

/// Model and rows per batch of a configuration.
fn shapes(name: &str) -> (ModelConfig, usize) {
    let (dim, heads, depth, context, vocab, rows) = match name {
        "S" => (256, 4, 4, 1024, 4096, 4),
        "M" => (512, 8, 6, 2048, 8192, 2),
        _ => (768, 6, 12, 2048, 28_996, 1),
    };
    let config = ModelConfig { dim, heads, depth, context, segment: context / 8, vocab, ..ModelConfig::default() };
    (config.with_paper_options(), rows)
}

fn main() -> percept_fault::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "S".into());
    let steps: usize = arguments.next().and_then(|steps| steps.parse().ok()).unwrap_or(6);
    let precision = match arguments.next().as_deref() {
        Some("bf16") => Precision::Bf16,
        _ => Precision::F32,
    };
    let (config, rows) = shapes(&name);
    let mut model = LanguageModel::new(&config, 1, &Device::flex().autodiff())?;
    let count = rows * config.context;
    let tokens: Vec<u32> =
        (0..=count as u64).map(|i| (i * 2_654_435_761 % 4_294_967_291 % config.vocab as u64) as u32).collect();
    let batch = Batch { targets: tokens[1..].to_vec(), tokens: tokens[..count].to_vec(), rows, length: config.context };
    let hyper = AdamW {
        lr: 1e-4,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.01,
        correction1: 1.0,
        correction2: 1.0,
        grad_scale: 1.0,
    };
    let mut moments: BTreeMap<String, (Tensor<1>, Tensor<1>)> = BTreeMap::new();
    let mut times = Vec::new();
    for step in 0..steps as u64 + 2 {
        let start = Instant::now();
        let mode = Mode::Training { seed: 1, step };
        let (loss, mut gradients) = ops::in_precision(precision, || {
            model.loss_and_gradients(&batch, mode, Recompute::Keep, 1.0 / count as f32)
        })?;
        let middle = Instant::now();
        model = parameters::map(model, |path, _, parameter| {
            let Some(gradient) = gradients.0.remove(path) else { return parameter };
            let zero = || (gradient.zeros_like(), gradient.zeros_like());
            let (m, v) = moments.remove(path).unwrap_or_else(zero);
            let (parameter, m, v) = ops::adamw(parameter, gradient, m, v, &hyper.at_step(step + 1));
            moments.insert(path.to_string(), (m, v));
            parameter
        });
        let all = start.elapsed().as_secs_f64() * 1e3;
        let optimizer = middle.elapsed().as_secs_f64() * 1e3;
        eprintln!(
            "step {step}: {all:.0} ms, of which {optimizer:.0} the optimizer; loss {:.4}",
            loss.nll / loss.targets as f64
        );
        if step >= 2 {
            times.push(all);
        }
    }
    times.sort_by(f64::total_cmp);
    println!("{name}: {:.0} ms minimum, {:.0} ms median", times[0], times[times.len() / 2]);
    Ok(())
}
