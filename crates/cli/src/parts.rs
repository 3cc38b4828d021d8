//! What a user sees of a comparison or a suite in parts: which tasks there are, and what became of one.

use percept::compare::{Failure, Part, PartState, Stage};
use percept::{Fault, Result};
use serde::Serialize;

use crate::table;
use crate::terminal::{Terminal, invocation};

/// What `plan` prints with `--json`.
#[derive(Debug, Serialize)]
struct Parts<'a> {
    name: &'a str,
    stages: Vec<Tasks>,
    tasks: &'a [Part],
}

/// How many tasks a stage has.
#[derive(Debug, Serialize)]
struct Tasks {
    stage: Stage,
    tasks: usize,
}

/// Prints the tasks and how each stands.
pub(crate) fn print_parts(terminal: &Terminal, name: &str, parts: &[Part]) -> Result<()> {
    let rows = parts.iter().enumerate().map(|(task, part)| {
        vec![part.label.clone(), task.to_string(), part.stage.to_string(), part.number.to_string(), standing(part)]
    });
    terminal.text(table::text(&["run", "task", "stage", "in stage", "state"], rows))?;
    let of_stage = |stage: Stage| Tasks { stage, tasks: parts.iter().filter(|part| part.stage == stage).count() };
    let stages = Stage::ALL.map(of_stage).into_iter().filter(|stage| stage.tasks > 0).collect();
    terminal.json(&Parts { name, stages, tasks: parts })
}

/// Prints the end of a task; one that was interrupted is a fault with exit code 130. `command` is what goes on with it.
pub(crate) fn conclude_part(terminal: &Terminal, before: &Part, after: &Part, command: &str) -> Result<()> {
    terminal.json(after)?;
    if !after.state.is_over() {
        return Err(Fault::interrupted(format!("interrupted; {} is saved", after.label))
            .hint(format!("the same `{} {command}` command goes on from there", invocation())));
    }
    let already = if before.state.is_over() { " already" } else { "" };
    terminal.text(format!("{}: {}{already}", after.label, standing(after)))
}

fn standing(part: &Part) -> String {
    match (&part.failure, part.state) {
        (Some(failure), _) => Failure::in_words(failure),
        (None, PartState::Finished) => "finished".into(),
        (None, PartState::Skipped) => "nothing to train".into(),
        (None, PartState::Begun) => "begun".into(),
        (None, PartState::Ready) => "ready".into(),
        (None, PartState::Waiting) => "waits for others".into(),
    }
}
