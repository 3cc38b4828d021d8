//! `report.csv`: one row per model and seed.

use super::Report;
use super::figures::{Source, memory};
use crate::{Failure, ModelResult};

/// The rows of a comparison as CSV (RFC 4180, UTF-8, a header). A missing value is an empty field.
pub fn csv(report: &Report) -> String {
    let mut text = COLUMNS.join(",") + "\r\n";
    for model in &report.comparison.models {
        let cost = &model.cost;
        let (peak, source) = memory(model);
        if model.runs.is_empty() {
            text.push_str(&without_runs(model));
        }
        for run in &model.runs {
            let last = run.curve.last();
            let test = run.test.as_ref();
            let row = [
                field(&model.name),
                field(&model.layers),
                model.rank.map(|rank| rank.to_string()).unwrap_or_default(),
                field(&model.ties.join(" ")),
                model.under_trained.map(|yes| yes.to_string()).unwrap_or_default(),
                run.seed.to_string(),
                number(Some(run.learning_rate)),
                run.steps.to_string(),
                whole(last.map(|point| point.tokens)),
                whole(last.map(|point| point.targets)),
                number(last.map(|point| point.flops)),
                number(last.map(|point| point.seconds)),
                if is_timed(report, model) { "timed" } else { "wall" }.to_string(),
                number(run.best.as_ref().and_then(|best| best.bits_per_byte)),
                number(run.best.as_ref().map(|best| best.loss)),
                number(test.and_then(|test| test.bits_per_byte)),
                number(test.map(|test| test.token_perplexity)),
                number(test.and_then(|test| test.word_perplexity)),
                whole(test.map(|test| test.targets)),
                cost.parameters.to_string(),
                number(Some(cost.flops_per_token)),
                number(Some(cost.training_flops_per_token)),
                cost.state_bytes.to_string(),
                cost.state_bytes_1m.to_string(),
                peak.to_string(),
                if source == Source::Measured { "measured" } else { "estimated" }.to_string(),
                cost.usable_context.to_string(),
                field(&run.fingerprint),
                run.failure.as_ref().map(Failure::in_words).unwrap_or_default(),
            ];
            text.push_str(&row.join(","));
            text.push_str("\r\n");
        }
    }
    text
}

fn is_timed(report: &Report, model: &ModelResult) -> bool {
    report.comparison.timing.as_ref().is_some_and(|timing| timing.of(&model.name).is_some())
}

/// The row of a model that was never trained in full: all of its sweep diverged.
fn without_runs(model: &ModelResult) -> String {
    let Some(failure) = &model.failure else { return String::new() };
    let mut row = vec![String::new(); COLUMNS.len()];
    (row[0], row[1]) = (field(&model.name), field(&model.layers));
    row[COLUMNS.len() - 1] = failure.in_words();
    row.join(",") + "\r\n"
}

const COLUMNS: [&str; 29] = [
    "model",
    "layers",
    "rank",
    "ties",
    "under_trained",
    "seed",
    "learning_rate",
    "steps",
    "tokens",
    "targets",
    "flops",
    "seconds",
    "seconds_source",
    "validation_bits_per_byte",
    "validation_loss",
    "test_bits_per_byte",
    "test_token_perplexity",
    "test_word_perplexity",
    "test_targets",
    "parameters",
    "flops_per_token",
    "training_flops_per_token",
    "state_bytes",
    "state_bytes_1m",
    "peak_memory_bytes",
    "peak_memory_source",
    "usable_context",
    "fingerprint",
    "failure",
];

fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map(|value| value.to_string()).unwrap_or_default()
}

fn whole(value: Option<u64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A text as one field. A spreadsheet would run a text that starts like a formula: a quote stands before it.
fn field(text: &str) -> String {
    let guarded =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_string() };
    match guarded.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", guarded.replace('"', "\"\"")),
        false => guarded,
    }
}
