//! Small results for tests.

use super::result::{Cost, CurvePoint, ModelResult, Phase, RunResult};

/// A model with these runs and nothing else.
pub(super) fn model(name: &str, runs: Vec<RunResult>) -> ModelResult {
    ModelResult {
        name: name.into(),
        layers: name.into(),
        rank: None,
        ties: Vec::new(),
        under_trained: None,
        cost: Cost {
            parameters: 1,
            feed_forward_dim: 1,
            flops_per_token: 1.0,
            training_flops_per_token: 3.0,
            score_entries: 1,
            targets_per_window: 1,
            reach: Some(1),
            usable_context: 1,
            state_bytes: 1,
            state_bytes_1m: 1,
            peak_memory_bytes: 1,
        },
        usage: None,
        test: None,
        validation: None,
        failure: None,
        runs,
        sample: None,
        config: String::new(),
    }
}

/// A run with this curve: step, seconds, loss and phase; a step is 10 tokens and 5 targets.
pub(super) fn run(seed: u64, points: &[(u64, f64, f64, Phase)]) -> RunResult {
    let point = |&(step, seconds, validation_loss, phase): &(u64, f64, f64, Phase)| CurvePoint {
        step,
        tokens: 10 * step,
        targets: 5 * step,
        flops: 30.0 * step as f64,
        seconds,
        train_loss: validation_loss,
        validation_loss,
        bits_per_byte: None,
        phase,
    };
    RunResult {
        folder: "run".into(),
        fingerprint: String::new(),
        seed,
        learning_rate: 1.0,
        sweep: Vec::new(),
        steps: 0,
        curve: points.iter().map(point).collect(),
        best: None,
        test: None,
        failure: None,
    }
}
