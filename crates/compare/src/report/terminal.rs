//! The summary for the terminal: at most 100 columns wide.

use super::Report;
use super::figures::{MISSING, Quality, Source, bytes, count, judged, loss, memory, place, used};
use super::words::plain_words;
use crate::{FailureKind, ModelResult};

const WIDTH: usize = 100;
/// The column of the memory, where estimates are marked.
const MEMORY: usize = 6;
/// The longest name that is shown whole.
const NAME: usize = 22;

/// The summary table of a comparison, and what it says in plain words. In the table, `=` marks ties, `!` what is
/// under-trained, `~` estimates, and `±` half of the spread over seeds.
pub fn terminal(report: &Report) -> String {
    let comparison = &report.comparison;
    let quality = match Quality::of(comparison) {
        Quality::BitsPerByte => "bits/byte",
        Quality::NatsPerTarget => "nats/target",
    };
    let header = ["", "model", quality, "±", "params", "tokens/s", "memory", "state", "at 1M"];
    let mut rows = vec![header.map(String::from).to_vec()];
    rows.extend(comparison.models.iter().map(row));
    for baseline in &comparison.baselines {
        let value = baseline.test_bits_per_byte.or(baseline.validation_bits_per_byte);
        let mut cells = vec![String::new(), clipped(&baseline.name), value.map(loss).unwrap_or_default()];
        cells.resize(header.len(), String::new());
        rows.push(cells);
    }
    let mut text = table(&rows);
    text.push_str(&marks(&rows));
    text.push('\n');
    for sentence in plain_words(report) {
        text.push_str(&wrapped(&sentence));
    }
    let (budget, protocol) = (comparison.budget, &comparison.protocol);
    text.push_str(&wrapped(&format!(
        "Budget of every run: {budget}; scored by {}, at least {} tokens of context for every target but the first ones of a document.",
        protocol.text, protocol.guaranteed_context
    )));
    text.push_str(&wrapped(&format!("Seconds of training: {}.", comparison.seconds_in_words())));
    text
}

/// What the marks of the table mean, as far as it has them.
fn marks(rows: &[Vec<String>]) -> String {
    let meanings = [('=', "= tie"), ('!', "! under-trained"), ('~', "~ estimated")];
    let there = |mark: char| rows.iter().any(|row| [0, MEMORY].iter().any(|column| row[*column].contains(mark)));
    let shown: Vec<&str> = meanings.into_iter().filter(|(mark, _)| there(*mark)).map(|(_, meaning)| meaning).collect();
    if shown.is_empty() { String::new() } else { format!("{}\n", shown.join(", ")) }
}

fn row(model: &ModelResult) -> Vec<String> {
    let value = judged(model);
    let (peak, source) = memory(model);
    let mark = if source == Source::Estimated { "~" } else { "" };
    vec![
        place(model) + if model.under_trained == Some(true) { "!" } else { "" },
        clipped(&model.name),
        value.map_or_else(|| without_value(model), |value| loss(value.mean)),
        value.and_then(|value| value.width()).map(|width| loss(width / 2.0)).unwrap_or_default(),
        count(model.cost.parameters as f64),
        used(model, |usage| usage.tokens_per_second).map_or("–".into(), count),
        format!("{mark}{}", bytes(peak)),
        bytes(model.cost.state_bytes),
        bytes(model.cost.state_bytes_1m),
    ]
}

/// What stands in place of a value.
fn without_value(model: &ModelResult) -> String {
    match &model.failure {
        Some(failure) if failure.kind == FailureKind::Diverged => "diverged".into(),
        Some(_) => "unscored".into(),
        None => MISSING.into(),
    }
}

/// A name that can't break the table or steer the terminal.
fn clipped(name: &str) -> String {
    let name = printable(name);
    if name.chars().count() <= NAME {
        return name;
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Columns side by side: text left, numbers right. Columns without any value are left out.
fn table(rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| {
            let empty = rows.len() > 1 && rows[1..].iter().all(|row| row[column].is_empty());
            if empty { 0 } else { rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) }
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate().filter(|(_, (_, width))| **width > 0) {
            let fill = " ".repeat(width - cell.chars().count());
            line.push_str(&if column == 1 { format!("{cell}{fill}  ") } else { format!("{fill}{cell}  ") });
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A sentence in lines that fit.
fn wrapped(sentence: &str) -> String {
    let mut lines = vec![String::from("-")];
    for word in printable(sentence).split_whitespace() {
        let line = lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= WIDTH);
        match line {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(format!("  {word}")),
        }
    }
    lines.join("\n") + "\n"
}
