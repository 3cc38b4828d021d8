//! Results of suites as tables of at most 80 columns.

use std::collections::BTreeSet;

use percept::Result;
use percept::score::suites::{
    Accuracy, Context, Copying, Findings, MeanLoss, Needle, Position, PositionBucket, Recall, SuiteResult, TaskTable,
};

use crate::human;
use crate::terminal::{Style, Terminal};

/// Columns of a small terminal.
const WIDTH: usize = 80;

/// Prints a result under its name.
pub(super) fn print(terminal: &Terminal, result: &SuiteResult) -> Result<()> {
    match &result.findings {
        Findings::Position(position) => by_position(terminal, result, position),
        Findings::Context(context) => by_context(terminal, result, context),
        Findings::Recall(recall) => recalled(terminal, result, recall),
        Findings::Copy(copying) => copied(terminal, result, copying),
        Findings::Needle(needle) => found(terminal, result, needle),
    }
}

fn title(terminal: &Terminal, name: &str, protocol: &str) -> Result<()> {
    terminal.text(format!("\n{}", Style::Bold.out(name)))?;
    wrapped(protocol).iter().try_for_each(|line| terminal.text(Style::Dim.out(line)))
}

/// Lines of at most [`WIDTH`] columns, cut at blanks.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= WIDTH) {
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word.into()),
        }
    }
    lines
}

/// `1.2345 +- 0.0123`, per byte where the tokenizer allows: half of the 95 % interval.
fn loss(loss: &MeanLoss) -> String {
    with_error(loss.nll * scale(loss), half(loss.low, loss.high).map(|half| half * scale(loss)))
}

/// What turns nats into the unit of the table.
fn scale(loss: &MeanLoss) -> f64 {
    loss.bits_per_byte.map_or(1.0, |bits| if loss.nll == 0.0 { 1.0 } else { bits / loss.nll })
}

fn half(low: Option<f64>, high: Option<f64>) -> Option<f64> {
    Some((high? - low?) / 2.0)
}

/// What stands behind the losses of a table.
fn intervals(terminal: &Terminal) -> Result<()> {
    let text = "± is half of the 95 % interval; units are documents, or stretches of the only one";
    wrapped(text).iter().try_for_each(|line| terminal.text(Style::Dim.out(line)))
}

fn with_error(value: f64, error: Option<f64>) -> String {
    match error {
        Some(error) => format!("{value:>8.4} ± {error:<6.4}"),
        None => format!("{value:>8.4}{:9}", ""),
    }
}

fn unit(loss: Option<&MeanLoss>) -> &'static str {
    if loss.is_some_and(|loss| loss.bits_per_byte.is_some()) { "bits per byte" } else { "nats per token" }
}

fn by_position(terminal: &Terminal, result: &SuiteResult, position: &Position) -> Result<()> {
    title(terminal, "loss by position", &result.protocol)?;
    let unit = unit(position.logarithmic.first().map(|bucket| &bucket.loss));
    for buckets in [&position.logarithmic, &position.linear] {
        terminal.text(format!("{:>22}  {:>12}  {unit:>17}", "tokens before it", "targets"))?;
        for PositionBucket { from, to, loss: mean } in buckets {
            let range = if to - from == 1 { from.to_string() } else { format!("{from} to {}", to - 1) };
            terminal.text(format!("{range:>22}  {:>12}  {}", human::grouped(mean.targets), loss(mean)))?;
        }
    }
    intervals(terminal)
}

fn by_context(terminal: &Terminal, result: &SuiteResult, context: &Context) -> Result<()> {
    title(terminal, "gain of context", &result.protocol)?;
    let unit = unit(context.points.first().map(|point| &point.loss));
    terminal.text(format!("{:>12}  {unit:>17}  {:>17}", "context", "gain"))?;
    for point in &context.points {
        let scale = scale(&point.loss);
        let gain = with_error(point.gain * scale, half(point.gain_low, point.gain_high).map(|half| half * scale));
        terminal.text(format!("{:>12}  {}  {}", human::grouped(point.context), loss(&point.loss), gain))?;
    }
    intervals(terminal)
}

fn recalled(terminal: &Terminal, result: &SuiteResult, recall: &Recall) -> Result<()> {
    title(terminal, "associative recall", &result.protocol)?;
    tasks(terminal, "pairs", &recall.table)?;
    chance(terminal, recall.chance)
}

fn copied(terminal: &Terminal, result: &SuiteResult, copying: &Copying) -> Result<()> {
    title(terminal, "copy", &result.protocol)?;
    tasks(terminal, "symbols", &copying.copy)?;
    terminal.text(Style::Bold.out("reverse copy"))?;
    tasks(terminal, "symbols", &copying.reverse)?;
    chance(terminal, copying.chance)
}

/// Accuracy in per cent; a row for each distance, a column for each size.
fn tasks(terminal: &Terminal, size: &str, table: &TaskTable) -> Result<()> {
    let row = |label: String, cells: &mut dyn Iterator<Item = Option<f64>>| {
        let cells: String = cells.map(percent).collect();
        terminal.text(format!("{label:>14}{}", cells.trim_end()))
    };
    let sizes: String = table.by_size.iter().map(|cell| format!("{:>6}", cell.size)).collect();
    terminal.text(format!("{:>14}{sizes} {size}", "distance"))?;
    for distance in &table.by_distance {
        let (from, to) = (distance.distance_from, distance.distance_to);
        let label = if to - from == 1 { from.to_string() } else { format!("{from} to {}", to - 1) };
        let cell = |size: u64| table.cells.iter().find(|cell| cell.size == size && cell.distance_from == from);
        row(label, &mut table.by_size.iter().map(|column| cell(column.size).map(|cell| cell.accuracy.accuracy)))?;
    }
    row("all".into(), &mut table.by_size.iter().map(|cell| Some(cell.accuracy.accuracy)))?;
    row("at least".into(), &mut table.by_size.iter().map(|cell| Some(cell.accuracy.low)))?;
    row("at most".into(), &mut table.by_size.iter().map(|cell| Some(cell.accuracy.high)))
}

fn found(terminal: &Terminal, result: &SuiteResult, needle: &Needle) -> Result<()> {
    let hay = if needle.haystack == "text" { "the text" } else { "made-up sentences" };
    title(terminal, "needle in a haystack", &format!("{}; haystack: {hay}", result.protocol))?;
    let lengths: BTreeSet<u64> = needle.cells.iter().map(|cell| cell.length).collect();
    let head: String = lengths.iter().map(|length| format!("{:>9}", human::grouped(*length))).collect();
    terminal.text(format!("{:>16}{head}", "depth \\ length"))?;
    let first = needle.cells.iter().take_while(|cell| Some(&cell.length) == lengths.first());
    for depth in first.map(|cell| cell.depth) {
        let row: String = needle
            .cells
            .iter()
            .filter(|cell| cell.depth == depth)
            .map(|cell| format!(" {} {}", percent(Some(cell.accuracy.accuracy)), shade(cell.accuracy.accuracy)))
            .collect();
        terminal.text(format!("{:>14} %{row}", depth * 100.0))?;
    }
    terminal.text(format!("{:>16} {}", "all", interval(&needle.total)))?;
    chance(terminal, needle.chance)
}

fn chance(terminal: &Terminal, chance: f64) -> Result<()> {
    terminal.text(Style::Dim.out(&format!(
        "right answers in per cent, with their 95 % interval; guessing is right in {:.1} %",
        chance * 100.0
    )))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| " ".repeat(6), |share| format!("{:>6.0}", share * 100.0))
}

/// `97.2 (95.1 to 98.3)`: the share with its 95 % interval.
fn interval(accuracy: &Accuracy) -> String {
    let Accuracy { accuracy, low, high, .. } = accuracy;
    format!("{:>5.1} ({:.0} to {:.0})", accuracy * 100.0, low * 100.0, high * 100.0)
}

fn shade(share: f64) -> char {
    [' ', '░', '▒', '▓', '█'][(share * 4.0).round().clamp(0.0, 4.0) as usize]
}
