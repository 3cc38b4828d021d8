//! The order of the work: the configuration that a search starts from, then one trial after another.
//!
//! Nothing is kept but the runs themselves and the report: a search is repeated from its first trial every time, and what is trained is found in
//! the folder. So it goes on wherever it was killed, and more trials can be added to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use percept_data::{Made, mark_folder};
use percept_fault::{Fault, Result};
use percept_train::{Event as TrainEvent, RunFolder};
use percept_tune::{Method, Outcome, Search, Stage, Trial};

use super::TUNE;
use super::candidate::{Candidate, Judged};
use super::ready::Tuning;
use super::result::{AxisInfo, Status, TrialResult, TuneReport, json, shown};
use super::spec::Strategy;
use super::tabulate::write_table;
use crate::comparison::halt::Halt;
use crate::comparison::{machine, text, write_json};
use crate::{Event, State};

/// How a search ended.
#[derive(Debug)]
pub enum TuneEnded {
    /// All trials are done.
    Finished(TuneReport),
    /// It was asked to stop, and saved; the report so far.
    Interrupted(TuneReport),
}

/// What is done so far, and where to tell it.
struct Work<'a> {
    tuning: &'a Tuning,
    stop: &'a AtomicBool,
    observer: &'a mut dyn FnMut(Event),
    report: TuneReport,
    /// Steps and seconds of each run that earlier trials of this search took.
    paid: BTreeMap<String, (u64, f64)>,
    /// Trials in all, with the start.
    total: usize,
    done: usize,
    /// Whether something was trained that the report does not hold yet.
    unsaved: bool,
}

impl Tuning {
    /// Runs whatever trials are not done yet, and writes [`TUNE`] after each; of a grid also its table.
    ///
    /// `stop`: once true, the run under way saves, and the search ends as [`TuneEnded::Interrupted`]; called again it goes on from there, and finds
    /// the same.
    ///
    /// A trial that diverges, or can't be trained, is a result: it is counted, the algorithm is told, and the search goes on.
    ///
    /// # Errors
    /// As training, where the machine is at fault and no configuration.
    pub fn run(&self, stop: &AtomicBool, observer: &mut dyn FnMut(Event)) -> Result<TuneEnded> {
        // Before anything is written: the folder may lie among its text.
        mark_folder(&self.folder, Made::Comparison)?;
        let report = self.empty_report();
        let start = usize::from(self.spec.strategy != Strategy::Grid);
        let total = report.planned as usize + start;
        let paid = BTreeMap::new();
        let mut work = Work { tuning: self, stop, observer, report, paid, total, done: 0, unsaved: false };
        let ended = match &self.spec.strategy {
            Strategy::Search(method) => work.search(method),
            Strategy::Grid => work.grid(),
        };
        let interrupted = match ended {
            Ok(()) => false,
            Err(Halt::Asked) => true,
            Err(Halt::Fault(fault)) => return Err(fault),
        };
        if !interrupted {
            work.report.state = State::Finished;
        }
        work.save()?;
        let report = work.report;
        Ok(if interrupted { TuneEnded::Interrupted(report) } else { TuneEnded::Finished(report) })
    }

    fn empty_report(&self) -> TuneReport {
        let spec = &self.spec;
        TuneReport {
            format: 1,
            name: spec.name.clone(),
            state: State::Unfinished,
            preset: spec.preset.clone(),
            metric: spec.metric,
            budget: self.budget,
            strategy: spec.strategy.clone(),
            halving: spec.halving,
            seed: spec.seed,
            seeds: spec.seeds.clone(),
            parameters: spec.parameters,
            planned: self.planned(),
            space: AxisInfo::all(&spec.space),
            corpus: text::corpus(&self.dataset),
            environment: machine::described(&self.environment),
            start: None,
            trials: Vec::new(),
            best: None,
            effects: None,
        }
    }

    /// Trials in all.
    pub(super) fn planned(&self) -> u64 {
        match self.spec.strategy {
            Strategy::Search(_) => self.spec.trials,
            Strategy::Grid => self.spec.grid_runs() as u64,
        }
    }

    /// The seed that a trial is trained with; what is promoted keeps it.
    fn seed_of(&self, number: u64) -> u64 {
        let seeds = &self.spec.seeds;
        let draw = percept_random::hash(&[self.spec.seed, number]);
        seeds[percept_random::below(seeds.len() as u64, &[draw]) as usize]
    }

    /// The rung of the whole budget.
    fn last_rung(&self) -> u32 {
        self.spec.halving.rungs - 1
    }
}

impl Work<'_> {
    fn search(&mut self, method: &Method) -> Result<(), Halt> {
        let spec = &self.tuning.spec;
        let mut search = Search::new(spec.space.clone(), method.clone(), spec.halving, spec.seed)?;
        let whole = Trial { number: 0, point: Vec::new(), rung: self.tuning.last_rung(), fraction: 1.0 };
        let (start, _) = self.trial(&whole, None, spec.seeds[0])?;
        self.report.start = Some(start);
        while (self.report.trials.len() as u64) < spec.trials {
            let trial = search.next();
            let (result, _) = self.trial(&trial, Some(&trial.point), self.tuning.seed_of(trial.number))?;
            search.tell(&trial, result.outcome())?;
            self.keep(result)?;
        }
        Ok(())
    }

    fn grid(&mut self) -> Result<(), Halt> {
        let spec = &self.tuning.spec;
        let mut stages = Vec::with_capacity(spec.grid_runs());
        for (number, index) in (0..spec.grid_runs()).map(|run| (run, run / spec.seeds.len())) {
            let point = spec.space.point(index);
            let trial = Trial { number: number as u64, point, rung: self.tuning.last_rung(), fraction: 1.0 };
            let (result, candidate) = self.trial(&trial, Some(&trial.point), spec.seeds[number % spec.seeds.len()])?;
            stages.push(self.stages(candidate.as_ref())?);
            self.keep(result)?;
        }
        if self.report.count(Status::Finished) > 0 {
            write_table(&self.tuning.folder, &spec.space, spec.seeds.len(), spec.halving, &stages)?;
        }
        Ok(())
    }

    /// What a run of a grid gave at each rung; none where it can't be trained.
    fn stages(&self, candidate: Option<&Candidate>) -> Result<Vec<Stage>> {
        let spec = &self.tuning.spec;
        let stage = |rung: u32| {
            let fraction = spec.halving.fraction(rung);
            let failed = Stage { fraction, cost: 0.0, outcome: Outcome::Failed };
            let Some(candidate) = candidate else { return Ok(failed) };
            let judged = candidate.judged(rung, spec.metric)?;
            Ok(judged.map_or(failed, |judged| Stage {
                cost: judged.steps as f64 * candidate.flops_per_step,
                outcome: judged.outcome,
                ..failed
            }))
        };
        (0..spec.halving.rungs).map(stage).collect()
    }

    /// Brings a trial to its end; with its run, where there is one.
    fn trial(
        &mut self,
        trial: &Trial,
        point: Option<&[usize]>,
        seed: u64,
    ) -> Result<(TrialResult, Option<Candidate>), Halt> {
        let candidate = match self.tuning.candidate(point, seed) {
            Ok(candidate) => candidate,
            Err(fault) => return Ok((self.failed(trial, seed, fault)?, None)),
        };
        let metric = self.tuning.spec.metric;
        if candidate.judged(trial.rung, metric)?.is_none() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Halt::Asked);
            }
            self.unsaved = true;
            if let Err(fault) = self.train(trial, point, &candidate) {
                return Ok((self.failed(trial, seed, fault)?, Some(candidate)));
            }
            let told = candidate.judged(trial.rung, metric)?;
            self.warn(trial, told.as_ref().and_then(|judged| judged.message.as_deref()));
        }
        let judged = candidate.judged(trial.rung, metric)?.ok_or(Halt::Asked)?;
        self.done += 1;
        Ok((self.told(trial, seed, &candidate, judged), Some(candidate)))
    }

    fn train(&mut self, trial: &Trial, point: Option<&[usize]>, candidate: &Candidate) -> Result<()> {
        let label = self.label(trial, point);
        (self.observer)(Event::Run { label, finished: self.done, total: self.total });
        let (done, total, observer) = (self.done as f64, self.total as f64, &mut *self.observer);
        candidate.train(trial.rung, self.stop, &mut |event| match event {
            TrainEvent::Step(metrics) => {
                let run = candidate.share(trial.rung, &metrics);
                observer(Event::Step { metrics, run, whole: (done + run) / total });
            }
            TrainEvent::Validation(metrics) => observer(Event::Validation(metrics)),
            TrainEvent::Warning(warning) => observer(Event::Warning(warning)),
            _ => {}
        })
    }

    /// What messages call a trial: its number, its rung where there are several, and its values.
    fn label(&self, trial: &Trial, point: Option<&[usize]>) -> String {
        let Some(point) = point else { return "start".to_owned() };
        let spec = &self.tuning.spec;
        let short = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let values: Vec<String> =
            spec.space.values(point).map(|(key, value)| format!("{}={}", short(key), shown(&json(value)))).collect();
        let rung = if spec.halving.rungs > 1 { format!(" rung {}", trial.rung) } else { String::new() };
        format!("trial {}{rung}: {}", trial.number, values.join(" "))
    }

    fn warn(&mut self, trial: &Trial, message: Option<&str>) {
        if let Some(message) = message {
            let text = format!("trial {}: {message}; it is counted, and the search goes on", trial.number);
            (self.observer)(Event::Warning(text));
        }
    }

    /// A trial that can't be trained.
    ///
    /// # Errors
    /// The fault itself where another configuration would not mend it: the machine's, or an interruption.
    fn failed(&mut self, trial: &Trial, seed: u64, fault: Fault) -> Result<TrialResult, Halt> {
        if !(fault.is_usage() || fault.is_check() || fault.kind() == percept_fault::Kind::Internal) {
            return Err(if self.stop.load(Ordering::Relaxed) { Halt::Asked } else { Halt::Fault(fault) });
        }
        self.done += 1;
        Ok(TrialResult { message: Some(fault.to_string()), ..self.blank(trial, seed) })
    }

    /// A trial as it was judged.
    fn told(&mut self, trial: &Trial, seed: u64, candidate: &Candidate, judged: Judged) -> TrialResult {
        let task = candidate.task();
        let folder = task.folder.strip_prefix(&self.tuning.folder).map_or_else(|_| task.folder.clone(), Into::into);
        let (steps, seconds) = self.paid.get(&task.fingerprint).copied().unwrap_or_default();
        self.paid.insert(task.fingerprint.clone(), (judged.steps.max(steps), judged.seconds.max(seconds)));
        TrialResult {
            folder: Some(folder),
            status: match judged.outcome {
                Outcome::Finished(_) => Status::Finished,
                Outcome::Diverged => Status::Diverged,
                Outcome::Failed => Status::Failed,
            },
            metric: judged.outcome.value(),
            message: judged.message,
            parameters: Some(candidate.parameters),
            steps: judged.steps,
            flops: judged.steps.saturating_sub(steps) as f64 * candidate.flops_per_step,
            seconds: (judged.seconds - seconds).max(0.0),
            ..self.blank(trial, seed)
        }
    }

    /// A trial of which nothing is known.
    fn blank(&self, trial: &Trial, seed: u64) -> TrialResult {
        let values = self.tuning.spec.space.values(&trial.point);
        TrialResult {
            number: trial.number,
            rung: trial.rung,
            fraction: trial.fraction,
            point: trial.point.clone(),
            values: values.map(|(key, value)| (key.to_owned(), json(value))).collect(),
            seed,
            folder: None,
            status: Status::Failed,
            metric: None,
            message: None,
            parameters: None,
            steps: 0,
            flops: 0.0,
            seconds: 0.0,
        }
    }

    /// Adds a trial to the report, which is written where there is something new in it.
    fn keep(&mut self, result: TrialResult) -> Result<()> {
        self.report.trials.push(result);
        if std::mem::take(&mut self.unsaved) { self.save() } else { Ok(()) }
    }

    /// Writes the report as it is now.
    fn save(&mut self) -> Result<()> {
        self.report.conclude(&self.tuning.spec.space);
        write_json(&self.tuning.folder.join(TUNE), &self.report)?;
        self.forget()
    }

    /// Removes the weights of the runs that have had the whole budget, but for the best: nothing goes on from them.
    fn forget(&self) -> Result<()> {
        let best = self.report.best().and_then(|best| best.folder.as_ref());
        let whole = self.report.start.iter().chain(&self.report.trials).filter(|trial| trial.fraction == 1.0);
        let folders = whole.filter_map(|trial| trial.folder.as_ref()).filter(|folder| Some(*folder) != best);
        folders.into_iter().try_for_each(|folder| RunFolder::new(self.tuning.folder.join(folder)).remove_checkpoints())
    }
}
