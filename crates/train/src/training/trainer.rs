//! The loop: step, report, save, until all steps are done or someone asks to stop.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

use percept_fault::Result;
use percept_model::Loss;

use super::begin::Control;
use super::observer::{Event, Outcome, Started, Summary};
use super::source::next_batches;
use super::state::State;
use super::step::{StepResult, check_finite};
use super::task::{Measured, Task};
use super::time_limit::planned_steps;
use crate::config::TrainConfig;
use crate::config::learning_rate::Schedule;
use crate::run::metrics::{Metrics, StepMetrics, ValidationMetrics};
use crate::run::progress::{Best, Progress};
use crate::run::run_files::RunFiles;

/// A run that is ready to go on.
pub(crate) struct Trainer<'a, T> {
    pub(crate) task: T,
    pub(crate) train: TrainConfig,
    pub(crate) progress: Progress,
    pub(crate) last_validation: Option<ValidationMetrics>,
    /// Where the run lies.
    pub(crate) run: PathBuf,
    /// What rank 0 writes; the others have none.
    pub(crate) files: Option<RunFiles>,
    pub(crate) control: Control<'a>,
}

impl<T: Task> Trainer<'_, T> {
    /// Runs to the end, or until it is asked to stop.
    pub(crate) fn run(&mut self, started: Started, mut state: State<T::Model>) -> Result<Outcome> {
        self.tell(Event::Started(started));
        self.plan_end();
        while self.progress.step < self.steps() {
            let begin = Instant::now();
            let result;
            (state, result) = self.step(state)?;
            self.count(&result, begin.elapsed().as_secs_f64())?;
            self.tell_a_short_limit();
            self.plan_end();
            let last = self.progress.step == self.steps();
            let better = self.report(&state, &result)?;
            let asked = self.is_asked_to_stop()?;
            if last || asked || better || self.is_due(self.train.checkpoint_every) {
                self.save(&state)?;
            }
            if asked && !last {
                return Ok(Outcome::Interrupted(self.finish()?));
            }
        }
        Ok(Outcome::Finished(self.finish()?))
    }

    /// Tells the observer of the rank that writes.
    fn tell(&mut self, event: Event) {
        if self.files.is_some() {
            self.control.observer.event(event);
        }
    }

    /// Steps of the whole run, as far as they are known.
    fn steps(&self) -> u64 {
        self.progress.planned.unwrap_or(self.train.steps)
    }

    /// Lets the time limit, if there is one, set the last step.
    fn plan_end(&mut self) {
        let Progress { step, seconds, planned, .. } = self.progress;
        self.progress.planned = planned_steps(&self.train, step, seconds, planned);
    }

    /// Says where the time limit is less than a step.
    fn tell_a_short_limit(&mut self) {
        let Progress { step, tokens, seconds, .. } = self.progress;
        let limit = self.train.seconds;
        if step == 1 && limit > 0.0 && seconds > limit {
            self.tell(Event::Warning(format!(
                "train.seconds = {limit} is less than one step, which took {seconds:.2} s and is all of this run: {tokens} tokens"
            )));
        }
    }

    /// One optimizer step.
    fn step(&mut self, state: State<T::Model>) -> Result<(State<T::Model>, StepResult)> {
        let step = self.progress.step + 1;
        let batches = next_batches(self.task.source(), &self.train)?;
        let learning_rate = Schedule { steps: self.steps(), ..self.train.schedule() }.learning_rate(step);
        state.step(&batches, &self.train, learning_rate, step, self.control.ranks)
    }

    /// Adds up what a step did. All ranks count the mean of their seconds, so that a time limit ends them together.
    fn count(&mut self, result: &StepResult, mut seconds: f64) -> Result<()> {
        self.control.ranks.sum(std::slice::from_mut(&mut seconds))?;
        seconds /= self.control.ranks.world() as f64;
        let progress = &mut self.progress;
        progress.step += 1;
        progress.tokens += result.inputs as u64;
        progress.targets += result.loss.targets as u64;
        progress.seconds += seconds;
        progress.interval.nll += result.loss.nll;
        progress.interval.targets += result.loss.targets as u64;
        progress.interval.tokens += result.inputs as u64;
        progress.interval.seconds += seconds;
        Ok(())
    }

    /// Whether any rank is asked to stop.
    fn is_asked_to_stop(&self) -> Result<bool> {
        let mut asked = f64::from(u8::from(self.control.stop.load(Ordering::Relaxed)));
        self.control.ranks.sum(std::slice::from_mut(&mut asked))?;
        Ok(asked > 0.0)
    }

    /// Metrics, validation and sample where they are due; whether the validation is the best so far. Rank 0 does it, and the others
    /// meet it again in the next step.
    fn report(&mut self, state: &State<T::Model>, result: &StepResult) -> Result<bool> {
        let last = self.progress.step == self.steps();
        let (validate, sample) = (self.is_due(self.train.validate_every), self.is_due(self.train.sample_every));
        if last || self.is_due(self.train.log_every) {
            self.log(result)?;
        }
        if !(last || validate || sample) || self.files.is_none() {
            return Ok(false);
        }
        let model = state.published();
        let better = (last || validate) && self.validate(&model)?;
        if last || sample {
            self.write_sample(model)?;
        }
        Ok(better)
    }

    fn is_due(&self, every: u64) -> bool {
        every > 0 && self.progress.step.is_multiple_of(every)
    }

    fn log(&mut self, result: &StepResult) -> Result<()> {
        let progress = &mut self.progress;
        let interval = std::mem::take(&mut progress.interval);
        let loss = interval.nll / interval.targets.max(1) as f64;
        let Some(files) = &mut self.files else { return Ok(()) };
        let metrics = StepMetrics {
            step: progress.step,
            tokens: progress.tokens,
            targets: progress.targets,
            loss,
            bits_per_byte: self.task.bits_per_byte(loss, Measured::Training),
            learning_rate: result.learning_rate,
            gradient_norm: result.gradient_norm,
            tokens_per_second: interval.tokens as f64 / interval.seconds.max(f64::MIN_POSITIVE),
            seconds: progress.seconds,
            order_hash: self.task.source().order_hash(),
        };
        files.log(&Metrics::Train(metrics.clone()))?;
        self.tell(Event::Step(metrics));
        Ok(())
    }

    fn validate(&mut self, model: &T::Model) -> Result<bool> {
        let Some(sum) = self.task.validate(model)? else { return Ok(false) };
        let metrics = self.judged(sum)?;
        let best = metrics.best;
        if let Some(files) = &mut self.files {
            files.log(&Metrics::Validation(metrics.clone()))?;
        }
        self.last_validation = Some(metrics.clone());
        self.tell(Event::Validation(metrics));
        Ok(best)
    }

    /// A validation beside those before it.
    fn judged(&mut self, sum: Loss) -> Result<ValidationMetrics> {
        let (step, loss) = (self.progress.step, sum.mean());
        check_finite("validation loss", loss, step)?;
        let best = self.progress.best.is_none_or(|best| loss < best.loss);
        if best {
            self.progress.best = Some(Best { step, loss });
        }
        let bits_per_byte = self.task.bits_per_byte(loss, Measured::Validation);
        Ok(ValidationMetrics { step, targets: sum.targets as u64, loss, bits_per_byte, best })
    }

    fn write_sample(&mut self, model: T::Model) -> Result<()> {
        let (Some(files), Some(text)) = (&self.files, self.task.sample(model)?) else { return Ok(()) };
        let step = self.progress.step;
        files.write_sample(step, &text)?;
        self.tell(Event::Sample { step, text });
        Ok(())
    }

    /// Saves a checkpoint, on the rank that writes.
    fn save(&mut self, state: &State<T::Model>) -> Result<()> {
        let Some(files) = &mut self.files else { return Ok(()) };
        self.progress.position = self.task.source().position()?;
        let path = files.save(&mut self.progress, |folder| {
            state.save(folder)?;
            self.task.write_beside(folder)
        })?;
        self.tell(Event::Saved { step: self.progress.step, path });
        Ok(())
    }

    /// The end; no rank leaves before all files are whole.
    fn finish(&mut self) -> Result<Summary> {
        self.control.ranks.barrier()?;
        let summary = Summary {
            run: self.run.clone(),
            step: self.progress.step,
            tokens: self.progress.tokens,
            seconds: self.progress.seconds,
            validation: self.last_validation.clone(),
            best: self.progress.best.map(|best| best.step),
        };
        self.tell(Event::Finished(summary.clone()));
        Ok(summary)
    }
}
