//! The order of the work: sweeps, full runs seed by seed, finalists, the timing of steps, and at the very end the test text.
//!
//! What is done is read from the folder every time, so an interrupted comparison goes on where it was.

use std::sync::atomic::{AtomicBool, Ordering};

use percept_data::{Made, Split, mark_folder};
use percept_fault::Result;
use percept_train::{DeviceChoice, Event as TrainEvent, StepMetrics, ValidationMetrics, Which, load_run};

use super::assemble::{Baselines, assemble};
use super::lineup::Lineup;
use super::result::{Comparison, TestResult};
use super::task::{Done, End, Task, read_json, write_json};
use percept_score::{CorpusTexts, Limits, ModelScorer, score};

/// The report's name in the folder of a comparison.
pub const REPORT: &str = "report.json";

/// The score of the test text, in the folder of a run.
const TEST: &str = "test.json";

/// What a comparison tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A run begins or goes on.
    Run {
        /// Model and seed, or model and learning rate.
        label: String,
        /// Runs finished.
        finished: usize,
        /// Runs in all, as far as they are known.
        total: usize,
    },
    /// A line of metrics of the run under way.
    Step {
        /// The line.
        metrics: StepMetrics,
        /// Share of this run, from 0 to 1.
        run: f64,
        /// Share of all training, from 0 to 1.
        whole: f64,
    },
    /// A validation of the run under way.
    Validation(ValidationMetrics),
    /// Something that the user should know; the run goes on.
    Warning(String),
    /// Training steps of all models are being timed side by side.
    Timing {
        /// The model whose turn it is.
        label: String,
        /// Steps taken.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// The test text is being scored.
    Scoring {
        /// Model and seed.
        label: String,
        /// Targets scored.
        done: u64,
        /// Targets in all.
        total: u64,
    },
}

/// How a comparison ended.
#[derive(Debug)]
pub enum Ended {
    /// Everything is done.
    Finished(Comparison),
    /// It was asked to stop, and saved; the report so far.
    Interrupted(Comparison),
}

/// Asked to stop.
struct Stopped;

/// What is done so far, and where to tell it.
struct Work<'a> {
    lineup: &'a Lineup,
    stop: &'a AtomicBool,
    observer: &'a mut dyn FnMut(Event),
    baselines: Baselines,
    finished: usize,
    done: f64,
    total: f64,
    runs: usize,
}

impl Lineup {
    /// Trains whatever is not trained yet, times the models side by side, scores the test text, and writes [`REPORT`] after every run.
    ///
    /// `stop`: once true, the run under way finishes its step, saves, and the comparison
    /// ends as [`Ended::Interrupted`].
    ///
    /// A run that diverges, or whose model gives no probabilities for the test text, is a result: the comparison goes on without it.
    ///
    /// # Errors
    /// As training and scoring.
    pub fn run(&self, stop: &AtomicBool, observer: &mut dyn FnMut(Event)) -> Result<Ended> {
        // Before anything is written: the comparison may lie among its text.
        mark_folder(&self.folder, Made::Comparison)?;
        let (runs, total) = self.expected_work()?;
        let baselines = Baselines::fit(self)?;
        let mut work = Work { lineup: self, stop, observer, baselines, finished: 0, done: 0.0, total, runs };
        let stopped = work.everything()?.is_err();
        let comparison = work.report()?;
        Ok(if stopped { Ended::Interrupted(comparison) } else { Ended::Finished(comparison) })
    }

    /// Number of runs and their work in all. Which models become finalists is not known yet: theirs counts as the mean.
    pub(super) fn expected_work(&self) -> Result<(usize, f64)> {
        let (mut runs, mut total, mut of_one_seed) = (0, 0.0, 0.0);
        for index in 0..self.contenders.len() {
            for task in self.sweep_tasks(index)? {
                (runs, total) = (runs + 1, total + task.work);
            }
            for &seed in &self.spec.seeds {
                let rate = self.contenders[index].config.train.learning_rate;
                let task = self.task(index, seed, rate, super::lineup::Stage::Full)?;
                (runs, total, of_one_seed) = (runs + 1, total + task.work, of_one_seed + task.work);
            }
        }
        let models = self.contenders.len();
        let mean = of_one_seed / (models * self.spec.seeds.len()).max(1) as f64;
        let more = self.spec.finalists.as_ref().map_or(0, |more| more.models.min(models) * more.seeds.len());
        Ok((runs + more, total + mean * more as f64))
    }
}

impl Work<'_> {
    fn everything(&mut self) -> Result<Result<(), Stopped>> {
        let models = 0..self.lineup.contenders.len();
        for index in models.clone() {
            let tasks = self.lineup.sweep_tasks(index)?;
            for task in &tasks {
                if self.train(task)?.is_err() {
                    return Ok(Err(Stopped));
                }
            }
            // The learning rate is chosen by what they logged; nobody uses their weights.
            for task in &tasks {
                task.run_folder().remove_checkpoints()?;
            }
        }
        for &seed in &self.lineup.spec.seeds {
            if self.full_runs(models.clone(), seed)?.is_err() {
                return Ok(Err(Stopped));
            }
        }
        let finalists = self.lineup.finalists()?;
        for seed in self.lineup.spec.finalists.iter().flat_map(|finalists| &finalists.seeds) {
            if self.full_runs(finalists.iter().copied(), *seed)?.is_err() {
                return Ok(Err(Stopped));
            }
        }
        if self.time()?.is_err() {
            return Ok(Err(Stopped));
        }
        // Every choice is made: only now is the test text read.
        for index in models {
            for seed in self.lineup.seeds(index, &finalists) {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(Err(Stopped));
                }
                if let Some(task) = self.lineup.full_task(index, seed)? {
                    self.test(&task)?;
                }
            }
        }
        Ok(Ok(()))
    }

    fn full_runs(&mut self, models: impl Iterator<Item = usize>, seed: u64) -> Result<Result<(), Stopped>> {
        for index in models {
            let Some(task) = self.lineup.full_task(index, seed)? else { continue };
            if self.train(&task)?.is_err() {
                return Ok(Err(Stopped));
            }
        }
        Ok(Ok(()))
    }

    /// Brings a run to its end.
    fn train(&mut self, task: &Task) -> Result<Result<(), Stopped>> {
        if task.done()?.is_none() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Err(Stopped));
            }
            let (finished, total) = (self.finished, self.runs);
            (self.observer)(Event::Run { label: task.label.clone(), finished, total });
            let (done, all, observer) = (self.done, self.total, &mut *self.observer);
            let ended = task.run(self.stop, &mut |event| match event {
                TrainEvent::Step(metrics) => {
                    let run = task.share(&metrics);
                    observer(Event::Step { metrics, run, whole: (done + run * task.work) / all });
                }
                TrainEvent::Validation(metrics) => observer(Event::Validation(metrics)),
                TrainEvent::Warning(warning) => observer(Event::Warning(warning)),
                _ => {}
            })?;
            let Some(ended) = ended else { return Ok(Err(Stopped)) };
            self.warn_of(task, &ended);
            (self.finished, self.done) = (self.finished + 1, self.done + task.work);
            self.report()?;
            return Ok(Ok(()));
        }
        (self.finished, self.done) = (self.finished + 1, self.done + task.work);
        Ok(Ok(()))
    }

    /// Times a training step of every model, unless that is done.
    fn time(&mut self) -> Result<Result<(), Stopped>> {
        if self.lineup.timed()?.is_empty() || self.lineup.timing()?.is_some() {
            return Ok(Ok(()));
        }
        if self.lineup.time(self.stop, self.observer)?.is_none() {
            return Ok(Err(Stopped));
        }
        self.report()?;
        Ok(Ok(()))
    }

    /// Scores the test text with the best checkpoint, unless that is done.
    fn test(&mut self, task: &Task) -> Result<()> {
        let lineup = self.lineup;
        let parts = lineup.dataset.parts(Split::Test);
        let Some(done) = task.done()?.filter(|done| done.end == End::Budget) else { return Ok(()) };
        if test_result(lineup, task)?.is_some() {
            return Ok(());
        }
        let (device, _) = task.config.train.device.parse::<DeviceChoice>()?.open()?;
        let run = load_run(&task.folder, Which::Best, &device)?;
        for warning in &run.warnings {
            (self.observer)(Event::Warning(format!("{}: {warning}", task.label)));
        }
        let texts = CorpusTexts::of_parts(lineup.dataset.tokenizer(), parts);
        let scorer = ModelScorer::new(&task.label, &run.model);
        let all = lineup.dataset.size(Split::Test).tokens;
        let total = lineup.spec.test_limit.map_or(all, |limit| all.min(limit as u64));
        let scored = score(&scorer, &texts, lineup.protocol(), &limits(lineup), &mut |progress| {
            let done = progress.tally.targets;
            (self.observer)(Event::Scoring { label: task.label.clone(), done, total });
        });
        let score = match scored {
            Ok(score) => score,
            Err(fault) if fault.is_check() => {
                let done = task.cannot_be_scored(done, &fault)?;
                self.warn_of(task, &done);
                return self.report().map(drop);
            }
            Err(fault) => return Err(fault.at(&format!("{}: ", task.label))),
        };
        let result = TestResult {
            protocol: score.protocol,
            step: run.step,
            nll: score.nll,
            targets: score.targets,
            token_perplexity: score.token_perplexity,
            word_perplexity: score.word_perplexity,
            bits_per_byte: score.bits_per_byte,
            bits_per_character: score.bits_per_character,
        };
        write_json(&task.folder.join(TEST), &result)?;
        self.report().map(drop)
    }

    /// Says that a run has no result, if that is so.
    fn warn_of(&mut self, task: &Task, done: &Done) {
        if let Some(failure) = done.failure() {
            let text = format!("{}: {}; the comparison goes on without it", task.label, failure.message);
            (self.observer)(Event::Warning(text));
        }
    }

    /// Writes the report as it is now.
    fn report(&self) -> Result<Comparison> {
        let comparison = assemble(self.lineup, &self.baselines)?;
        write_json(&self.lineup.folder.join(REPORT), &comparison)?;
        Ok(comparison)
    }
}

/// The score of a run on the test text, if there is one under the protocol of this comparison.
pub(super) fn test_result(lineup: &Lineup, task: &Task) -> Result<Option<TestResult>> {
    let result: Option<TestResult> = read_json(&task.folder.join(TEST))?;
    let protocol = format!("{}{}", lineup.protocol(), limits(lineup));
    Ok(result.filter(|result| result.protocol == protocol))
}

fn limits(lineup: &Lineup) -> Limits {
    Limits { tokens: lineup.spec.test_limit, ..Limits::default() }
}
