//! The page of a search: what is best, how fast it was found, what was tried, and which keys matter.

use std::path::{Path, PathBuf};

use percept_chart::{
    Axis, Chart, Coordinate, Level, LineChart, ParallelCoordinates, Scale, Series, Trace, Unit, escape,
};
use percept_fault::Result;

use super::result::{AxisInfo, TrialResult, TuneReport, shown};
use super::words::tune_words;
use crate::State;
use crate::report::html::table::{Cell, Column, Table, number, text};
use crate::report::html::{page, section};
use crate::report::{HTML, write};

/// Size of the charts, which stand one below the other.
const SIZE: (f64, f64) = (820.0, 440.0);

/// Writes the page of a search into its folder; gives its path.
///
/// # Errors
/// An environment fault where the file can't be written.
pub fn write_tune_page(folder: &Path, report: &TuneReport) -> Result<PathBuf> {
    write(folder, HTML, &tune_html(report))
}

/// The page as one HTML file.
pub fn tune_html(report: &TuneReport) -> String {
    let unfinished = match report.state {
        State::Unfinished => " <span class=\"tag warn\">unfinished</span>",
        State::Finished => "",
    };
    let header = format!(
        "<header>\n<h1>{}{unfinished}</h1>\n<p class=\"soft\">{} over {} keys from {}, on {}; {} for a whole trial</p>\n</header>\n",
        escape(&report.name),
        escape(report.strategy.name()),
        report.space.len(),
        escape(&report.preset),
        escape(&report.corpus.name),
        report.budget,
    );
    let words: String = tune_words(report).iter().map(|word| format!("<li>{}</li>\n", escape(word))).collect();
    let words = section("words", "In short", "", &format!("<ul>\n{words}</ul>\n"));
    page(&report.name, &(header + &words + &progress(report) + &tried(report) + &effects(report) + &trials(report)))
}

/// A chart as wide as the page allows.
fn figure(chart: &dyn Chart) -> String {
    format!("<figure class=\"wide\">{}</figure>\n", chart.to_inline())
}

/// Best so far against cost.
fn progress(report: &TuneReport) -> String {
    let level = report.start.as_ref().and_then(|start| start.metric);
    let level = level.map(|value| Level { name: "where the search starts".into(), value });
    let chart = LineChart {
        title: "Best so far".into(),
        x: Axis::new("operations of training, all trials").scale(Scale::FromZero).unit(Unit::Count),
        y: Axis::new(report.metric.name()),
        series: vec![Series::new("best", report.progress())],
        levels: level.into_iter().collect(),
        size: SIZE,
        ..LineChart::default()
    };
    let note = "The lowest metric among the trials of the highest rung, against what all trials up to there have cost by the cost model. \
                A trial that repeats another costs nothing.";
    section("progress", "How fast it was found", note, &figure(&chart))
}

/// Every configuration as a line across the keys.
fn tried(report: &TuneReport) -> String {
    let coordinate = |axis: &AxisInfo| Coordinate {
        label: axis.short().to_owned(),
        values: axis.values.iter().map(shown).collect(),
    };
    let highest = report.ranked().first().map(|trial| trial.rung);
    let trace = |trial: &&TrialResult| {
        let name = format!("trial {}, seed {}", trial.number, trial.seed);
        Some(Trace { name, choices: trial.point.clone(), value: trial.metric? })
    };
    let traces = report.ranked();
    let traces = traces.iter().filter(|trial| Some(trial.rung) == highest).filter_map(trace);
    let chart = ParallelCoordinates {
        title: "Configurations".into(),
        note: "the lower the metric, the darker the line; the best in another colour".into(),
        coordinates: report.space.iter().map(coordinate).collect(),
        value: Axis::new(report.metric.name()),
        traces: traces.collect(),
        size: SIZE,
    };
    let note = "Those that finished the highest rung, each as a line through the values of its keys to its metric.";
    section("tried", "What was tried", note, &figure(&chart))
}

/// Which keys matter.
fn effects(report: &TuneReport) -> String {
    let Some(found) = &report.effects else { return String::new() };
    let columns = vec![
        text("Key", ""),
        number("Share", "Of the variance of the metric over the space, what this key explains alone"),
        text("Best value", "The value with the lowest mean, all other keys being equal"),
        number("Mean there", "The metric there, in the mean over the other keys"),
        text("Worst value", "The value with the highest mean"),
        number("Mean there", "The metric there"),
    ];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (effect, axis) in found.keys.iter().zip(&report.space) {
        let mut means: Vec<(f64, usize)> =
            effect.means.iter().zip(0..).filter_map(|(mean, value)| Some(((*mean)?, value))).collect();
        means.sort_by(|a, b| a.0.total_cmp(&b.0));
        let cells = |end: Option<&(f64, usize)>| match end {
            Some((mean, value)) => [
                Cell::text(&axis.values.get(*value).map(shown).unwrap_or_default()),
                Cell::number(*mean, &format!("{mean:.4}")),
            ],
            None => [Cell::missing(), Cell::missing()],
        };
        let mut row = vec![Cell::text(&effect.key), Cell::number(effect.share, &percent(effect.share))];
        row.extend(cells(means.first()));
        row.extend(cells(means.last()));
        rows.push(row);
    }
    let rest = "keys together, and chance";
    let blank = || [Cell::missing(), Cell::missing()];
    rows.push(
        [vec![Cell::text(rest), Cell::number(found.rest, &percent(found.rest))], blank().into(), blank().into()]
            .into_iter()
            .flatten()
            .collect(),
    );
    let table = Table { caption: "Main effects".into(), columns, rows };
    let note = format!(
        "Main effects of a functional ANOVA (Hutter, Hoos and Leyton-Brown 2014), by an additive fit to {} trials of the first rung. Few trials \
         for each value tell little, and values that the search avoided hardly anything.",
        found.trials
    );
    section("effects", "Which keys matter", &note, &table.render())
}

/// Every trial, with its run.
fn trials(report: &TuneReport) -> String {
    let mut columns: Vec<Column> = vec![number("Trial", "Promoted trials keep their number")];
    if report.halving.rungs > 1 {
        columns.push(number("Rung", "How often it was promoted"));
    }
    columns.extend(report.space.iter().map(|axis| match axis.rising {
        true => number(axis.short(), &axis.key),
        false => text(axis.short(), &axis.key),
    }));
    columns.push(number("Metric", report.metric.name()));
    columns.push(number("Parameters", ""));
    columns.push(number("Steps", "Of its run, up to the end of this trial"));
    columns.push(number("Seed", "Of training"));
    columns.push(text("Run", ""));
    let rows = report.start.iter().chain(&report.trials).map(|trial| row(report, trial)).collect();
    let table = Table { caption: "Trials".into(), columns, rows };
    section("trials", "The trials", "Every run is an ordinary run folder.", &table.render())
}

fn row(report: &TuneReport, trial: &TrialResult) -> Vec<Cell> {
    let is_start = trial.values.is_empty();
    let mut row = match is_start {
        true => vec![Cell::text("start")],
        false => vec![Cell::number(trial.number as f64, &trial.number.to_string())],
    };
    if report.halving.rungs > 1 {
        row.push(Cell::number(f64::from(trial.rung), &trial.rung.to_string()));
    }
    row.extend(report.space.iter().map(|axis| match trial.values.get(&axis.key) {
        None => Cell::missing(),
        Some(value) => match value.as_f64() {
            Some(number) => Cell::number(number, &shown(value)),
            None => Cell::text(&shown(value)),
        },
    }));
    row.push(match trial.metric {
        Some(metric) => Cell::number(metric, &format!("{metric:.4}")),
        None => Cell::html(
            format!(
                "<span title=\"{}\">{}</span>",
                escape(trial.message.as_deref().unwrap_or_default()),
                trial.status.name()
            ),
            "",
        ),
    });
    row.push(Cell::optional(trial.parameters.map(|count| count as f64), |count| Unit::Count.value(count)));
    row.push(Cell::number(trial.steps as f64, &trial.steps.to_string()));
    row.push(Cell::number(trial.seed as f64, &trial.seed.to_string()));
    let folder = trial.folder.as_ref().map(|folder| folder.display().to_string());
    row.push(folder.map_or_else(Cell::missing, |folder| Cell::text(&folder)));
    row
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{report, space, trial};
    use super::*;

    #[test]
    fn the_page_has_all_that_was_found_and_no_foreign_markup() {
        let mut found = report(vec![trial(0, 1, Some(3.0)), trial(4, 1, Some(2.0)), trial(8, 1, None)]);
        found.trials[2].message = Some("a <i>reason</i>".into());
        found.name = "<script>".into();
        found.conclude(&space());
        let html = tune_html(&found);
        for part in [
            "<h1>&lt;script&gt;</h1>",
            "id=\"progress\"",
            "where the search starts",
            "<title>trial 4, seed 1\nlayers: tost\nlearning_rate: 0.01\nbits per byte: 2</title>",
            "<title>trial 0, seed 1",
            "id=\"effects\"",
            "keys together, and chance",
            "data-sort=\"2\">2.0000</td>",
            "<span title=\"a &lt;i&gt;reason&lt;/i&gt;\">diverged</span>",
            "runs/point-4",
            "data-sort=\"start\"",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("<i>") && !html.contains("<b>") && !html.contains("unfinished"));
        // A search without a trial has a page, too.
        let nothing = tune_html(&TuneReport { state: State::Unfinished, start: None, ..report(Vec::new()) });
        assert!(
            nothing.contains("unfinished</span>") && nothing.contains("no data") && !nothing.contains("id=\"effects\"")
        );
    }

    #[test]
    fn only_the_highest_rung_is_drawn() {
        let mut found = report(vec![trial(0, 0, Some(3.0)), trial(4, 0, Some(2.0)), trial(4, 1, Some(1.5))]);
        found.conclude(&space());
        let html = tune_html(&found);
        assert!(html.contains("<title>trial 4, seed 1") && !html.contains("<title>trial 0, seed 1"), "{html}");
    }
}
