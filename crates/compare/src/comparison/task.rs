//! One training run of a comparison: begun, continued, or found finished.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use percept_data::DataConfig;
use percept_fault::{Fault, IoContext, Result};
use percept_train::{
    Changes, Divergence, Event, Metrics, Outcome, RunConfig, RunFolder, StepMetrics, Summary, ValidationMetrics,
    metrics, resume, train,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::peak_memory;
use super::result::{Budget, Failure, FailureKind};

/// A finished run: `done.json` in its folder.
const DONE: &str = "done.json";

/// One run: everything that it depends on is in its configuration and its fingerprint.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// What messages call it.
    pub(crate) label: String,
    pub(crate) config: RunConfig,
    pub(crate) folder: PathBuf,
    pub(crate) fingerprint: String,
    /// What it costs, in the unit of the budget's estimate: the share of the whole that it stands for.
    pub(crate) work: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Done {
    fingerprint: String,
    pub(crate) end: End,
    pub(crate) step: u64,
    pub(crate) tokens: u64,
    pub(crate) seconds: f64,
    pub(crate) peak_memory_bytes: Option<u64>,
    /// What the program said where the run has no result.
    #[serde(default)]
    message: Option<String>,
}

impl Done {
    /// Why the run has no result.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let kind = match self.end {
            End::Budget => return None,
            End::Diverged => FailureKind::Diverged,
            End::Unscored => FailureKind::Unscored,
        };
        // Files of earlier versions have the last step that was logged, and no message.
        let step = self.message.is_some().then_some(self.step);
        Some(Failure { kind, step, message: self.message.clone().unwrap_or_else(|| "training diverged".to_owned()) })
    }
}

/// Whether a run reached its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    /// All of its budget is used.
    Budget,
    /// Its loss was no longer a number.
    Diverged,
    /// All of its budget is used, but the model gives no probabilities for the test text.
    Unscored,
}

impl Task {
    /// How the run ended, if it has.
    pub(crate) fn done(&self) -> Result<Option<Done>> {
        let done: Option<Done> = read_json(&self.folder.join(DONE))?;
        Ok(done.filter(|done| done.fingerprint == self.fingerprint))
    }

    /// Where it lies.
    pub(crate) fn run_folder(&self) -> RunFolder {
        RunFolder::new(&self.folder)
    }

    /// The lines of metrics so far.
    pub(crate) fn metrics(&self) -> Result<Vec<Metrics>> {
        metrics(&self.run_folder())
    }

    /// The last validation.
    pub(crate) fn last_validation(&self) -> Result<Option<ValidationMetrics>> {
        Ok(self.metrics()?.into_iter().rev().find_map(validation))
    }

    /// The lowest validation loss.
    pub(crate) fn best_validation(&self) -> Result<Option<f64>> {
        let losses = self.metrics()?.into_iter().filter_map(validation).map(|validation| validation.loss);
        Ok(losses.min_by(f64::total_cmp))
    }

    /// How much of the run is done, from 0 to 1.
    pub(crate) fn share(&self, metrics: &StepMetrics) -> f64 {
        let train = &self.config.train;
        match train.seconds > 0.0 {
            true => (metrics.seconds / train.seconds).min(1.0),
            false => metrics.step as f64 / train.steps as f64,
        }
    }

    /// Trains to the end, from wherever the run stands; `None` where it was asked to stop, and saved. A run that diverges
    /// has ended, too.
    ///
    /// # Errors
    /// As [`train`] and [`resume`], with the run's name in front.
    pub(crate) fn run(&self, stop: &AtomicBool, observer: &mut dyn FnMut(Event)) -> Result<Option<Done>> {
        if let Some(done) = self.done()? {
            return Ok(Some(done));
        }
        peak_memory::reset();
        let mut observer = |event: Event| observer(event);
        let outcome = match self.run_folder().is_begun() {
            true => resume(&self.folder, &Changes::default(), stop, &mut observer),
            false => train(&self.config, &self.folder, stop, &mut observer),
        };
        match outcome {
            Ok(Outcome::Finished(summary)) => self.finish(&summary).map(Some),
            Ok(Outcome::Interrupted(_)) => Ok(None),
            Err(fault) if fault.is_check() => self.diverge(&fault).map(Some),
            Err(fault) => Err(fault.at(&format!("{}: ", self.label))),
        }
    }

    fn finish(&self, summary: &Summary) -> Result<Done> {
        self.write_done(Done {
            fingerprint: self.fingerprint.clone(),
            end: End::Budget,
            step: summary.step,
            tokens: summary.tokens,
            seconds: summary.seconds,
            peak_memory_bytes: peak_memory::read(),
            message: None,
        })
    }

    /// Keeps that the run diverged: it is not trained again.
    fn diverge(&self, fault: &Fault) -> Result<Done> {
        let logged = self.metrics()?.iter().map(Metrics::step).max().unwrap_or(0);
        self.write_done(Done {
            fingerprint: self.fingerprint.clone(),
            end: End::Diverged,
            step: Divergence::of(fault).map_or(logged, |divergence| divergence.step),
            tokens: 0,
            seconds: 0.0,
            peak_memory_bytes: peak_memory::read(),
            message: Some(fault.to_string()),
        })
    }

    /// Keeps that the test text can't be scored with what was trained.
    pub(crate) fn cannot_be_scored(&self, done: Done, fault: &Fault) -> Result<Done> {
        self.write_done(Done { end: End::Unscored, message: Some(fault.to_string()), ..done })
    }

    fn write_done(&self, done: Done) -> Result<Done> {
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
pub(crate) fn fingerprint(config: &RunConfig, text: &str, budget: &Budget) -> Result<String> {
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
    Ok(percept_files::hex(&Sha256::digest(text)))
}

/// What a file holds; `None` where there is none, or one of another version.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).at("read", path)?;
    Ok(serde_json::from_str(&text).ok())
}

/// Writes a value as JSON, completely or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Fault::internal(format!("cannot write {}", path.display())).because(error))?;
    percept_files::write_file(path, (text + "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::result::Axis;
    use super::*;

    #[test]
    fn a_divergence_of_an_earlier_version_has_no_step() {
        let text = r#"{"fingerprint":"x","end":"diverged","step":8,"tokens":0,"seconds":0.0,"peak_memory_bytes":null}"#;
        let done: Done = serde_json::from_str(text).unwrap();
        let failure = done.failure().unwrap();
        assert_eq!((failure.in_words(), failure.message), ("diverged".into(), "training diverged".into()));
        let told = Done { message: Some("the loss of step 9 is NaN".into()), step: 9, ..done.clone() };
        assert_eq!(told.failure().unwrap().in_words(), "diverged at step 9");
        assert_eq!(Done { end: End::Budget, ..done }.failure(), None);
    }

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
            of(&|config| config.model.mixers.llp.segment = 64),
            of(&|config| config.data.packing = percept_data::Packing::Concatenate),
            fingerprint(&base, "other text", &budget).unwrap(),
            fingerprint(&base, "text", &Budget { amount: 2e6, ..budget }).unwrap(),
            fingerprint(&base, "text", &Budget { kind: Axis::Targets, ..budget }).unwrap(),
        ];
        assert!(others.iter().all(|other| *other != same));
    }
}
