//! What a user sees of a comparison: its progress, what it would run, and what it found.

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use percept::Result;
use percept::compare::{Axis, Comparison, Event, ModelResult, Preview, Spread};
use percept::train::StepMetrics;

use crate::human;
use crate::meter::{Meter, Parts};
use crate::terminal::{Style, Terminal};

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
    pub(crate) fn new(terminal: Terminal) -> Self {
        let whole = Meter::new(terminal, "comparing", PARTS as u64);
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

/// What was found.
pub(crate) fn print_summary(terminal: &Terminal, comparison: &Comparison) -> Result<()> {
    // Only a tokenizer that keeps every byte has a baseline.
    let has_bits = !comparison.baselines.is_empty()
        || comparison
            .models
            .iter()
            .flat_map(|model| &model.runs)
            .any(|run| run.best.is_some_and(|best| best.bits_per_byte.is_some()));
    let unit = if has_bits { "bits/byte" } else { "nats/token" };
    terminal.text(Style::Bold.out(&format!("{}: test text, {unit} (lower is better)", comparison.name)))?;
    let mut table = table(&[
        "",
        "model",
        "test",
        "validation",
        "parameters",
        "FFN",
        "FLOP/token",
        "memory",
        "state",
        "state at 1M",
        "tokens/s",
        "targets/s",
        "targets",
        "time",
    ]);
    for model in &comparison.models {
        table.add_row(summary_row(model));
    }
    for baseline in &comparison.baselines {
        let bits = |bits: Option<f64>| bits.map_or_else(String::new, |bits| format!("{bits:.4}"));
        table.add_row([
            String::new(),
            baseline.name.clone(),
            bits(baseline.test_bits_per_byte),
            bits(baseline.validation_bits_per_byte),
        ]);
    }
    print_table(terminal, &mut table, 2)?;
    for (model, failure) in comparison.failed() {
        terminal.text(format!("{} {} and has no place: {}", model.name, failure.in_words(), failure.message))?;
    }
    for model in comparison.models.iter().filter(|model| model.under_trained == Some(true)) {
        terminal.text(format!("{} is under-trained: it does not beat the order-2 byte model", model.name))?;
    }
    print_readings(terminal, comparison)?;
    terminal.text(format!(
        "\nbudget of every run: {}; {}, at least {} tokens of context for every target but the first ones of a document",
        comparison.budget, comparison.protocol.text, comparison.protocol.guaranteed_context
    ))?;
    terminal.text(format!("seconds: {}", comparison.seconds_in_words()))?;
    let spread = comparison.models.iter().filter_map(|model| model.test.or(model.validation)?.width()).reduce(f64::max);
    terminal.text(match spread {
        Some(spread) => {
            format!("models with the same place tie: they differ by less than their seeds do (at most {spread:.4})")
        }
        None => "one seed each: small differences may be chance; --seeds 1,2,3 tells".to_owned(),
    })
}

fn summary_row(model: &ModelResult) -> Vec<String> {
    let (cost, usage) = (&model.cost, model.usage.as_ref());
    let of_usage = |show: &dyn Fn(&percept::compare::Usage) -> String| usage.map_or_else(String::new, show);
    vec![
        model.rank.map_or_else(String::new, |rank| rank.to_string()),
        model.name.clone(),
        match &model.failure {
            Some(failure) => failure.in_words(),
            None => model.test.map_or_else(String::new, |test| spread(&test)),
        },
        model.validation.map_or_else(String::new, |validation| spread(&validation)),
        human::grouped(cost.parameters),
        cost.feed_forward_dim.to_string(),
        human::short(cost.training_flops_per_token),
        human::bytes(usage.and_then(|usage| usage.measured_peak_memory_bytes).unwrap_or(cost.peak_memory_bytes)),
        human::bytes(cost.state_bytes),
        human::bytes(cost.state_bytes_1m),
        of_usage(&|usage| human::short(usage.tokens_per_second)),
        of_usage(&|usage| human::short(usage.targets_per_second)),
        of_usage(&|usage| human::short(usage.targets as f64)),
        of_usage(&|usage| human::duration(usage.seconds)),
    ]
}

/// `2.3014`, or with several seeds `2.3014 ±0.0120`: half of the range.
fn spread(spread: &Spread) -> String {
    match spread.width() {
        Some(width) => format!("{:.4} ±{:.4}", spread.mean, width / 2.0),
        None => format!("{:.4}", spread.mean),
    }
}

/// The validation curves at equal cost.
fn print_readings(terminal: &Terminal, comparison: &Comparison) -> Result<()> {
    if comparison.readings.is_empty() {
        return Ok(());
    }
    terminal.text(Style::Bold.out("\nvalidation at equal cost, before any learning rate decays"))?;
    for reading in &comparison.readings {
        let at = match reading.axis {
            Axis::Tokens => format!("{} tokens", human::short(reading.at)),
            Axis::Targets => format!("{} targets", human::short(reading.at)),
            Axis::Flops => format!("{} FLOP", human::short(reading.at)),
            Axis::Seconds => human::duration(reading.at),
        };
        let values: Vec<String> =
            reading.values.iter().map(|value| format!("{} {:.3}", value.model, value.value)).collect();
        terminal.text(format!("  {at:<16} {}", values.join("   ")))?;
    }
    Ok(())
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(head);
    table
}

/// Prints a table whose columns from `numbers` on are right-aligned.
fn print_table(terminal: &Terminal, table: &mut Table, numbers: usize) -> Result<()> {
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    terminal.text(lines.join("\n"))
}
