//! `percept runs list`: the runs in a folder, one per row.

use std::cmp::{Ordering, Reverse};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use percept::Result;
use percept::train::{Overview, find_runs};

use super::view::{age, loss, steps};
use crate::arguments::Global;
use crate::terminal::Style;
use crate::{human, table};

/// Arguments of `percept runs list`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept runs list --sort best")]
pub(crate) struct List {
    /// Folder that holds runs, also further below
    #[arg(value_name = "FOLDER", default_value = "runs")]
    folder: PathBuf,
    /// Order of the rows: lowest loss first, else most or newest first
    #[arg(long, value_name = "BY", default_value = "name")]
    sort: Sort,
}

/// What the rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// The folder's name
    Name,
    /// The mixer schedule
    Model,
    /// Weights
    Parameters,
    /// Steps done
    Step,
    /// Positions fed
    Tokens,
    /// The last training loss
    Loss,
    /// The lowest validation loss
    Best,
    /// How the run stands
    Status,
    /// When the run last wrote
    Age,
}

impl List {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let mut runs: Vec<Overview> = find_runs(&self.folder)?.iter().map(|path| Overview::of(path)).collect();
        runs.sort_by(|a, b| compare(self.sort, a, b).then_with(|| a.run.cmp(&b.run)));
        if runs.is_empty() {
            terminal.text(format!("no runs in {}", self.folder.display()))?;
        } else {
            let headings = ["run", "model", "parameters", "step", "tokens", "loss", "best", "status", "age"];
            terminal.text(table::text(&headings, runs.iter().map(row)))?;
            let problems = runs.iter().filter_map(|run| Some((run, run.problem.as_deref()?)));
            for (run, problem) in problems {
                terminal.text(Style::Yellow.out(&format!("{}: {problem}", human::path(&run.run))))?;
            }
        }
        terminal.json(&serde_json::json!({ "runs": runs }))
    }
}

fn row(run: &Overview) -> Vec<String> {
    let unknown = || "-".to_string();
    vec![
        human::path(&run.run),
        run.layers.clone().unwrap_or_else(unknown),
        run.parameters.map_or_else(unknown, |count| human::short(count as f64)),
        steps(run),
        human::short(run.tokens as f64),
        loss(run.loss, run.bits_per_byte),
        loss(run.best_loss, run.best_bits_per_byte),
        run.status.name().to_string(),
        age(run),
    ]
}

fn compare(by: Sort, a: &Overview, b: &Overview) -> Ordering {
    let low = |a: Option<f64>, b: Option<f64>| a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY));
    match by {
        Sort::Name => a.run.cmp(&b.run),
        Sort::Model => a.layers.cmp(&b.layers),
        Sort::Parameters => Reverse(a.parameters).cmp(&Reverse(b.parameters)),
        Sort::Step => Reverse(a.step).cmp(&Reverse(b.step)),
        Sort::Tokens => Reverse(a.tokens).cmp(&Reverse(b.tokens)),
        Sort::Loss => low(a.bits_per_byte.or(a.loss), b.bits_per_byte.or(b.loss)),
        Sort::Best => low(a.best_bits_per_byte.or(a.best_loss), b.best_bits_per_byte.or(b.best_loss)),
        Sort::Status => a.status.cmp(&b.status),
        Sort::Age => low(a.age_seconds, b.age_seconds),
    }
}
