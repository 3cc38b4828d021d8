//! The page of a suite: what class of problems each model reaches, directly and with a chain of thought.

use std::path::{Path, PathBuf};

use percept_chart::{Chart, HeatMap, Unit, escape};
use percept_fault::Result;

use super::{ExamAt, Line, REACHED, SUITE_HTML, SuiteReport, TaskResult, suite_words};
use crate::report::html::table::{Cell, Column, Table, number, text};
use crate::report::html::{grid, page, section};
use crate::report::{HTML, write};
use crate::{Spread, State};

/// Width of a heat map of a dozen lengths.
const WIDTH: f64 = 820.0;
/// What of the answers to questions of a length is told.
type Share = fn(&ExamAt) -> f64;

const MODES: [&str; 2] = ["direct", "cot"];

/// Writes the page of a suite into its folder; gives its path.
///
/// # Errors
/// An environment fault where the file can't be written.
pub fn write_suite_page(folder: &Path, report: &SuiteReport) -> Result<PathBuf> {
    write(folder, SUITE_HTML, &suite_html(report))
}

/// The page as one HTML file.
pub fn suite_html(report: &SuiteReport) -> String {
    let unfinished = match report.state {
        State::Unfinished => " <span class=\"tag warn\">unfinished</span>",
        State::Finished => "",
    };
    let header = format!(
        "<header>\n<h1>{}{unfinished}</h1>\n<p class=\"soft\">trained on questions of at most {} symbols, asked up to {}; \
         {} for every run; {} questions of each length</p>\n</header>\n",
        escape(&report.name),
        report.length,
        report.beyond,
        report.budget,
        report.exercises,
    );
    let words: String = suite_words(report).iter().map(|word| format!("<li>{}</li>\n", escape(word))).collect();
    let words = section("words", "In short", "", &format!("<ul>\n{words}</ul>\n"));
    page(
        &report.name,
        &(header + &words + &classes(report) + &accuracies(report) + &maps(report) + &comparisons(report)),
    )
}

/// Problems reached, by model and class.
fn classes(report: &SuiteReport) -> String {
    let classes = report.classes();
    let mut columns = vec![text("Model", "")];
    for class in &classes {
        columns.push(number(*class, "Problems of this class reached directly"));
        columns.push(number(format!("{class}, cot"), "The same with a chain of thought"));
    }
    let row = |model: &str| {
        let cells = classes.iter().flat_map(|class| MODES.map(|mode| report.reached(model, mode, class)));
        let cells = cells.map(|(reached, of)| match of {
            0 => Cell::missing(),
            _ => Cell::number(reached as f64 / of as f64, &format!("{reached} of {of}")),
        });
        std::iter::once(Cell::text(model)).chain(cells).collect()
    };
    let rows = report.models().into_iter().map(row).collect();
    let table = Table { caption: "Problems reached".into(), columns, rows };
    let note = format!(
        "A problem counts as reached where {:.0} % of the answers' symbols are right beyond the lengths of training, in the mean over seeds.",
        100.0 * REACHED
    );
    section("classes", "What is reached", &note, &table.render())
}

/// Accuracies within and beyond training, with the gain of a chain of thought and chance.
fn accuracies(report: &SuiteReport) -> String {
    let columns: Vec<Column> = vec![
        text("Problem", ""),
        text("Model", ""),
        number("Direct, within", "Symbols of answers right, up to the longest question of training"),
        number("Direct, beyond", "The same in longer questions"),
        number("Cot, within", "With a working that the model writes itself"),
        number("Cot, beyond", "The same in longer questions"),
        number("Gain, within", "Cot less direct"),
        number("Gain, beyond", "The same in longer questions"),
        number("Cot shown, beyond", "Teacher forcing: the true working is shown. This is no result of the model alone"),
        number("Chance, beyond", "The best guess that knows the length alone"),
    ];
    let rows = report.lines().iter().map(row).collect();
    let table = Table { caption: "Accuracy".into(), columns, rows };
    let note = "Shares of the answers' symbols, each length as much as any other; below them the lowest and the highest seed. In cot the model writes the \
                working itself, greedily, and answers after it.";
    section("accuracy", "Accuracy", note, &table.render())
}

fn row(line: &Line<'_>) -> Vec<Cell> {
    let gain = |gain| Cell::optional(gain, |gain| format!("{:+.1}", 100.0 * gain));
    vec![
        Cell::text(line.task),
        Cell::text(line.model),
        share(line.direct.within),
        share(line.direct.beyond),
        share(line.cot.within),
        share(line.cot.beyond),
        gain(line.gain.within),
        gain(line.gain.beyond),
        share(line.cot_shown.beyond),
        Cell::optional(line.chance.beyond, percent),
    ]
}

fn share(spread: Option<Spread>) -> Cell {
    match spread {
        None => Cell::missing(),
        Some(spread) => match spread.width() {
            Some(_) => {
                let below = format!("{} to {}", percent(spread.min), percent(spread.max));
                Cell::with_below(spread.mean, &percent(spread.mean), &below)
            }
            None => Cell::number(spread.mean, &percent(spread.mean)),
        },
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A heat map per problem: models and modes down, lengths across.
fn maps(report: &SuiteReport) -> String {
    let maps: Vec<HeatMap> = report.tasks.iter().map(|task| map(report, task)).collect();
    let maps: Vec<&dyn Chart> = maps.iter().map(|map| map as &dyn Chart).collect();
    let note = "Symbols of answers right by the length of the question, means over seeds. Lengths after the + are beyond training. \"Cot, shown\" is teacher \
                forcing: the true working is shown.";
    section("lengths", "By length", note, &grid(&maps))
}

fn map(report: &SuiteReport, task: &TaskResult) -> HeatMap {
    let lengths: Vec<u64> = task.chance.iter().map(|at| at.length).collect();
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for model in report.models() {
        let shares: [(&str, &str, Share); 3] = [
            ("direct", "direct", ExamAt::accuracy),
            ("cot", "cot", ExamAt::accuracy),
            ("cot, shown", "cot", ExamAt::accuracy_when_shown),
        ];
        for (name, mode, of) in shares {
            let Some(own) = task.model(mode, model) else { continue };
            rows.push(format!("{model}, {name}"));
            let at = |&length: &u64| own.spread(of, |other| other == length).map(|spread| spread.mean);
            values.push(lengths.iter().map(at).collect());
        }
    }
    rows.push("chance".into());
    values.push(task.chance.iter().map(|at| Some(at.chance)).collect());
    let name = |length: &u64| if *length > report.length { format!("+{length}") } else { length.to_string() };
    HeatMap {
        title: task.name.clone(),
        note: task.class.clone(),
        row_label: "model".into(),
        column_label: "symbols of the question".into(),
        rows,
        columns: lengths.iter().map(name).collect(),
        values,
        unit: Unit::Percent,
        width: WIDTH,
        ..HeatMap::default()
    }
}

/// Where the runs are: a comparison per problem and mode, each with a page of its own beside this one.
fn comparisons(report: &SuiteReport) -> String {
    let modes = report.tasks.iter().flat_map(|task| task.modes.iter().map(move |mode| (task, mode)));
    let items = modes.map(|(task, mode)| {
        let page = mode.folder.join(HTML).display().to_string();
        format!("<li><a href=\"{}\">{} {}</a></li>\n", escape(&page), escape(&task.name), escape(&mode.mode))
    });
    let note = "Each problem and mode is a comparison of the models: curves, costs, and what was equal.";
    section("comparisons", "The training", note, &format!("<ul>\n{}</ul>\n", items.collect::<String>()))
}
