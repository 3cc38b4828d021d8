//! The loop: step, report, save, until all steps are done or someone asks to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use percept_data::{Dataset, Windows};
use percept_fault::{Fault, Result};
use percept_model::LanguageModel;

use crate::checkpoint::Checkpoints;
use crate::config::RunConfig;
use crate::copies::write_copies;
use crate::durable;
use crate::lock::Lock;
use crate::metrics::{Metrics, MetricsLog, StepMetrics, ValidationMetrics};
use crate::observer::{Event, Observer, Outcome, Started, Summary};
use crate::progress::{Best, Progress, position_of};
use crate::run_folder::RunFolder;
use crate::sample::sample;
use crate::schedule::Schedule;
use crate::state::State;
use crate::step::{StepResult, check_finite};
use crate::time_limit::planned_steps;
use crate::validation::Validation;
use crate::windows::next_batches;

/// A run that is ready to go on.
pub(crate) struct Trainer<'a> {
    pub(crate) config: RunConfig,
    pub(crate) folder: RunFolder,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) dataset: Dataset,
    pub(crate) windows: Windows,
    pub(crate) validation: Validation,
    pub(crate) bytes_per_token: Option<f64>,
    pub(crate) metrics: MetricsLog,
    pub(crate) progress: Progress,
    pub(crate) last_validation: Option<ValidationMetrics>,
    pub(crate) saved: Option<u64>,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) _lock: Lock,
}

impl Trainer<'_> {
    /// Runs to the end, or until it is asked to stop.
    pub(crate) fn run(mut self, started: Started, mut state: State) -> Result<Outcome> {
        self.observer.event(Event::Started(started));
        self.plan_end();
        while self.progress.step < self.steps() {
            let begin = Instant::now();
            let result;
            (state, result) = self.step(state)?;
            self.count(&result, begin.elapsed().as_secs_f64());
            self.tell_a_short_limit();
            self.plan_end();
            let last = self.progress.step == self.steps();
            let better = self.report(&state, &result)?;
            let asked = self.stop.load(Ordering::Relaxed);
            if last || asked || better || self.is_due(self.config.train.checkpoint_every) {
                self.save(&state)?;
            }
            if asked && !last {
                return Ok(Outcome::Interrupted(self.finish()));
            }
        }
        Ok(Outcome::Finished(self.finish()))
    }

    /// Steps of the whole run, as far as they are known.
    fn steps(&self) -> u64 {
        self.progress.planned.unwrap_or(self.config.train.steps)
    }

    /// Lets the time limit, if there is one, set the last step.
    fn plan_end(&mut self) {
        let Progress { step, seconds, planned, .. } = self.progress;
        self.progress.planned = planned_steps(&self.config.train, step, seconds, planned);
    }

    /// Says where the time limit is less than a step.
    fn tell_a_short_limit(&mut self) {
        let Progress { step, tokens, seconds, .. } = self.progress;
        let limit = self.config.train.seconds;
        if step == 1 && limit > 0.0 && seconds > limit {
            self.observer.event(Event::Warning(format!(
                "train.seconds = {limit} is less than one step, which took {seconds:.2} s and is all of this run: {tokens} tokens"
            )));
        }
    }

    /// One optimizer step.
    fn step(&mut self, state: State) -> Result<(State, StepResult)> {
        let step = self.progress.step + 1;
        let train = &self.config.train;
        let batches = next_batches(&mut self.windows, train)?;
        let learning_rate = Schedule { steps: self.steps(), ..train.schedule() }.learning_rate(step);
        state.step(&batches, train, learning_rate, step)
    }

    fn count(&mut self, result: &StepResult, seconds: f64) {
        let progress = &mut self.progress;
        progress.step += 1;
        progress.tokens += result.tokens as u64;
        progress.targets += result.loss.targets as u64;
        progress.seconds += seconds;
        progress.interval.nll += result.loss.nll;
        progress.interval.targets += result.loss.targets as u64;
        progress.interval.tokens += result.tokens as u64;
        progress.interval.seconds += seconds;
    }

    /// Metrics, validation and sample where they are due; whether the validation is the best so far.
    fn report(&mut self, state: &State, result: &StepResult) -> Result<bool> {
        let train = &self.config.train;
        let last = self.progress.step == self.steps();
        let (validate, sample) = (self.is_due(train.validate_every), self.is_due(train.sample_every));
        if last || self.is_due(train.log_every) {
            self.log(result)?;
        }
        if !(last || validate || sample) {
            return Ok(false);
        }
        let model = Arc::new(state.published());
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
        let metrics = StepMetrics {
            step: progress.step,
            tokens: progress.tokens,
            targets: progress.targets,
            loss,
            bits_per_byte: self.bytes_per_token.map(|bytes| bits_per_byte(loss, bytes)),
            learning_rate: result.learning_rate,
            gradient_norm: result.gradient_norm,
            tokens_per_second: interval.tokens as f64 / interval.seconds.max(f64::MIN_POSITIVE),
            seconds: progress.seconds,
            order_hash: self.windows.order_hash(),
        };
        self.metrics.add(&Metrics::Train(metrics.clone()))?;
        self.observer.event(Event::Step(metrics));
        Ok(())
    }

    fn validate(&mut self, model: &LanguageModel) -> Result<bool> {
        if self.validation.is_empty() {
            return Ok(false);
        }
        let sum = self.validation.score(model, &self.dataset)?;
        let (step, loss) = (self.progress.step, sum.mean());
        check_finite("validation loss", loss, step)?;
        let best = self.progress.best.is_none_or(|best| loss < best.loss);
        if best {
            self.progress.best = Some(Best { step, loss });
        }
        let bits_per_byte = self.validation.bytes_per_token().map(|bytes| bits_per_byte(loss, bytes));
        let metrics = ValidationMetrics { step, targets: sum.targets as u64, loss, bits_per_byte, best };
        self.metrics.add(&Metrics::Validation(metrics.clone()))?;
        self.last_validation = Some(metrics.clone());
        self.observer.event(Event::Validation(metrics));
        Ok(best)
    }

    fn write_sample(&mut self, model: Arc<LanguageModel>) -> Result<()> {
        if self.config.sample.tokens == 0 {
            return Ok(());
        }
        let step = self.progress.step;
        let text = sample(model, self.dataset.tokenizer(), &self.config.sample, self.config.train.seed)?;
        durable::write_file(&self.folder.samples_path().join(format!("step-{step:06}.txt")), text.as_bytes())?;
        self.observer.event(Event::Sample { step, text });
        Ok(())
    }

    /// Saves a checkpoint, moves the names to it and removes old ones.
    fn save(&mut self, state: &State) -> Result<()> {
        let step = self.progress.step;
        self.progress.position = position_of(&self.windows)?;
        self.metrics.sync()?;
        let saved = self.checkpoints.save(&mut self.progress, |folder| {
            state.save(folder)?;
            write_copies(folder, &self.config, self.dataset.tokenizer())
        });
        let path = saved.map_err(|fault| self.cannot_save(step, fault))?;
        self.saved = Some(step);
        let best = self.progress.best.map(|best| best.step);
        write_names(&self.folder, Some(step), best)?;
        self.checkpoints.prune(self.config.train.keep, best)?;
        self.observer.event(Event::Saved { step, path });
        Ok(())
    }

    fn cannot_save(&self, step: u64, fault: Fault) -> Fault {
        let kept = match self.saved {
            Some(step) => format!("the checkpoint of step {step} is kept"),
            None => "there is no earlier checkpoint".to_owned(),
        };
        let hint = fault.hint_text().unwrap_or("check the disk").to_owned();
        Fault::new(fault.kind(), format!("cannot save step {step} ({kept}): {fault}"))
            .hint(format!("{hint}; `percept resume {}` goes on", self.folder.path().display()))
    }

    fn finish(self) -> Summary {
        let summary = Summary {
            run: self.folder.path().to_owned(),
            step: self.progress.step,
            tokens: self.progress.tokens,
            seconds: self.progress.seconds,
            validation: self.last_validation,
            best: self.progress.best.map(|best| best.step),
        };
        self.observer.event(Event::Finished(summary.clone()));
        summary
    }
}

/// Writes the files `latest` and `best`.
pub(crate) fn write_names(folder: &RunFolder, latest: Option<u64>, best: Option<u64>) -> Result<()> {
    for (name, step) in [("latest", latest), ("best", best)] {
        let path = folder.name_path(name);
        match step {
            Some(step) => durable::write_file(&path, format!("step-{step:06}\n").as_bytes())?,
            None => durable::remove_file(&path)?,
        }
    }
    Ok(())
}

fn bits_per_byte(nats_per_token: f64, bytes_per_token: f64) -> f64 {
    nats_per_token / std::f64::consts::LN_2 / bytes_per_token
}
