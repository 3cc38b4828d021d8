//! The runs of a comparison: which there are, how each is configured, and what is known of them so far.

use percept_fault::Result;

use super::clock::Clock;
use super::lineup::Lineup;
use super::result::{Axis, Budget, Failure, FailureKind, SweepPoint};
use super::steps::{Cadence, flops_per_step};
use super::task::{End, Task, fingerprint};

/// What a run of a model is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    /// A point of the search for a learning rate, of a share of the budget.
    Sweep(f64),
    /// The run that counts.
    Full,
}

/// The learning rate of a model's full runs.
#[derive(Debug)]
pub(super) enum Rate {
    /// The sweep goes on.
    Unknown,
    /// As configured, or the best of the sweep.
    Chosen(f64),
    /// Every point of the sweep diverged.
    Failed(Failure),
}

impl Lineup {
    /// One run of a model.
    pub(super) fn task(&self, index: usize, seed: u64, learning_rate: f64, role: Role) -> Result<Task> {
        let contender = &self.contenders[index];
        let share = match role {
            Role::Sweep(fraction) => fraction,
            Role::Full => 1.0,
        };
        let budget = Budget { amount: share * self.budget.amount, ..self.budget };
        let mut config = contender.config.clone();
        let steps = self.steps(index, seed, &budget)?;
        let fewest = self.expected_steps.iter().copied().min().unwrap_or(steps);
        let cadence = Cadence::of((share * fewest as f64) as u64, self.spec.points);
        let train = &mut config.train;
        (train.seed, train.learning_rate, train.steps) = (seed, learning_rate, steps);
        (train.log_every, train.checkpoint_every) = (cadence.log_every, cadence.validate_every);
        let (folder, label) = match role {
            Role::Sweep(_) => {
                train.validate_every = 0;
                config.sample.tokens = 0;
                ("sweep", format!("{} lr {learning_rate:.2e}", contender.name))
            }
            Role::Full => {
                train.validate_every = cadence.validate_every;
                ("runs", self.full_label(index, seed))
            }
        };
        let train = &mut config.train;
        match self.budget.kind {
            Axis::Seconds => train.seconds = budget.amount,
            _ => train.warmup = train.warmup.min(steps / 10),
        }
        let fingerprint = fingerprint(&config, &self.text_hash, &budget)?;
        let name = format!("{}-{}", slug(&label), &fingerprint[..8]);
        let work = match self.budget.kind {
            Axis::Seconds => budget.amount,
            _ => steps as f64 * flops_per_step(&contender.plan),
        };
        Ok(Task { label, config, folder: self.folder.join(folder).join(name), fingerprint, work })
    }

    /// The runs that search a model's learning rate; none without a sweep.
    pub(super) fn sweep_tasks(&self, index: usize) -> Result<Vec<Task>> {
        let Some(sweep) = &self.spec.sweep else { return Ok(Vec::new()) };
        let rate = self.contenders[index].config.train.learning_rate;
        let tasks = sweep.factors().into_iter();
        tasks.map(|factor| self.task(index, self.spec.seeds[0], factor * rate, Role::Sweep(sweep.fraction))).collect()
    }

    /// What the sweep of a model found so far.
    pub(super) fn sweep_points(&self, index: usize, clock: Clock) -> Result<Vec<SweepPoint>> {
        let mut points = Vec::new();
        for task in self.sweep_tasks(index)? {
            let Some(done) = task.done()? else { continue };
            let last = match done.end {
                End::Budget | End::Unscored => task.last_validation()?,
                End::Diverged => None,
            };
            points.push(SweepPoint {
                learning_rate: task.config.train.learning_rate,
                loss: last.as_ref().map(|last| last.loss),
                bits_per_byte: last.and_then(|last| last.bits_per_byte),
                tokens: done.tokens,
                seconds: clock.seconds(done.step, done.seconds),
            });
        }
        Ok(points)
    }

    /// The learning rate of a model's full runs, as far as its sweep tells.
    pub(super) fn learning_rate(&self, index: usize) -> Result<Rate> {
        let contender = &self.contenders[index];
        let Some(sweep) = &self.spec.sweep else { return Ok(Rate::Chosen(contender.config.train.learning_rate)) };
        let points = self.sweep_points(index, Clock::Wall)?;
        if points.len() < sweep.lr {
            return Ok(Rate::Unknown);
        }
        let finite = points.iter().filter_map(|point| Some((point.loss?, point.learning_rate)));
        match finite.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((_, rate)) => Ok(Rate::Chosen(rate)),
            None => self.sweep_failure(index).map(Rate::Failed),
        }
    }

    /// What to say of a sweep of which every point diverged.
    fn sweep_failure(&self, index: usize) -> Result<Failure> {
        let mut points = Vec::new();
        for task in self.sweep_tasks(index)? {
            let what = task.done()?.and_then(|done| done.failure()).map(|failure| failure.in_words());
            points.push(format!("{:.2e} {}", task.config.train.learning_rate, what.unwrap_or_default()));
        }
        let message = format!("training diverged at every learning rate of the sweep: {}", points.join(", "));
        Ok(Failure { kind: FailureKind::Diverged, step: None, message })
    }

    /// What messages call the full run of a model with a seed.
    pub(super) fn full_label(&self, index: usize, seed: u64) -> String {
        format!("{} seed {seed}", self.contenders[index].name)
    }

    /// The full run of a model with a seed; `None` while its learning rate is not known, and where it has none.
    pub(super) fn full_task(&self, index: usize, seed: u64) -> Result<Option<Task>> {
        match self.learning_rate(index)? {
            Rate::Chosen(rate) => self.task(index, seed, rate, Role::Full).map(Some),
            Rate::Unknown | Rate::Failed(_) => Ok(None),
        }
    }

    /// Why a model has no result: its sweep, or the first of its runs that failed.
    pub(super) fn failure(&self, index: usize, finalists: &[usize]) -> Result<Option<Failure>> {
        if let Rate::Failed(failure) = self.learning_rate(index)? {
            return Ok(Some(failure));
        }
        for seed in self.seeds(index, finalists) {
            let done = self.full_task(index, seed)?.map(|task| task.done()).transpose()?.flatten();
            if let Some(failure) = done.and_then(|done| done.failure()) {
                return Ok(Some(failure));
            }
        }
        Ok(None)
    }

    /// The models that get more seeds: the best by validation loss, first seed, of those that did not diverge; none before all of those
    /// runs are finished.
    pub(super) fn finalists(&self) -> Result<Vec<usize>> {
        let Some(finalists) = &self.spec.finalists else { return Ok(Vec::new()) };
        let mut losses = Vec::new();
        for index in 0..self.contenders.len() {
            if let Rate::Failed(_) = self.learning_rate(index)? {
                continue;
            }
            let Some(task) = self.full_task(index, self.spec.seeds[0])? else { return Ok(Vec::new()) };
            let Ok(Some(done)) = task.done() else { return Ok(Vec::new()) };
            if done.end != End::Diverged {
                losses.push((task.best_validation()?.unwrap_or(f64::INFINITY), index));
            }
        }
        losses.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(losses.into_iter().take(finalists.models).map(|(_, index)| index).collect())
    }

    /// The seeds of a model.
    pub(super) fn seeds(&self, index: usize, finalists: &[usize]) -> Vec<u64> {
        if finalists.contains(&index) { self.spec.all_seeds() } else { self.spec.seeds.clone() }
    }
}

/// A name as part of a folder's name.
fn slug(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { ' ' });
    plain.collect::<String>().split_whitespace().collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_plain_names() {
        assert_eq!(slug("llp*5, transformer seed 1"), "llp-5-transformer-seed-1");
        assert_eq!(slug("../x lr 1.00e-3"), "..-x-lr-1.00e-3");
    }
}
