//! One training run of a comparison: begun, continued, or found finished.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use percept_data::DataConfig;
use percept_fault::{Fault, IoContext, Result};
use percept_train::{
    Event, Metrics, Outcome, RunConfig, RunFolder, StepMetrics, Summary, ValidationMetrics, metrics, resume, train,
    write_file,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::peak_memory;
use super::result::Budget;

/// A finished run: `done.json` in its folder.
const DONE: &str = "done.json";

/// One run: everything that it depends on is in its configuration and its fingerprint.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// What messages call it.
    pub(super) label: String,
    pub(super) config: RunConfig,
    pub(super) folder: PathBuf,
    pub(super) fingerprint: String,
    /// What it costs, in the unit of the budget's estimate: the share of the whole that it stands for.
    pub(super) work: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Done {
    fingerprint: String,
    pub(super) end: End,
    pub(super) step: u64,
    pub(super) tokens: u64,
    pub(super) seconds: f64,
    pub(super) peak_memory_bytes: Option<u64>,
}

/// Whether a run reached its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// All of its budget is used.
    Budget,
    /// Its loss was no longer a number.
    Diverged,
}

impl Task {
    /// How the run ended, if it has.
    pub(super) fn done(&self) -> Result<Option<Done>> {
        let done: Option<Done> = read_json(&self.folder.join(DONE))?;
        Ok(done.filter(|done| done.fingerprint == self.fingerprint))
    }

    /// Where it lies.
    pub(super) fn run_folder(&self) -> RunFolder {
        RunFolder::new(&self.folder)
    }

    /// The lines of metrics so far.
    pub(super) fn metrics(&self) -> Result<Vec<Metrics>> {
        metrics(&self.run_folder())
    }

    /// The last validation.
    pub(super) fn last_validation(&self) -> Result<Option<ValidationMetrics>> {
        Ok(self.metrics()?.into_iter().rev().find_map(validation))
    }

    /// The lowest validation loss.
    pub(super) fn best_validation(&self) -> Result<Option<f64>> {
        let losses = self.metrics()?.into_iter().filter_map(validation).map(|validation| validation.loss);
        Ok(losses.min_by(f64::total_cmp))
    }

    /// How much of the run is done, from 0 to 1.
    pub(super) fn share(&self, metrics: &StepMetrics) -> f64 {
        let train = &self.config.train;
        match train.seconds > 0.0 {
            true => (metrics.seconds / train.seconds).min(1.0),
            false => metrics.step as f64 / train.steps as f64,
        }
    }

    /// Trains to the end, from wherever the run stands; `None` where it was asked to stop, and saved.
    ///
    /// # Errors
    /// As [`train`] and [`resume`]; a run that diverges is an error.
    pub(super) fn run(&self, stop: &AtomicBool, observer: &mut dyn FnMut(Event)) -> Result<Option<Done>> {
        if let Some(done) = self.done()? {
            return Ok(Some(done));
        }
        peak_memory::reset();
        let mut observer = |event: Event| observer(event);
        let outcome = match self.run_folder().holds_a_run() {
            true => resume(&self.folder, &[], stop, &mut observer),
            false => train(&self.config, &self.folder, stop, &mut observer),
        };
        match outcome? {
            Outcome::Finished(summary) => self.finish(&summary, End::Budget).map(Some),
            Outcome::Interrupted(_) => Ok(None),
        }
    }

    /// As [`Task::run`], where divergence is a result too.
    pub(super) fn try_run(&self, stop: &AtomicBool, observer: &mut dyn FnMut(Event)) -> Result<Option<Done>> {
        match self.run(stop, observer) {
            Err(fault) if fault.is_check() => {
                let last = self.metrics()?.iter().map(Metrics::step).max().unwrap_or(0);
                let summary = Summary {
                    run: self.folder.clone(),
                    step: last,
                    tokens: 0,
                    seconds: 0.0,
                    validation: None,
                    best: None,
                };
                self.finish(&summary, End::Diverged).map(Some)
            }
            outcome => outcome,
        }
    }

    fn finish(&self, summary: &Summary, end: End) -> Result<Done> {
        let done = Done {
            fingerprint: self.fingerprint.clone(),
            end,
            step: summary.step,
            tokens: summary.tokens,
            seconds: summary.seconds,
            peak_memory_bytes: peak_memory::read(),
        };
        write_json(&self.folder.join(DONE), &done)?;
        Ok(done)
    }
}

fn validation(line: Metrics) -> Option<ValidationMetrics> {
    match line {
        Metrics::Validation(validation) => Some(validation),
        Metrics::Train(_) => None,
    }
}

/// Hash of everything that the result of a run depends on: its configuration with the seed, the text (instead of its
/// path), and the budget. How often it validates, logs and saves is left out: that changes no weight.
pub(super) fn fingerprint(config: &RunConfig, text: &str, budget: &Budget) -> Result<String> {
    let mut config = config.clone();
    let own = &config.data;
    let reading = format!("{text} {} {:?}", own.tokenizer, own.packing);
    config.data = DataConfig::default();
    let train = &mut config.train;
    (train.validate_every, train.log_every, train.checkpoint_every, train.keep) = (0, 1, 0, 1);
    // Keys of [data] that are newer than the first comparisons: their values change the text, which is hashed itself.
    let newer = |line: &&str| !["binary = ", "edition = "].iter().any(|key| line.starts_with(key));
    let toml = config.to_toml()?;
    let toml: String = toml.split_inclusive('\n').filter(newer).collect();
    let text = format!("compare 1\n{reading}\n{:?} {}\n{toml}", budget.kind, budget.amount);
    Ok(hex(&Sha256::digest(text)))
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a file holds; `None` where there is none, or one of another version.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).at("read", path)?;
    Ok(serde_json::from_str(&text).ok())
}

/// Writes a value as JSON, completely or not at all.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Fault::internal(format!("cannot write {}", path.display())).because(error))?;
    write_file(path, (text + "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::result::Axis;
    use super::*;

    #[test]
    fn the_fingerprint_is_of_what_changes_the_result() {
        let budget = Budget { kind: Axis::Tokens, amount: 1e6 };
        let base = RunConfig::default();
        let of = |change: &dyn Fn(&mut RunConfig)| {
            let mut config = base.clone();
            change(&mut config);
            fingerprint(&config, "text", &budget).unwrap()
        };
        let same = of(&|_| {});
        assert_eq!(of(&|config| config.train.validate_every = 7), same);
        assert_eq!(of(&|config| config.data.sources = vec!["elsewhere".into()]), same);
        assert_eq!(of(&|config| config.data.edition = 1), same, "what it changes is in the text");
        let others = [
            of(&|config| config.train.seed = 2),
            of(&|config| config.train.learning_rate *= 2.0),
            of(&|config| config.model.segment = 64),
            of(&|config| config.data.packing = percept_data::Packing::Concatenate),
            fingerprint(&base, "other text", &budget).unwrap(),
            fingerprint(&base, "text", &Budget { amount: 2e6, ..budget }).unwrap(),
            fingerprint(&base, "text", &Budget { kind: Axis::Targets, ..budget }).unwrap(),
        ];
        assert!(others.iter().all(|other| *other != same));
    }
}
