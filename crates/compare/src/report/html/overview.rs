//! The summary table, and the curves read at equal cost.

use super::table::{Cell, Column, Table, number, text};
use super::{quality, section as framed, styled};
use crate::report::Report;
use crate::report::figures::{
    Source, amount, axis_name, best, bytes, count, interval, judged, loss, memory, percent_more, place, seconds, used,
};
use crate::{Axis, Baseline, ModelResult, Spread, StepTime};
use percept_chart::{escape, swatch};

/// Quality, cost, memory, state and speed of every model.
pub(super) fn section(report: &Report) -> String {
    let comparison = &report.comparison;
    let lowest = best(comparison).map(|(_, spread)| spread.mean);
    let step = |model: &ModelResult| comparison.timing.as_ref().and_then(|timing| timing.of(&model.name));
    let models = styled(comparison).map(|(style, model)| row(style, model, lowest, step(model)));
    let baselines = comparison.baselines.iter().map(|baseline| baseline_row(baseline, lowest));
    let table = Table {
        caption: "Quality, cost, memory, state and speed".into(),
        columns: columns(quality(report)),
        rows: models.chain(baselines).collect(),
    };
    let note = "Less is better but for speed. Places are shared (=) where models differ by less than their seeds do. \
                Means over seeds; ~ is estimated. Choose a header to sort.";
    framed("summary", "Summary", note, &table.render())
}

fn columns(quality: &str) -> Vec<Column> {
    vec![
        text("Model", "Its name and mixer schedule"),
        number("Place", "1 + the number of models that are better by more than the spread over seeds"),
        number(
            format!("Test, {quality}"),
            "Mean over seeds, scored once at the end; below it the lowest and highest seed",
        ),
        number("Behind", "How much more than the best model"),
        number("Params", "Weights"),
        number("FLOPs per token", "Operations of a forward pass over a training window, per token"),
        number(
            "Tokens/s",
            "Positions per second of training; below it the slowest and the fastest round of the timing",
        ),
        number("Targets/s", "Trained targets per second of training"),
        number("Training", "Time of training, without validation"),
        number("Peak memory", "Peak memory of training: measured, or estimated (~)"),
        number("State", "What must be kept to go on writing after one training window"),
        number("State at 1M", "What must be kept to go on writing after a million tokens"),
        number("Usable context", "Tokens of context that the test protocol lets the model use"),
    ]
}

fn row(style: usize, model: &ModelResult, lowest: Option<f64>, step: Option<&StepTime>) -> Vec<Cell> {
    let (peak, source) = memory(model);
    let mark = if source == Source::Estimated { "~" } else { "" };
    let behind = judged(model).zip(lowest).map(|(own, lowest)| own.mean / lowest - 1.0);
    vec![
        Cell::html(named(style, model), &model.name),
        model.rank.map_or_else(Cell::missing, |rank| Cell::number(rank as f64, &place(model))),
        match &model.failure {
            Some(failure) => Cell::text(&failure.in_words()),
            None => figure(model.test),
        },
        Cell::optional(behind, |behind| if behind == 0.0 { "best".into() } else { percent_more(behind) }),
        Cell::number(model.cost.parameters as f64, &count(model.cost.parameters as f64)),
        Cell::number(model.cost.flops_per_token, &count(model.cost.flops_per_token)),
        speed(used(model, |usage| usage.tokens_per_second), step),
        speed(used(model, |usage| usage.targets_per_second), step),
        Cell::optional(used(model, |usage| usage.seconds), seconds),
        Cell::number(peak as f64, &format!("{mark}{}", bytes(peak))),
        Cell::number(model.cost.state_bytes as f64, &bytes(model.cost.state_bytes)),
        Cell::number(model.cost.state_bytes_1m as f64, &bytes(model.cost.state_bytes_1m)),
        Cell::number(model.cost.usable_context as f64, &model.cost.usable_context.to_string()),
    ]
}

fn named(style: usize, model: &ModelResult) -> String {
    let mut tags = String::new();
    if let Some(failure) = &model.failure {
        let (title, text) = (escape(&failure.message), escape(&failure.in_words()));
        tags.push_str(&format!(" <span class=\"tag warn\" title=\"{title}\">{text}</span>"));
    }
    if model.under_trained == Some(true) {
        tags.push_str(" <span class=\"tag warn\" title=\"does not beat an order-2 byte model\">under-trained</span>");
    }
    if !model.ties.is_empty() {
        let with = escape(&model.ties.join(", "));
        tags.push_str(&format!(
            " <span class=\"tag\" title=\"differs by less than the spread from {with}\">tie</span>"
        ));
    }
    let layers = match model.layers == model.name {
        true => String::new(),
        false => format!("<small>{}</small>", escape(&model.layers)),
    };
    format!("{}<b>{}</b>{tags}{layers}", swatch(style), escape(&model.name))
}

fn figure(spread: Option<Spread>) -> Cell {
    match spread {
        None => Cell::missing(),
        Some(spread) => match interval(&spread) {
            Some(range) => Cell::with_below(spread.mean, &loss(spread.mean), &range),
            None => Cell::number(spread.mean, &loss(spread.mean)),
        },
    }
}

/// Something per second of training, with its range over the rounds of the timing.
fn speed(value: Option<f64>, step: Option<&StepTime>) -> Cell {
    let Some(value) = value else { return Cell::missing() };
    match step {
        Some(StepTime { seconds, min, max, .. }) => {
            let range = format!("{} to {}", count(value * seconds / max), count(value * seconds / min));
            Cell::with_below(value, &count(value), &range)
        }
        None => Cell::number(value, &count(value)),
    }
}

/// A model that counts bytes stands in the table, too: whoever does not beat it has learned little.
fn baseline_row(baseline: &Baseline, lowest: Option<f64>) -> Vec<Cell> {
    let behind = baseline.test_bits_per_byte.zip(lowest).map(|(own, lowest)| own / lowest - 1.0);
    let mut cells = vec![
        Cell::html(
            format!("<i>{}</i><small>counts bytes, no training</small>", escape(&baseline.name)),
            &baseline.name,
        ),
        Cell::missing(),
        Cell::optional(baseline.test_bits_per_byte, loss),
        Cell::optional(behind, percent_more),
    ];
    cells.resize_with(columns("").len(), Cell::missing);
    cells
}

/// The validation curves read at equal tokens, targets, operations and time.
pub(super) fn readings(report: &Report) -> String {
    let readings = &report.comparison.readings;
    if readings.is_empty() {
        return String::new();
    }
    let mut columns = vec![text("Model", "")];
    columns.extend(readings.iter().map(|reading| {
        let at = amount(reading.axis, reading.at);
        let name = if reading.axis == Axis::Seconds { format!("{at} of training") } else { at };
        number(name, format!("Validation value after equal {}", axis_name(reading.axis)))
    }));
    let models = styled(&report.comparison);
    let rows = models
        .map(|(style, model)| {
            let name = Cell::html(format!("{}{}", swatch(style), escape(&model.name)), &model.name);
            let values = readings.iter().map(|reading| {
                let own = reading.values.iter().find(|value| value.model == model.name);
                let lowest = reading.values.iter().map(|value| value.value).fold(f64::INFINITY, f64::min);
                own.map_or_else(Cell::missing, |own| {
                    let class = if own.value == lowest { "best" } else { "" };
                    Cell::marked(own.value, &loss(own.value), class)
                })
            });
            std::iter::once(name).chain(values).collect()
        })
        .collect();
    let caption = format!("Validation, {}, at equal cost", quality(report));
    let note = "The validation curves read at the largest amount that every model reached before its learning rate decayed; \
                means over seeds. The lowest value of a column is bold.";
    framed("equal", "At equal cost", note, &Table { caption, columns, rows }.render())
}
