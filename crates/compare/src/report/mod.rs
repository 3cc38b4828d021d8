//! The report of a comparison: one HTML page, JSON, CSV, and a summary for the terminal.
//!
//! Everything is rendered from a [`Report`]: the comparison in `report.json` and, where there are some, the results of suites in
//! `suites.json`. So a page can be made again without running anything. [`html`] is one file that asks the network for nothing, works without JavaScript, and
//! follows the reader's light or dark theme; sections without data are left out.

mod csv;
mod figures;
pub(crate) mod html;
mod read;
mod terminal;
mod words;

use std::path::{Path, PathBuf};

use percept_fault::{Fault, Result};
use serde::Serialize;

use crate::{Comparison, REPORT};
use percept_score::suites::SuiteResult;

pub use csv::csv;
pub use html::html;
pub use read::{attach_suites, read};
pub use terminal::terminal;
pub use words::plain_words;

/// The results of suites that were attached to a comparison.
pub const SUITES: &str = "suites.json";
/// The page.
pub const HTML: &str = "report.html";
/// One row per model and seed.
pub const CSV: &str = "report.csv";

/// What a report shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Who was compared, and what came out.
    pub comparison: Comparison,
    /// What the suites found; [`SuiteResult::model`] is the name of a model of the comparison.
    pub suites: Vec<SuiteResult>,
}

impl From<Comparison> for Report {
    fn from(comparison: Comparison) -> Self {
        Self { comparison, suites: Vec::new() }
    }
}

/// Writes the page and the CSV into the folder of a comparison, each completely or not at all; gives their paths.
///
/// # Errors
/// An environment fault where a file can't be written.
pub fn write_views(folder: &Path, report: &Report) -> Result<Vec<PathBuf>> {
    [(HTML, html(report)), (CSV, csv(report))].into_iter().map(|(name, text)| write(folder, name, &text)).collect()
}

/// Writes the page, the CSV, and the data behind them: `report.json` and, where there are results of suites, `suites.json`.
///
/// # Errors
/// An environment fault where a file can't be written.
pub fn write_all(folder: &Path, report: &Report) -> Result<Vec<PathBuf>> {
    let mut paths = write_views(folder, report)?;
    paths.push(write(folder, REPORT, &json(&report.comparison)?)?);
    paths.extend(write_suites(folder, report)?);
    Ok(paths)
}

/// Writes `suites.json` where there are results of suites. `report.json` belongs to the comparison, which writes it anew.
///
/// # Errors
/// An environment fault where the file can't be written.
pub fn write_suites(folder: &Path, report: &Report) -> Result<Option<PathBuf>> {
    if report.suites.is_empty() {
        return Ok(None);
    }
    write(folder, SUITES, &json(&report.suites)?).map(Some)
}

fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Fault::internal("cannot write the report as JSON").because(error))
}

pub(crate) fn write(folder: &Path, name: &str, contents: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    percept_files::write_file(&path, contents.as_bytes())?;
    Ok(path)
}
