//! The page: its sections in the order in which they are read.

mod cost;
mod curves;
mod fairness;
mod overview;
mod samples;
mod suites;
pub(crate) mod table;

use percept_files::PAGE_MARK;

use super::Report;
use super::figures::{Quality, amount};
use super::words::plain_words;
use crate::{Comparison, ModelResult, State};
use percept_chart::{Chart, escape, swatch};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Width and height of a chart in a row of three; on a phone it fills the screen.
const SMALL: (f64, f64) = (400.0, 310.0);

/// The report as one HTML file.
pub fn html(report: &Report) -> String {
    let comparison = &report.comparison;
    let sections: String = [
        words(report),
        overview::section(report),
        curves::section(report),
        overview::readings(report),
        cost::section(report),
        suites::position(report),
        suites::context(report),
        suites::recall(report),
        suites::copying(report),
        suites::needle(report),
        samples::section(report),
        fairness::runs(report),
        fairness::section(report),
    ]
    .concat();
    page(&comparison.name, &(header(report) + &sections))
}

/// A page of one file; `body` is HTML.
pub(crate) fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n{PAGE_MARK}\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{}{STYLE}</style>\n</head>\n<body>\n\
         <main>\n{body}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        percept_chart::STYLE,
    )
}

fn header(report: &Report) -> String {
    let comparison = &report.comparison;
    let unfinished = match comparison.state {
        State::Unfinished => " <span class=\"tag warn\">unfinished</span>",
        State::Finished => "",
    };
    let (models, seeds) = (comparison.models.len(), comparison.fairness.seeds.len());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let seeds = if seeds == 1 { "one seed".to_owned() } else { format!("up to {seeds} seeds") };
    format!(
        "<header>\n<h1>{}{unfinished}</h1>\n<p class=\"soft\">{models} model{} on {} ({}), {} each, {seeds}, windows of {} \
         tokens</p>\n</header>\n",
        escape(&comparison.name),
        plural(models),
        escape(&comparison.corpus.name),
        super::figures::bytes(comparison.corpus.bytes),
        amount(comparison.budget.kind, comparison.budget.amount),
        comparison.fairness.context,
    )
}

fn words(report: &Report) -> String {
    let sentences = plain_words(report);
    let Some((first, rest)) = sentences.split_first() else { return String::new() };
    let items: String = rest.iter().map(|sentence| format!("<li>{}</li>\n", escape(sentence))).collect();
    let list = if items.is_empty() { String::new() } else { format!("<ul>\n{items}</ul>\n") };
    let body = format!("<p class=\"lead\">{}</p>\n{list}", escape(first));
    section("words", "In short", "", &body)
}

/// A section with its heading; `note` is plain text.
pub(crate) fn section(id: &str, title: &str, note: &str, body: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!("<p class=\"soft\">{}</p>\n", escape(note)) };
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{}</h2>\n{note}{body}</section>\n",
        escape(title)
    )
}

/// Charts side by side where there is room.
pub(crate) fn grid(charts: &[&dyn Chart]) -> String {
    let figures: String = charts.iter().map(|chart| format!("<figure>{}</figure>\n", chart.to_inline())).collect();
    format!("<div class=\"grid\">\n{figures}</div>\n")
}

/// Names the lines of the charts of a section. Styles are those of [`styled`].
fn legend<'a>(models: impl Iterator<Item = (usize, &'a ModelResult)>) -> String {
    let items: String =
        models.map(|(style, model)| format!("<li>{}{}</li>\n", swatch(style), escape(&model.name))).collect();
    format!("<ul class=\"legend\" aria-label=\"models\">\n{items}</ul>\n")
}

/// The models in the order of the report, each with its style in all charts and tables. Styles go by the alphabet: a model keeps
/// its colour when a further seed moves it to another place.
fn styled(comparison: &Comparison) -> impl Iterator<Item = (usize, &ModelResult)> {
    let models = &comparison.models;
    models.iter().map(|model| (models.iter().filter(|other| other.name < model.name).count(), model))
}

/// The name of the quality figure of a report.
fn quality(report: &Report) -> &'static str {
    Quality::of(&report.comparison).name()
}
