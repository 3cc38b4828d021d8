//! A comparison in parts: each of its runs is a piece of work for a process of its own, on any machine that sees the folder.
//!
//! Nothing is kept but what the runs keep themselves: what is done, and what a run waits for, is read from the folder.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use percept_data::{Made, mark_folder};
use percept_fault::{Fault, Result};
use percept_train::{RunConfig, StepMetrics};
use serde::Serialize;

use super::event::Event;
use super::lineup::Lineup;
use super::result::Failure;
use super::runs::{Rate, Role};
use super::stage::{Stage, places};
use super::task::{Done, Task};

/// Most runs that a message names.
const NAMED: usize = 3;

/// How a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartState {
    /// Its run has ended.
    Finished,
    /// There is nothing to train: its model has no learning rate at which it trains, or there are fewer finalists than places.
    Skipped,
    /// Its run goes on from where it stands.
    Begun,
    /// It can begin.
    Ready,
    /// It needs runs that are not finished.
    Waiting,
}

impl PartState {
    /// Whether nothing is left to do.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Skipped)
    }
}

/// A part of a comparison: one of its runs. Serialized, its keys are those of `percept compare plan --json`.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// When it can begin.
    pub stage: Stage,
    /// Its place among the parts of its stage, from 0.
    pub number: usize,
    /// Model and seed, or model and learning rate; a place while the finalists are not known.
    pub label: String,
    /// How it stands.
    pub state: PartState,
    /// Why its run has no result, and never will have.
    pub failure: Option<Failure>,
    /// The runs that it needs and that are not finished.
    pub waits_for: Vec<String>,
    #[serde(skip)]
    task: Option<Task>,
}

impl Part {
    /// The configuration of its run, where that is known.
    pub fn config(&self) -> Option<&RunConfig> {
        self.task.as_ref().map(|task| &task.config)
    }

    /// The folder of its run and the run's fingerprint, where they are known.
    pub(crate) fn run(&self) -> Option<(&Path, &str)> {
        self.task.as_ref().map(|task| (task.folder.as_path(), task.fingerprint.as_str()))
    }

    fn waiting(stage: Stage, number: usize, label: String, waits_for: Vec<String>) -> Self {
        Self { stage, number, label, state: PartState::Waiting, failure: None, waits_for, task: None }
    }

    fn skipped(stage: Stage, number: usize, label: String) -> Self {
        Self { state: PartState::Skipped, ..Self::waiting(stage, number, label, Vec::new()) }
    }

    fn of_task(stage: Stage, number: usize, task: Task) -> Result<Self> {
        let done = task.done()?;
        let state = match &done {
            Some(_) => PartState::Finished,
            None if task.run_folder().is_begun() => PartState::Begun,
            None => PartState::Ready,
        };
        let failure = done.as_ref().and_then(Done::failure);
        Ok(Self { stage, number, label: task.label.clone(), state, failure, waits_for: Vec::new(), task: Some(task) })
    }
}

impl Lineup {
    /// All parts, those of each stage after those of the stage before.
    ///
    /// # Errors
    /// Environment: a file of the folder cannot be read.
    pub fn parts(&self) -> Result<Vec<Part>> {
        let of_stage = |stage: Stage| (0..stage.parts(&self.spec)).map(move |number| (stage, number));
        Stage::ALL.into_iter().flat_map(of_stage).map(|(stage, number)| self.part(stage, number)).collect()
    }

    /// The part of this place in a stage.
    ///
    /// # Errors
    /// Usage: there is none. Environment: a file of the folder cannot be read.
    pub fn part(&self, stage: Stage, number: usize) -> Result<Part> {
        check_number(stage, number, stage.parts(&self.spec))?;
        let models = self.contenders.len();
        match stage {
            Stage::Sweep => {
                let points = self.spec.sweep.as_ref().map_or(1, |sweep| sweep.lr);
                let task = self.sweep_tasks(number / points)?.into_iter().nth(number % points);
                let task = task.ok_or_else(|| Fault::internal(format!("the sweep has no point {number}")))?;
                Part::of_task(stage, number, task)
            }
            Stage::Runs => self.full_part(stage, number, number % models, self.spec.seeds[number / models]),
            Stage::Finalists => self.finalist(number),
        }
    }

    /// Trains a part to its end, from wherever its run stands, and gives the part as it is afterwards: [`PartState::Begun`] where it was asked to
    /// stop, and saved. Of a part that is over nothing is done.
    ///
    /// # Errors
    /// Environment: it needs runs that are not finished, or another process trains it. Else as training.
    pub fn run_part(&self, part: &Part, stop: &AtomicBool, observer: &mut dyn FnMut(Event)) -> Result<Part> {
        let task = match (part.state, &part.task) {
            (PartState::Begun | PartState::Ready, Some(task)) => task,
            (PartState::Waiting, _) => return Err(waits(part)),
            _ => return Ok(part.clone()),
        };
        // Before anything is written: the comparison may lie among its text.
        mark_folder(&self.folder, Made::Comparison)?;
        let (finished, total) = (part.number, part.stage.parts(&self.spec));
        observer(Event::Run { label: task.label.clone(), finished, total });
        let shares = |metrics: &StepMetrics| (task.share(metrics), task.share(metrics));
        let done = task.run(stop, &mut |event| {
            Event::of_training(event, shares).into_iter().for_each(&mut *observer);
        })?;
        if done.is_some() && part.stage == Stage::Sweep {
            // The learning rate is chosen by what it logged; nobody uses its weights.
            task.run_folder().remove_checkpoints()?;
        }
        if let Some(failure) = done.as_ref().and_then(Done::failure) {
            observer(Event::failed(&task.label, &failure));
        }
        Part::of_task(part.stage, part.number, task.clone())
    }

    /// Checks that every run has ended.
    ///
    /// # Errors
    /// Environment: some have not; the message names the first of them.
    pub fn check_finished(&self) -> Result<()> {
        check_over(&self.parts()?)
    }

    /// Where the runs and the report go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The run of a model with a seed, whose learning rate may not be known yet.
    fn full_part(&self, stage: Stage, number: usize, index: usize, seed: u64) -> Result<Part> {
        let label = self.full_label(index, seed);
        match self.learning_rate(index)? {
            Rate::Chosen(rate) => Part::of_task(stage, number, self.task(index, seed, rate, Role::Full)?),
            Rate::Failed(_) => Ok(Part::skipped(stage, number, label)),
            Rate::Unknown => Ok(Part::waiting(stage, number, label, unfinished(self.sweep_tasks(index)?)?)),
        }
    }

    /// A further seed of one of the best models, which are known once every model has its first run.
    fn finalist(&self, number: usize) -> Result<Part> {
        let (stage, places) = (Stage::Finalists, places(&self.spec));
        let (place, seed) = (number % places, self.spec.all_seeds()[self.spec.seeds.len() + number / places]);
        let label = format!("finalist {} seed {seed}", place + 1);
        let mut waits_for = Vec::new();
        for index in 0..self.contenders.len() {
            let first = self.full_part(Stage::Runs, index, index, self.spec.seeds[0])?;
            if !first.state.is_over() {
                waits_for.push(first.label);
            }
        }
        if !waits_for.is_empty() {
            return Ok(Part::waiting(stage, number, label, waits_for));
        }
        match self.finalists()?.get(place) {
            Some(&index) => self.full_part(stage, number, index, seed),
            None => Ok(Part::skipped(stage, number, label)),
        }
    }
}

/// The names of the runs that are not finished.
fn unfinished(tasks: Vec<Task>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for task in tasks {
        if task.done()?.is_none() {
            names.push(task.label);
        }
    }
    Ok(names)
}

/// # Errors
/// Usage: a stage of `parts` parts has no such number.
pub(crate) fn check_number(stage: Stage, number: usize, parts: usize) -> Result<()> {
    if number < parts {
        return Ok(());
    }
    Err(Fault::usage(format!("there is no task {number} in the stage {stage}")).hint(match parts {
        0 => "nothing is to be done in this stage".to_owned(),
        1 => "its only task is 0".to_owned(),
        _ => format!("its tasks are 0 to {}", parts - 1),
    }))
}

/// # Errors
/// Environment: a part is not over; the message names the first of them.
pub(crate) fn check_over(parts: &[Part]) -> Result<()> {
    let open: Vec<String> = parts.iter().filter(|part| !part.state.is_over()).map(|part| part.label.clone()).collect();
    match open.is_empty() {
        true => Ok(()),
        false => Err(Fault::environment(format!(
            "{} of {} runs are not finished: {}",
            open.len(),
            parts.len(),
            named(&open)
        ))
        .hint("`plan` says how each stands, and `run --task N` trains one")),
    }
}

fn waits(part: &Part) -> Fault {
    Fault::environment(format!("{} waits for runs that are not finished: {}", part.label, named(&part.waits_for)))
        .hint("let the tasks of the stages before it end first; a scheduler may try this one again later")
}

/// The first of some names, and how many more there are.
fn named(names: &[String]) -> String {
    let first = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
