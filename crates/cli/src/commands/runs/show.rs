//! `percept runs show`: one run in detail.

use std::path::PathBuf;

use clap::Args;
use percept::Result;
use percept::train::{Metrics, Overview, RunFolder, metrics};
use serde::Serialize;

use super::view::{Curve, age, steps, with_unit};
use crate::arguments::Global;
use crate::human;
use crate::screen;
use crate::terminal::{Style, Terminal};

/// Arguments of `percept runs show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Run folder
    run: PathBuf,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    overview: Overview,
    checkpoints: Vec<u64>,
    metrics: Vec<Metrics>,
}

impl Show {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let folder = RunFolder::existing(&self.run)?;
        let report = Shown {
            overview: Overview::of(folder.path()),
            checkpoints: folder.checkpoint_steps()?,
            metrics: metrics(&folder)?,
        };
        report.print(&global.terminal())
    }
}

impl Shown {
    fn print(&self, terminal: &Terminal) -> Result<()> {
        let run = &self.overview;
        let row =
            |name: &str, value: String| terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<12}"))));
        row("run", human::path(&run.run))?;
        let problem = run.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
        row("status", format!("{}, last written {} ago{problem}", run.status.name(), age(run)))?;
        if let (Some(layers), Some(parameters)) = (&run.layers, run.parameters) {
            row("model", format!("{layers}, {} parameters", human::grouped(parameters)))?;
        }
        let tokens = human::short(run.tokens as f64);
        row("step", format!("{}, {tokens} tokens in {}", steps(run), human::duration(run.seconds)))?;
        row("training", with_unit(run.loss, run.bits_per_byte))?;
        let best = run.best_step.map(|step| format!(" at step {step}")).unwrap_or_default();
        row("validation", format!("{}{best}", with_unit(run.best_loss, run.best_bits_per_byte)))?;
        let checkpoints: Vec<String> = self.checkpoints.iter().map(u64::to_string).collect();
        row("checkpoints", if checkpoints.is_empty() { "none".into() } else { checkpoints.join(", ") })?;
        for (name, curve) in
            [("training", Curve::training(&self.metrics)), ("validation", Curve::validation(&self.metrics))]
        {
            let lines = curve.lines(name, screen::columns());
            if let Some((heading, chart)) = lines.split_first() {
                terminal.text(Style::Bold.out(&format!("\n{heading}")))?;
                terminal.text(chart.join("\n"))?;
            }
        }
        terminal.json(self)
    }
}
