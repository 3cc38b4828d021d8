//! Times decoding of the paper models S, M and L (random weights) after a prompt of half a window.
//!
//! `cargo run --release -p percept-model --example decoding -- [S|M|L] [f32|bf16|int8] [STREAMS] [TOKENS]`

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use percept_model::session::step_all;
use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session, WeightPrecision};

fn main() -> percept_fault::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = |index: usize, default: &str| arguments.get(index).map_or(default.to_string(), String::clone);
    let number = |index: usize, default: usize| arguments.get(index).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (vocab, dim, depth, heads, context) = match word(0, "S").as_str() {
        "S" => (4096, 256, 4, 4, 1024),
        "M" => (8192, 512, 6, 8, 2048),
        _ => (28_996, 768, 12, 6, 2048),
    };
    let precision = match word(1, "f32").as_str() {
        "bf16" => WeightPrecision::Bf16,
        "int8" => WeightPrecision::Int8,
        _ => WeightPrecision::F32,
    };
    let (streams, tokens) = (number(2, 1), number(3, 256));
    let segment = context / 8;
    let config =
        ModelConfig { vocab, dim, depth, heads, context, ..ModelConfig::default().with("segment", segment).unwrap() };
    let config = config.with_paper_options();
    let model = LanguageModel::new(&config, 1, &Device::default())?;
    let model = InferenceModel::new(model).with_weight_precision(precision)?;
    let model = Arc::new(model);
    let prompt: Vec<u32> = (0..context as u32 / 2).map(|i| i * 7919 % vocab as u32).collect();
    let start = Instant::now();
    let mut first = Session::new(model.clone());
    let mut row = first.feed(&prompt)?;
    println!("prefill of {}: {:.2} ms", prompt.len(), start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let bytes = model.decoder().map_or(0, |decoder| decoder.bytes_per_token());
    println!("packing: {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    let mut sessions: Vec<Session> = (0..streams).map(|_| first.fork()).collect();
    let mut rows = vec![0.0; streams * vocab];
    let mut next: Vec<u32> = (0..streams as u32).collect();
    let mut times = Vec::with_capacity(tokens);
    for _ in 0..tokens.min(context / 2) {
        let start = Instant::now();
        match sessions.as_mut_slice() {
            [session] => session.feed_into(&next, &mut row)?,
            many => step_all(&mut many.iter_mut().collect::<Vec<_>>(), &next, &mut rows)?,
        }
        next[0] = (0u32..).zip(&row).max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(token, _)| token);
        times.push(start.elapsed().as_secs_f64());
    }
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!(
        "{streams} streams: {:.3} ms per step (mean {:.3}, min {:.3}), {:.1} GB/s of weights; memory reads {:.1} GB/s",
        median * 1e3,
        mean * 1e3,
        times[0] * 1e3,
        bytes as f64 / median / 1e9,
        percept_kernels::bench::read_bandwidth() / 1e9
    );
    Ok(())
}
