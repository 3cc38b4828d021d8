//! The run of a configuration: trained up to a rung, judged there, and gone on with.

use std::sync::atomic::{AtomicBool, Ordering};

use percept_fault::{Fault, Result};
use percept_train::{Event, Metrics, StepMetrics, ValidationMetrics};
use percept_tune::{Halving, Outcome};

use super::ready::Tuning;
use super::spec::Metric;
use crate::comparison::steps::{flops_per_step, steps};
use crate::comparison::task::{Task, fingerprint};

/// Most steps between two lines of metrics: an interruption is noticed there.
const LOG_EVERY: u64 = 4;
/// Checkpoints of a trial, about: so much of it is lost at most where the process is killed.
const CHECKPOINTS: u64 = 10;

/// A configuration that can be trained.
#[derive(Debug)]
pub(super) struct Candidate {
    task: Task,
    /// Steps done after each rung, the last those of the whole budget.
    stages: Vec<u64>,
    pub(super) flops_per_step: f64,
    pub(super) parameters: u64,
}

/// What came of a run up to a rung.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    /// Steps done, up to the divergence where it is one.
    pub(super) steps: u64,
    /// Seconds of training so far.
    pub(super) seconds: f64,
    /// What the program said where there is no metric.
    pub(super) message: Option<String>,
}

impl Candidate {
    pub(super) fn new(tuning: &Tuning, point: Option<&[usize]>, seed: u64) -> Result<Self> {
        let (mut config, plan) = tuning.configured(point)?;
        config.train.seed = seed;
        let stages = stages(steps(&tuning.budget, &config, &plan, &tuning.dataset)?, tuning.spec.halving)?;
        let (first, last) = (stages[0], stages[stages.len() - 1]);
        let train = &mut config.train;
        (train.steps, train.warmup) = (last, train.warmup.min(last / 10));
        train.validate_every = first;
        train.log_every = first.min(LOG_EVERY);
        // Every rung's end is saved.
        train.checkpoint_every = if first < last { first } else { (last / CHECKPOINTS).max(1) };
        // A run that is judged at other steps has other lines of metrics.
        let judged = format!("{} judged at {stages:?}", tuning.text_hash);
        let fingerprint = fingerprint(&config, &judged, &tuning.budget)?;
        let name = point.map_or("start".to_owned(), |point| format!("point-{:05}", tuning.spec.space.index(point)));
        let folder = tuning.folder.join("runs").join(format!("{name}-seed-{seed}-{}", &fingerprint[..8]));
        let task = Task { label: name, config, folder, fingerprint, work: 1.0 };
        Ok(Self { task, stages, flops_per_step: flops_per_step(&plan), parameters: plan.parameters })
    }

    /// The run's folder, below that of the search.
    pub(super) fn task(&self) -> &Task {
        &self.task
    }

    /// What the folder tells of the run after a rung; `None` where it is not trained that far.
    pub(super) fn judged(&self, rung: u32, metric: Metric) -> Result<Option<Judged>> {
        let Some(&step) = self.stages.get(rung as usize) else {
            return Err(Fault::internal(format!("there is no rung {rung}")));
        };
        let (lines, done) = (self.task.metrics()?, self.task.done()?);
        let seconds = |step: u64| {
            let before = lines.iter().filter_map(train_line).take_while(|line| line.step <= step);
            before.last().map_or(0.0, |line| line.seconds)
        };
        let validated = lines.iter().filter_map(validation_line).find(|line| line.step == step);
        let is_last = rung as usize + 1 == self.stages.len();
        match (validated, done) {
            // Its weights are saved where the run says that it is done.
            (Some(_), None) if is_last => Ok(None),
            (Some(validation), _) => {
                let value = match metric {
                    Metric::BitsPerByte => validation.bits_per_byte,
                    Metric::Loss => Some(validation.loss),
                };
                let outcome = value.map_or(Outcome::Failed, Outcome::of);
                Ok(Some(Judged { outcome, steps: step, seconds: seconds(step), message: None }))
            }
            (None, Some(done)) => {
                let failure = done.failure().ok_or_else(|| {
                    Fault::internal(format!("{} was not validated at step {step}", self.task.folder.display()))
                })?;
                Ok(Some(Judged {
                    outcome: Outcome::Diverged,
                    steps: done.step,
                    seconds: seconds(done.step),
                    message: Some(failure.message),
                }))
            }
            (None, None) => Ok(None),
        }
    }

    /// Trains up to a rung, from wherever the run stands, or until it is asked to stop; [`Candidate::judged`] tells which.
    ///
    /// # Errors
    /// As training.
    pub(super) fn train(&self, rung: u32, stop: &AtomicBool, observer: &mut dyn FnMut(Event)) -> Result<()> {
        let until = self.stages.get(rung as usize).copied();
        let halt = AtomicBool::new(false);
        let mut watch = |event: Event| {
            let reached = matches!(&event, Event::Validation(validation) if Some(validation.step) == until);
            if reached || stop.load(Ordering::Relaxed) {
                halt.store(true, Ordering::Relaxed);
            }
            observer(event);
        };
        self.task.run(&halt, &mut watch).map(drop)
    }

    /// How much of its way to a rung the run has come, from 0 to 1.
    pub(super) fn share(&self, rung: u32, metrics: &StepMetrics) -> f64 {
        let end = self.stages.get(rung as usize).copied().unwrap_or(u64::MAX);
        metrics.step as f64 / end as f64
    }
}

/// Steps after each rung of a run of at most `steps` steps, the same share of the last as halving says.
fn stages(steps: u64, halving: Halving) -> Result<Vec<u64>> {
    let parts = halving.trials(0) as u64;
    match steps / parts {
        0 => Err(Fault::usage(format!("the budget pays for {steps} steps, too few for {} rungs", halving.rungs))),
        first => Ok((0..halving.rungs).map(|rung| first * u64::from(halving.factor).pow(rung)).collect()),
    }
}

fn train_line(line: &Metrics) -> Option<&StepMetrics> {
    match line {
        Metrics::Train(line) => Some(line),
        Metrics::Validation(_) => None,
    }
}

fn validation_line(line: &Metrics) -> Option<&ValidationMetrics> {
    match line {
        Metrics::Validation(line) => Some(line),
        Metrics::Train(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_are_whole_shares_of_the_last() {
        let of = |steps, rungs, factor| stages(steps, Halving { rungs, factor });
        assert_eq!(of(100, 3, 3).unwrap(), [11, 33, 99]);
        assert_eq!(of(100, 1, 3).unwrap(), [100]);
        assert_eq!(of(9, 3, 3).unwrap(), [1, 3, 9]);
        let fault = of(8, 3, 3).unwrap_err();
        assert!(fault.is_usage() && fault.to_string().contains("8 steps, too few for 3 rungs"), "{fault}");
    }
}
