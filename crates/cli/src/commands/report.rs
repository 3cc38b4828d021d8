//! `percept report FOLDER`: renders the report of a comparison again.

use std::path::{Path, PathBuf};

use clap::Args;
use percept::compare::report::{self, plain_words, terminal};
use percept::files::json;
use percept::{Fault, Result};
use serde::Serialize;

use crate::arguments::Global;
use crate::human;

/// Arguments of `percept report`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept report comparisons/books, or \
    percept report comparisons/books --suites llp=llp-suites.json")]
pub(crate) struct ReportCommand {
    /// The folder of a comparison, with its report.json
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Show the suites of a model: what `percept eval RUN --suite all --json` printed; may be repeated
    #[arg(long, value_name = "MODEL=FILE")]
    suites: Vec<String>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Written {
    #[serde(serialize_with = "json::paths")]
    files: Vec<PathBuf>,
    models: Vec<String>,
    summary: Vec<String>,
}

impl ReportCommand {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal_out = global.terminal();
        let mut found = report::read(&self.folder)?;
        for suites in &self.suites {
            let (model, file) = suites.split_once('=').ok_or_else(|| {
                Fault::usage(format!("--suites {suites} names no model"))
                    .hint("use --suites MODEL=FILE, e.g. llp=llp.json")
            })?;
            report::attach_suites(&mut found, model, Path::new(file))?;
        }
        let mut files = report::write_views(&self.folder, &found)?;
        if !self.suites.is_empty() {
            files.extend(report::write_suites(&self.folder, &found)?);
        }
        terminal_out.text(terminal(&found).trim_end())?;
        files.iter().for_each(|file| terminal_out.say(format!("wrote {}", human::path(file))));
        let models = found.comparison.models.iter().map(|model| model.name.clone()).collect();
        terminal_out.json(&Written { files, models, summary: plain_words(&found) })
    }
}
