//! What a user sees of a comparison while it goes on, and of what it would run.

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use percept::Result;
use percept::compare::{Event, Preview};
use percept::train::StepMetrics;

use crate::human;
use crate::meter::{Meter, Parts};
use crate::terminal::Terminal;

/// Units of the meter over all training.
const PARTS: f64 = 10_000.0;

/// Shows the events of a comparison.
#[derive(Debug)]
pub(crate) struct Comparing {
    whole: Meter,
    /// Timing and scoring.
    after: Parts,
    label: String,
}

impl Comparing {
    /// `label`: what is going on, in a word.
    pub(crate) fn new(terminal: Terminal, label: &str) -> Self {
        let whole = Meter::new(terminal, label, PARTS as u64);
        Self { whole, after: Parts::new(terminal), label: String::new() }
    }

    /// One event.
    pub(crate) fn event(&mut self, event: Event) {
        match event {
            Event::Run { label, finished, total } => {
                self.label = format!("[{}/{total}] {label}", finished + 1);
                self.whole.say(&format!("{} begins", self.label));
            }
            Event::Step { metrics, run, whole } => {
                let detail = format!("{}  {}", self.label, step_line(&metrics, run));
                self.whole.set((whole * PARTS) as u64, || detail);
            }
            Event::Validation(validation) => {
                let value = human::quality(validation.bits_per_byte, validation.loss);
                self.whole.say(&format!("{}  step {}: validation {value}", self.label, validation.step));
            }
            Event::Warning(warning) => self.whole.warn(&warning),
            Event::Timing { label, done, total } => self.after.set("timing", "timing steps", done, total, || label),
            Event::Scoring { label, done, total } => {
                let part = format!("scoring {label}");
                self.after.set(&part, "scoring", done, total, || label);
            }
            _ => {}
        }
    }
}

/// `45 %, 2m10s left, 2.310 bits/byte`, of the run under way.
fn step_line(step: &StepMetrics, run: f64) -> String {
    let left = match run > 0.0 {
        true => format!(", {} left", human::duration(step.seconds * (1.0 - run) / run)),
        false => String::new(),
    };
    format!("{:.0} %{left}, {}; all:", 100.0 * run, human::quality(step.bits_per_byte, step.loss))
}

/// What would run.
pub(crate) fn print_preview(terminal: &Terminal, preview: &Preview) -> Result<()> {
    let mut table =
        table(&["model", "layers", "parameters", "FFN", "FLOP/token", "targets", "context", "steps", "tokens", "time"]);
    for model in &preview.models {
        table.add_row([
            model.name.clone(),
            model.layers.clone(),
            human::grouped(model.parameters),
            model.feed_forward_dim.to_string(),
            human::short(model.training_flops_per_token),
            format!("{} of {}", model.targets_per_window, preview.protocol.window),
            human::grouped(model.usable_context as u64),
            human::grouped(model.steps),
            human::short(model.tokens as f64),
            human::duration(model.seconds),
        ]);
    }
    print_table(terminal, &mut table, 2)?;
    terminal.text(format!(
        "\nbudget of every run: {}; scored by {}\n{} in all, about {} of training at the speed measured now",
        preview.budget,
        preview.protocol.text,
        human::plural(preview.runs as u64, "run"),
        human::duration(preview.seconds)
    ))
}

/// A table with a header.
pub(crate) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(head);
    table
}

/// Prints a table whose columns from `numbers` on are right-aligned.
pub(crate) fn print_table(terminal: &Terminal, table: &mut Table, numbers: usize) -> Result<()> {
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    terminal.text(lines.join("\n"))
}
