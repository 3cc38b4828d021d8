//! What a user sees of a run while it trains, and what is left to say at its end.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use percept::data::{Progress, Watch};
use percept::files::json;
use percept::train::{Event, Outcome, Started, StepMetrics, Summary, TaskKind, ValidationMetrics, Which, task_of};
use percept::{Fault, Result};
use serde::Serialize;

use crate::interrupt;
use crate::meter::{Meter, Parts};
use crate::terminal::{Style, Terminal, invocation};
use crate::{human, out_of_memory};

/// Shows how text is read, and stops it at Ctrl-C.
#[derive(Debug)]
pub(crate) struct DataMeter {
    parts: Parts,
    interrupt: interrupt::Reading,
}

impl DataMeter {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self { parts: Parts::new(terminal), interrupt: interrupt::Reading::begin() }
    }

    /// The work is done: the bar goes.
    pub(crate) fn finish(&mut self) {
        self.parts.finish();
    }
}

impl Watch<'static> for DataMeter {
    fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::Working { phase, done, total } => {
                let total = total.unwrap_or(done);
                let detail = || format!("{} of {}", human::bytes(done), human::bytes(total));
                self.parts.set(phase.label(), phase.label(), done, total, detail);
            }
            Progress::Note(note) => self.parts.say(&note),
            Progress::Warning(warning) => self.parts.warn(&warning),
        }
    }

    fn stop(&self) -> &'static AtomicBool {
        self.interrupt.stop()
    }
}

/// Shows the events of a run.
#[derive(Debug)]
pub(crate) struct Training {
    terminal: Terminal,
    data: DataMeter,
    meter: Option<Meter>,
    run: Option<PathBuf>,
    /// Loss of each line of metrics, in bits per byte where those exist, else in nats per token.
    pub(crate) curve: Vec<f64>,
}

impl Training {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self { terminal, data: DataMeter::new(terminal), meter: None, run: None, curve: Vec::new() }
    }

    /// One event.
    pub(crate) fn event(&mut self, event: Event) {
        match event {
            Event::Data(progress) => self.data.progress(progress),
            Event::Started(started) => self.started(&started),
            Event::Step(step) => self.step(&step),
            Event::Validation(validation) => self.say(&validation_line(&validation)),
            Event::Sample { step, text } => self.sample(step, &text),
            Event::Note(note) => self.say(&note),
            Event::Warning(warning) => match &self.meter {
                Some(meter) => meter.warn(&warning),
                None => self.terminal.warn(warning),
            },
            Event::Saved { step, .. } => self.keep_in_mind(step),
            Event::Finished(_) => self.meter = None,
            _ => {}
        }
    }

    /// What to do where memory runs out from now on.
    fn keep_in_mind(&self, step: u64) {
        let less = "a smaller train.batch, or train.recompute=blocks, needs less memory";
        out_of_memory::hint(match (step, &self.run) {
            (0, _) | (_, None) => format!("{less}; there is no checkpoint yet"),
            (step, Some(run)) => format!(
                "the checkpoint of step {step} is kept: `percept resume {} --set train.batch=N` goes on from there; {less}",
                human::path(run)
            ),
        });
    }

    fn started(&mut self, started: &Started) {
        self.data.finish();
        self.run = Some(started.run.clone());
        self.keep_in_mind(started.step);
        self.terminal.say(format!(
            "{}: {} parameters on {} in {}",
            human::path(&started.run),
            human::short(started.parameters as f64),
            started.device,
            started.precision
        ));
        let validation = match started.validation_documents {
            0 => "without validation".to_string(),
            documents => format!("{} for validation", human::plural(documents as u64, "document")),
        };
        self.terminal.say(format!(
            "{}, {} to train on; {validation}",
            human::plural(started.train_documents as u64, "document"),
            human::plural(started.train_tokens, "token")
        ));
        match started.step {
            0 => {}
            step if step < started.steps => {
                self.terminal.say(format!("going on after step {step} of {}", started.steps));
            }
            step => self.terminal.say(format!("nothing is left to train after step {step}; --steps trains longer")),
        }
        let mut meter = Meter::new(self.terminal, "step", started.steps);
        meter.set(started.step, String::new);
        self.meter = Some(meter);
    }

    fn step(&mut self, step: &StepMetrics) {
        self.curve.push(step.bits_per_byte.unwrap_or(step.loss));
        if let Some(meter) = &mut self.meter {
            meter.set(step.step, || {
                let bits = step.bits_per_byte.map(|bits| format!("  {bits:.3} bits/byte")).unwrap_or_default();
                format!("loss {:.3}{bits}  {} tokens/s", step.loss, human::short(step.tokens_per_second))
            });
        }
    }

    fn sample(&self, step: u64, text: &str) {
        let short: String = human::printable(text).chars().take(240).collect::<String>().trim().replace('\n', "\n  | ");
        self.say(&Style::Dim.err(&format!("step {step}: the model writes\n  | {short}")));
    }

    fn say(&self, line: &str) {
        match &self.meter {
            Some(meter) => meter.say(line),
            None => self.terminal.say(line),
        }
    }
}

fn validation_line(validation: &ValidationMetrics) -> String {
    let value = human::quality(validation.bits_per_byte, validation.loss);
    let best = if validation.best { ", the best so far" } else { "" };
    format!("step {}: validation {value}{best}", validation.step)
}

/// What `train` and `resume` print with `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Trained {
    #[serde(serialize_with = "json::path")]
    run: PathBuf,
    step: u64,
    finished: bool,
    tokens: u64,
    seconds: f64,
    best_step: Option<u64>,
    validation_loss: Option<f64>,
    bits_per_byte: Option<f64>,
}

/// Prints the end of a run; an interrupted one is a fault with exit code 130.
pub(crate) fn conclude(terminal: &Terminal, outcome: &Outcome) -> Result<()> {
    let summary = outcome.summary();
    let run = human::path(&summary.run);
    terminal.json(&report(outcome))?;
    match outcome {
        Outcome::Finished(_) => {
            terminal.text(finished_line(summary))?;
            let next = match task_of(&summary.run, Which::Latest) {
                Ok(TaskKind::Masked) => format!("fill {run} 'Once upon a [MASK]'"),
                _ => format!("generate {run} --prompt 'Once upon a time'"),
            };
            terminal.say(format!("next: {} {next}", invocation()));
            Ok(())
        }
        Outcome::Interrupted(_) => {
            Err(Fault::interrupted(format!("interrupted after step {}; it is saved", summary.step))
                .hint(format!("`percept resume {run}` goes on from there")))
        }
    }
}

fn finished_line(summary: &Summary) -> String {
    let validation = match &summary.validation {
        Some(ValidationMetrics { bits_per_byte: Some(bits), .. }) => format!(", validation {bits:.3} bits/byte"),
        Some(validation) => format!(", validation loss {:.3}", validation.loss),
        None => String::new(),
    };
    format!(
        "{}: {} steps, {} tokens in {}{validation}",
        human::path(&summary.run),
        human::grouped(summary.step),
        human::short(summary.tokens as f64),
        human::duration(summary.seconds)
    )
}

fn report(outcome: &Outcome) -> Trained {
    let summary = outcome.summary();
    Trained {
        run: summary.run.clone(),
        step: summary.step,
        finished: matches!(outcome, Outcome::Finished(_)),
        tokens: summary.tokens,
        seconds: summary.seconds,
        best_step: summary.best,
        validation_loss: summary.validation.as_ref().map(|validation| validation.loss),
        bits_per_byte: summary.validation.as_ref().and_then(|validation| validation.bits_per_byte),
    }
}
