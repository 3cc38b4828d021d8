//! `metrics.jsonl`: one JSON object per line, in the order of the steps.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use percept_fault::{Fault, IoContext, Result};
use serde::{Deserialize, Serialize};

use crate::run::metrics_file::{MetricsFile, Resumed};
use crate::run::tensorboard::{EventLog, Others};

/// Metrics of training, over the steps since the last line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Steps done.
    pub step: u64,
    /// Positions fed since the run began.
    pub tokens: u64,
    /// Targets trained since the run began.
    pub targets: u64,
    /// Mean negative log-likelihood per target in nats.
    pub loss: f64,
    /// The same in bits per byte of text, where the tokenizer is lossless.
    pub bits_per_byte: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Norm of the whole gradient in the last step, before clipping.
    pub gradient_norm: f64,
    /// Positions per second of training time.
    pub tokens_per_second: f64,
    /// Training time since the run began, in seconds, over all its sessions.
    pub seconds: f64,
    /// Hash of all windows read since the run began, in order: equal for runs that saw equal data.
    #[serde(default)]
    pub order_hash: String,
}

/// Metrics of one validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationMetrics {
    /// Steps done.
    pub step: u64,
    /// Targets scored; the same ones in every validation of the run.
    pub targets: u64,
    /// Mean negative log-likelihood per target in nats.
    pub loss: f64,
    /// The same in bits per byte of text, where the tokenizer is lossless.
    pub bits_per_byte: Option<f64>,
    /// Whether it is the lowest so far.
    pub best: bool,
}

/// One line of `metrics.jsonl`.
///
/// ```
/// use percept_train::{Metrics, RunFolder, read_metrics};
/// # fn main() -> percept_fault::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # (config.model.dim, config.model.depth, config.model.heads) = (16, 1, 2);
/// # (config.model.context, config.model.layers) = (32, "llp(segment=8)".into());
/// # (config.train.steps, config.train.warmup, config.sample.tokens) = (3, 1, 4);
/// # let run = folder.path().join("run");
/// # percept_train::train(&config, &run, &std::sync::atomic::AtomicBool::new(false), &mut |_| ())?;
/// let lines = read_metrics(&RunFolder::new(&run).metrics_path())?;
/// assert!(matches!(&lines[0], Metrics::Train(metrics) if metrics.step == 3));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Metrics {
    /// Training.
    Train(StepMetrics),
    /// Validation.
    Validation(ValidationMetrics),
}

impl Metrics {
    /// Steps done.
    pub fn step(&self) -> u64 {
        match self {
            Metrics::Train(metrics) => metrics.step,
            Metrics::Validation(metrics) => metrics.step,
        }
    }
}

/// The open file of a run. It is only ever written at its end.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    file: File,
    path: PathBuf,
    /// The lines that were there and count.
    kept: Vec<Metrics>,
    /// Whether there was none, not even of steps that no longer count.
    was_empty: bool,
    events: Option<EventLog>,
}

impl MetricsLog {
    /// Opens the file for the steps after `step`, and tells what to say about lines in it that can't be read.
    ///
    /// What it holds of later steps is taken back by a line of its own ([`Resumed`]).
    pub(crate) fn open(path: &Path, step: u64) -> Result<(Self, Option<String>)> {
        let mut found = if path.exists() { MetricsFile::read(path)? } else { MetricsFile::default() };
        let file = OpenOptions::new().append(true).create(true).open(path).at("open", path)?;
        percept_files::sync_folder(path.parent().unwrap_or(path))?;
        let was_empty = found.lines.is_empty();
        let mut log = Self { file, path: path.to_owned(), kept: Vec::new(), was_empty, events: None };
        if found.is_cut {
            // Whatever the last line is, the next one is not a part of it.
            log.write("\n")?;
            found = MetricsFile::read(path)?;
        }
        if found.lines.iter().any(|line| line.step() > step) {
            log.write(&as_line(&Resumed { step })?)?;
            found.lines.retain(|line| line.step() <= step);
        }
        let warning = found.warning(path);
        log.kept = found.lines;
        Ok((log, warning))
    }

    /// Whether the file held no line of metrics when it was opened.
    pub(crate) fn was_empty(&self) -> bool {
        self.was_empty
    }

    /// Writes the lines, those that are there first, as TensorBoard events too; the run has trained for `seconds`.
    pub(crate) fn with_events(self, folder: &Path, seconds: f64) -> Result<Self> {
        let others = if self.was_empty { Others::Kept } else { Others::Replaced };
        let events = EventLog::open(folder, &self.kept, seconds, others)?;
        Ok(Self { events: Some(events), ..self })
    }

    /// Appends one line.
    pub(crate) fn add(&mut self, metrics: &Metrics) -> Result<()> {
        self.write(&as_line(metrics)?)?;
        self.events.as_mut().map_or(Ok(()), |events| events.add(metrics))
    }

    /// Forces the lines to the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().at("write", &self.path)?;
        self.events.as_ref().map_or(Ok(()), EventLog::sync)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).at("write", &self.path)
    }
}

fn as_line(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(value).map_err(|error| Fault::internal("cannot write metrics").because(error))?;
    Ok(json + "\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::metrics_file::read_metrics;

    fn validation(step: u64) -> Metrics {
        Metrics::Validation(ValidationMetrics { step, targets: 7, loss: 1.0 / 3.0, bits_per_byte: None, best: false })
    }

    #[test]
    fn opening_keeps_every_byte_and_takes_back_later_steps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let (mut log, warning) = MetricsLog::open(&path, 0).unwrap();
        assert!(warning.is_none() && log.was_empty());
        for step in [5, 10, 15] {
            log.add(&validation(step)).unwrap();
        }
        let mut before = fs::read_to_string(&path).unwrap();
        assert!(before.starts_with("{\"kind\":\"validation\",\"step\":5,"), "{before}");
        before = before.replacen('\n', "\n\nnot mine\n", 1) + "{\"kind\":\"valid";
        fs::write(&path, &before).unwrap();
        let (mut log, warning) = MetricsLog::open(&path, 10).unwrap();
        let warning = warning.unwrap();
        assert!(warning.contains("metrics.jsonl:2: ") && warning.contains("2 others, the last in line 6"), "{warning}");
        assert_eq!(log.kept, [validation(5), validation(10)]);
        log.add(&validation(11)).unwrap();
        log.sync().unwrap();
        assert_eq!(read_metrics(&path).unwrap(), [validation(5), validation(10), validation(11)]);
        let after = fs::read_to_string(&path).unwrap();
        assert!(after.starts_with(&before), "{after}");
    }

    #[test]
    fn a_run_that_lost_no_step_adds_its_own_lines_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let (mut log, _) = MetricsLog::open(&path, 0).unwrap();
        log.add(&validation(5)).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        MetricsLog::open(&path, 5).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        // The end of the last line alone is missing.
        fs::write(&path, before.trim_end()).unwrap();
        let (log, warning) = MetricsLog::open(&path, 5).unwrap();
        assert_eq!((log.kept, warning), (vec![validation(5)], None));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }
}
