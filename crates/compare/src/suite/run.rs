//! The order of the work: problem after problem, first the comparison, then the examination of its runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use percept_data::{Made, mark_folder};
use percept_fault::{Fault, Result};
use percept_train::{RunFolder, Which, load_run};
use serde::{Deserialize, Serialize};

use super::SUITE;
use super::exam::examine;
use super::plan::{Entry, Suite};
use super::result::{ExamAt, LengthChance, ModeResult, ModelExams, RunExam, SuiteReport, TaskResult};
use crate::comparison::{read_json, write_json};
use crate::report::write_views;
use crate::{Comparison, Ended, Event, Failure, Lineup, Purpose, RunResult, State};

/// What a run got right, in its folder.
const EXAM: &str = "exam.json";

/// How a suite ended.
#[derive(Debug)]
pub enum SuiteEnded {
    /// Everything is done.
    Finished(SuiteReport),
    /// It was asked to stop, and saved; the report so far.
    Interrupted(SuiteReport),
}

/// What a suite tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum SuiteEvent {
    /// The comparison on a problem begins or goes on.
    Problem {
        /// The problem and its mode.
        label: String,
        /// Comparisons finished.
        done: usize,
        /// Comparisons in all.
        total: usize,
    },
    /// What that comparison tells.
    Comparison(Event),
    /// A run is being examined.
    Exam {
        /// Problem, mode, model and seed.
        label: String,
    },
}

/// An examination, and what it is of.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The fingerprint of the run, and what was asked.
    key: String,
    lengths: Vec<ExamAt>,
}

impl Suite {
    /// Trains and examines whatever is not yet, and writes [`SUITE`] after every problem.
    ///
    /// `stop`: once true, the run under way saves, and the suite ends as [`SuiteEnded::Interrupted`]; called again it goes on from there.
    ///
    /// A run that diverges is a result: it has no figure, and the suite goes on without it.
    ///
    /// # Errors
    /// Usage: `folder` is that of a run. Else as [`Lineup::new`] and [`Lineup::run`].
    pub fn run(&self, folder: &Path, stop: &AtomicBool, observer: &mut dyn FnMut(SuiteEvent)) -> Result<SuiteEnded> {
        check_no_run(folder)?;
        mark_folder(folder, Made::Comparison)?;
        let mut report = self.empty_report()?;
        for (done, entry) in self.entries.iter().enumerate() {
            observer(SuiteEvent::Problem { label: entry.label(), done, total: self.entries.len() });
            let Some(models) = self.trained_and_examined(entry, folder, stop, observer)? else {
                write_json(&folder.join(SUITE), &report)?;
                return Ok(SuiteEnded::Interrupted(report));
            };
            self.add(&mut report, entry, models);
            write_json(&folder.join(SUITE), &report)?;
        }
        report.state = State::Finished;
        write_json(&folder.join(SUITE), &report)?;
        Ok(SuiteEnded::Finished(report))
    }

    /// The models on one problem; `None` where they were asked to stop.
    fn trained_and_examined(
        &self,
        entry: &Entry,
        folder: &Path,
        stop: &AtomicBool,
        observer: &mut dyn FnMut(SuiteEvent),
    ) -> Result<Option<Vec<ModelExams>>> {
        let own = folder.join(entry.folder());
        let lineup = Lineup::new(entry.spec(&self.spec), &own, Purpose::Run, &mut |_| {})?;
        let ended = lineup.run(stop, &mut |event| observer(SuiteEvent::Comparison(event)))?;
        let (Ended::Finished(comparison) | Ended::Interrupted(comparison)) = &ended;
        write_views(&own, &comparison.clone().into())?;
        match &ended {
            Ended::Finished(comparison) => self.exams(entry, &own, comparison, stop, observer),
            Ended::Interrupted(_) => Ok(None),
        }
    }

    fn empty_report(&self) -> Result<SuiteReport> {
        let questions = &self.questions;
        Ok(SuiteReport {
            format: 1,
            name: self.spec.name.clone(),
            state: State::Unfinished,
            length: questions.length,
            beyond: questions.longest(),
            exercises: questions.exercises,
            budget: self.spec.budget()?,
            tasks: Vec::new(),
        })
    }

    /// Puts the models of an entry into the report, under its problem.
    fn add(&self, report: &mut SuiteReport, entry: &Entry, models: Vec<ModelExams>) {
        if report.tasks.last().is_none_or(|task| task.name != entry.task) {
            let chance = |&length| LengthChance { length, chance: entry.problem.chance(length) };
            report.tasks.push(TaskResult {
                name: entry.task.clone(),
                class: entry.problem.class().name().to_owned(),
                chance: entry.lengths.iter().map(chance).collect(),
                modes: Vec::new(),
            });
        }
        if let Some(task) = report.tasks.last_mut() {
            let mode = entry.mode.name().to_owned();
            task.modes.push(ModeResult { mode, folder: entry.folder().into(), models });
        }
    }

    /// The examinations of all runs of a comparison; `None` where it was asked to stop.
    fn exams(
        &self,
        entry: &Entry,
        folder: &Path,
        comparison: &Comparison,
        stop: &AtomicBool,
        observer: &mut dyn FnMut(SuiteEvent),
    ) -> Result<Option<Vec<ModelExams>>> {
        let mut models = Vec::new();
        let named = |name: &str| comparison.models.iter().find(|model| model.name == name);
        for model in self.spec.models.iter().filter_map(|model| named(&model.name)) {
            let mut runs = Vec::new();
            for run in &model.runs {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                observer(SuiteEvent::Exam { label: format!("{} {} seed {}", entry.label(), model.name, run.seed) });
                runs.push(self.exam(entry, folder, run)?);
            }
            let failure = model.failure.as_ref().map(Failure::in_words);
            models.push(ModelExams { name: model.name.clone(), failure, runs });
        }
        Ok(Some(models))
    }

    /// The examination of one run: found in its folder, or made.
    fn exam(&self, entry: &Entry, folder: &Path, run: &RunResult) -> Result<RunExam> {
        let lengths = match run.failure {
            Some(_) => Vec::new(),
            None => self.kept_or_examined(entry, &folder.join(&run.folder), &run.fingerprint)?,
        };
        Ok(RunExam {
            seed: run.seed,
            folder: Path::new(&entry.folder()).join(&run.folder),
            failure: run.failure.as_ref().map(Failure::in_words),
            lengths,
        })
    }

    /// The examination that a run's folder holds of what is asked now.
    pub(super) fn kept(&self, entry: &Entry, run: &Path, fingerprint: &str) -> Result<Option<Vec<ExamAt>>> {
        let kept: Option<Kept> = read_json(&run.join(EXAM))?;
        Ok(kept.filter(|kept| kept.key == self.key(entry, fingerprint)).map(|kept| kept.lengths))
    }

    pub(super) fn kept_or_examined(&self, entry: &Entry, run: &Path, fingerprint: &str) -> Result<Vec<ExamAt>> {
        if let Some(lengths) = self.kept(entry, run, fingerprint)? {
            return Ok(lengths);
        }
        let lengths = self.examined(entry, run)?;
        write_json(&run.join(EXAM), &Kept { key: self.key(entry, fingerprint), lengths: lengths.clone() })?;
        Ok(lengths)
    }

    /// Everything that an examination depends on.
    fn key(&self, entry: &Entry, fingerprint: &str) -> String {
        let exercises = self.questions.exercises;
        format!("exam 1 {fingerprint} {:?} {:?} {exercises}", entry.problem, entry.lengths)
    }

    fn examined(&self, entry: &Entry, run: &Path) -> Result<Vec<ExamAt>> {
        let loaded = load_run(run, Which::Best, &Default::default())?;
        let document_token = loaded.tokenizer.document_token();
        let model = Arc::new(loaded.model.into());
        let problems = entry.lengths.iter().filter_map(|&length| entry.problem.of_length(length));
        problems.map(|problem| examine(&model, document_token, &problem, self.questions.exercises)).collect()
    }
}

/// # Errors
/// Usage: `folder` is that of a run.
pub(super) fn check_no_run(folder: &Path) -> Result<()> {
    match RunFolder::new(folder).is_begun() {
        true => Err(Fault::usage(format!("{} already holds a run", folder.display())).hint("choose another folder")),
        false => Ok(()),
    }
}
