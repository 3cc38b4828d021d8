//! The order of the work: sweeps, full runs seed by seed, finalists, the timing of steps, and at the very end the test text.
//!
//! What is done is read from the folder every time, so an interrupted comparison goes on where it was.

use std::sync::atomic::{AtomicBool, Ordering};

use percept_data::{Made, Split, mark_folder};
use percept_fault::Result;
use percept_train::{DeviceChoice, StepMetrics, Which, load_run};

use super::assemble::{Baselines, assemble};
use super::event::Event;
use super::halt::Halt;
use super::lineup::Lineup;
use super::result::{Comparison, TestResult};
use super::task::{Done, End, Task, write_json};
use super::test_text::{TEST, limits, test_result};
use percept_score::{CorpusTexts, ModelScorer, score};

/// The report's name in the folder of a comparison.
pub const REPORT: &str = "report.json";

/// How a comparison ended.
#[derive(Debug)]
pub enum Ended {
    /// Everything is done.
    Finished(Comparison),
    /// It was asked to stop, and saved; the report so far.
    Interrupted(Comparison),
}

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
        match work.everything() {
            Ok(()) => Ok(Ended::Finished(work.report()?)),
            Err(Halt::Asked) => Ok(Ended::Interrupted(work.report()?)),
            Err(Halt::Fault(fault)) => Err(fault),
        }
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
                let task = self.task(index, seed, rate, super::runs::Role::Full)?;
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
    fn everything(&mut self) -> Result<(), Halt> {
        let models = 0..self.lineup.contenders.len();
        for index in models.clone() {
            let tasks = self.lineup.sweep_tasks(index)?;
            for task in &tasks {
                self.train(task)?;
            }
            // The learning rate is chosen by what they logged; nobody uses their weights.
            for task in &tasks {
                task.run_folder().remove_checkpoints()?;
            }
        }
        for &seed in &self.lineup.spec.seeds {
            self.full_runs(models.clone(), seed)?;
        }
        let finalists = self.lineup.finalists()?;
        for seed in self.lineup.spec.finalists.iter().flat_map(|finalists| &finalists.seeds) {
            self.full_runs(finalists.iter().copied(), *seed)?;
        }
        self.time()?;
        // Every choice is made: only now is the test text read.
        for index in models {
            for seed in self.lineup.seeds(index, &finalists) {
                self.go_on()?;
                if let Some(task) = self.lineup.full_task(index, seed)? {
                    self.test(&task)?;
                }
            }
        }
        Ok(())
    }

    /// Whether nobody asked to stop.
    fn go_on(&self) -> Result<(), Halt> {
        if self.stop.load(Ordering::Relaxed) { Err(Halt::Asked) } else { Ok(()) }
    }

    fn full_runs(&mut self, models: impl Iterator<Item = usize>, seed: u64) -> Result<(), Halt> {
        for index in models {
            let Some(task) = self.lineup.full_task(index, seed)? else { continue };
            self.train(&task)?;
        }
        Ok(())
    }

    /// Brings a run to its end.
    fn train(&mut self, task: &Task) -> Result<(), Halt> {
        if task.done()?.is_none() {
            self.go_on()?;
            let (finished, total) = (self.finished, self.runs);
            (self.observer)(Event::Run { label: task.label.clone(), finished, total });
            let (done, all, observer) = (self.done, self.total, &mut *self.observer);
            let shares = |metrics: &StepMetrics| {
                let run = task.share(metrics);
                (run, (done + run * task.work) / all)
            };
            let ended = task.run(self.stop, &mut |event| {
                Event::of_training(event, shares).into_iter().for_each(&mut *observer);
            })?;
            let ended = ended.ok_or(Halt::Asked)?;
            self.warn_of(task, &ended);
            (self.finished, self.done) = (self.finished + 1, self.done + task.work);
            self.report()?;
            return Ok(());
        }
        (self.finished, self.done) = (self.finished + 1, self.done + task.work);
        Ok(())
    }

    /// Times a training step of every model, unless that is done.
    fn time(&mut self) -> Result<(), Halt> {
        if self.lineup.timed()?.is_empty() || self.lineup.timing()?.is_some() {
            return Ok(());
        }
        self.lineup.time(self.stop, self.observer)?.ok_or(Halt::Asked)?;
        self.report()?;
        Ok(())
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
            (self.observer)(Event::failed(&task.label, &failure));
        }
    }

    /// Writes the report as it is now.
    fn report(&self) -> Result<Comparison> {
        let comparison = assemble(self.lineup, &self.baselines)?;
        write_json(&self.lineup.folder.join(REPORT), &comparison)?;
        Ok(comparison)
    }
}
