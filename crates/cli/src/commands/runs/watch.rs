//! `percept runs watch`: follows a run while it goes on, from another process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use percept::Result;
use percept::train::{Metrics, MetricsLine, MetricsTail, RunFolder, RunStatus, StepMetrics, Tailed};
use serde_json::json;

use super::view::{Curve, with_unit};
use crate::arguments::Global;
use crate::human;
use crate::screen::{self, Frame};
use crate::terminal::{Terminal, is_screen, write_stdout};

/// Time between two looks at the run.
const LOOK: Duration = Duration::from_millis(250);
/// Rows that a chart takes with its heading and its axis, and those of the text around the charts.
const CHART_ROWS: usize = 11;
const TEXT_ROWS: usize = 4;

/// Arguments of `percept runs watch`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with the run, or with Ctrl-C. A run that is not there yet, or interrupted, is waited for."
)]
pub(crate) struct Watch {
    /// Run folder
    run: PathBuf,
}

/// What is known of the run.
struct Watched<'a> {
    run: &'a Path,
    terminal: Terminal,
    lines: Vec<Metrics>,
    steps: Option<u64>,
    /// The last status that was told.
    told: Option<RunStatus>,
    frame: Option<Frame>,
}

impl Watch {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let folder = RunFolder::new(&self.run);
        let mut tail = MetricsTail::new(folder.metrics_path());
        let mut watched = Watched {
            run: &self.run,
            terminal: global.terminal(),
            lines: Vec::new(),
            steps: None,
            told: None,
            frame: is_screen(global.terminal()).then(Frame::default),
        };
        let mut seen = Seen::NotYet;
        loop {
            // The status first: what the run wrote before its end is then read below.
            let status = RunStatus::of(&self.run);
            if watched.steps.is_none() || watched.told != Some(status) {
                watched.steps = folder.config().ok().map(|config| config.train.steps);
            }
            watched.add(tail.look()?)?;
            watched.show(status)?;
            if status == RunStatus::Running {
                seen = Seen::Running;
            }
            if has_ended(status, seen) {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether the run was running since it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    NotYet,
    Running,
}

/// Whether there is nothing more to come. An interrupted run is waited for until it has been seen running.
fn has_ended(status: RunStatus, seen: Seen) -> bool {
    match status {
        RunStatus::Finished | RunStatus::Diverged | RunStatus::Exported => true,
        RunStatus::Interrupted | RunStatus::Broken => seen == Seen::Running,
        RunStatus::Running => false,
    }
}

impl Watched<'_> {
    /// Takes new lines.
    fn add(&mut self, found: Tailed) -> Result<()> {
        if found.restarted {
            self.go_back(0)?;
        }
        for line in found.lines {
            match line {
                MetricsLine::Metrics(metrics) => {
                    if self.frame.is_none() {
                        self.terminal.text(event(&metrics, self.steps))?;
                        self.terminal.json(&metrics)?;
                    }
                    self.lines.push(metrics);
                }
                MetricsLine::Resumed(step) => self.go_back(step)?,
                MetricsLine::Unreadable(number) if self.frame.is_none() => {
                    let path = RunFolder::new(self.run).metrics_path();
                    self.terminal.warn(format!("{}:{number}: no line of metrics", path.display()));
                }
                MetricsLine::Unreadable(_) => {}
            }
        }
        Ok(())
    }

    /// The run goes on after a step: what was logged of later ones no longer counts.
    fn go_back(&mut self, step: u64) -> Result<()> {
        let known = self.lines.len();
        self.lines.retain(|line| line.step() <= step);
        if self.frame.is_none() && self.lines.len() < known {
            self.terminal.text(format!("going on after step {step}"))?;
            self.terminal.json(&json!({ "kind": "resumed", "step": step }))?;
        }
        Ok(())
    }

    /// Draws the run, or tells a status that has changed.
    fn show(&mut self, status: RunStatus) -> Result<()> {
        let changed = self.told != Some(status);
        self.told = Some(status);
        let line = format!("{}: {}", human::path(self.run), self.in_words(status));
        if self.frame.is_none() {
            if changed {
                self.terminal.text(line)?;
                let step = self.lines.last().map_or(0, Metrics::step);
                self.terminal.json(&json!({ "kind": "status", "status": status, "step": step }))?;
            }
            return Ok(());
        }
        let (columns, rows) = screen::size();
        let lines = self.picture(line, rows);
        match &mut self.frame {
            Some(frame) => write_stdout(&frame.draw(&lines, columns)),
            None => Ok(()),
        }
    }

    /// The status, the last figures, and as many charts as there is room for.
    fn picture(&self, status: String, rows: usize) -> Vec<String> {
        let mut lines = vec![status];
        lines.extend(self.last_step().map(|step| figures(step, self.steps)));
        let curves = [("training", Curve::training(&self.lines)), ("validation", Curve::validation(&self.lines))];
        for (name, curve) in curves {
            let chart = curve.lines(name, screen::columns());
            if lines.len() + CHART_ROWS + 1 < rows || lines.len() <= TEXT_ROWS {
                lines.extend((!chart.is_empty()).then(String::new));
                lines.extend(chart);
            }
        }
        // More rows than the terminal has would scroll, and could not be drawn over.
        lines.truncate(rows.saturating_sub(1).max(1));
        lines
    }

    fn in_words(&self, status: RunStatus) -> String {
        let step = self.lines.last().map_or(0, Metrics::step);
        match status {
            RunStatus::Running if self.lines.is_empty() => "running, no metrics yet".to_string(),
            RunStatus::Broken if !self.run.exists() => "not there yet, waiting".to_string(),
            RunStatus::Broken => "no run yet, waiting".to_string(),
            RunStatus::Interrupted => format!("interrupted at step {step}; `percept resume` goes on"),
            status => format!("{} at step {step}", status.name()),
        }
    }

    fn last_step(&self) -> Option<&StepMetrics> {
        self.lines.iter().rev().find_map(|line| match line {
            Metrics::Train(step) => Some(step),
            Metrics::Validation(_) => None,
        })
    }
}

/// A line of metrics in words.
fn event(line: &Metrics, steps: Option<u64>) -> String {
    match line {
        Metrics::Train(step) => figures(step, steps),
        Metrics::Validation(validation) => {
            let best = if validation.best { ", the best so far" } else { "" };
            format!(
                "step {}: validation {}{best}",
                validation.step,
                with_unit(Some(validation.loss), validation.bits_per_byte)
            )
        }
    }
}

fn figures(step: &StepMetrics, steps: Option<u64>) -> String {
    let of = steps.map(|steps| format!("/{steps}")).unwrap_or_default();
    let left = steps.map(|steps| {
        let seconds = step.seconds / step.step.max(1) as f64 * steps.saturating_sub(step.step) as f64;
        format!(", {} left", human::duration(seconds))
    });
    format!(
        "step {}{of}: {}, {} tokens/s{}",
        step.step,
        with_unit(Some(step.loss), step.bits_per_byte),
        human::short(step.tokens_per_second),
        left.filter(|_| steps > Some(step.step)).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_was_seen_running_ends_by_an_interruption() {
        use Seen::{NotYet, Running};
        assert!(!has_ended(RunStatus::Interrupted, NotYet) && has_ended(RunStatus::Interrupted, Running));
        assert!(!has_ended(RunStatus::Broken, NotYet) && !has_ended(RunStatus::Running, Running));
        assert!(has_ended(RunStatus::Finished, NotYet) && has_ended(RunStatus::Diverged, NotYet));
    }

    #[test]
    fn figures_read_well() {
        let step = StepMetrics {
            step: 100,
            tokens: 10,
            targets: 10,
            loss: 1.0,
            bits_per_byte: Some(1.5),
            learning_rate: 0.1,
            gradient_norm: 1.0,
            tokens_per_second: 12_345.0,
            seconds: 50.0,
            order_hash: String::new(),
        };
        assert_eq!(figures(&step, Some(300)), "step 100/300: 1.500 bits/byte, 12.3k tokens/s, 1m40s left");
        assert_eq!(figures(&step, Some(100)), "step 100/100: 1.500 bits/byte, 12.3k tokens/s");
    }
}
