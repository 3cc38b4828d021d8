//! `metrics.jsonl`: one JSON object per line, in the order of the steps.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use percept_fault::{Fault, IoContext, Result};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::tensorboard::EventLog;

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

/// All lines of a metrics file; a last line that a crash cut off is left out.
pub fn read_metrics(path: &Path) -> Result<Vec<Metrics>> {
    let text = fs::read_to_string(path).at("read", path)?;
    Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
}

/// The open file of a run.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    file: File,
    path: PathBuf,
    events: Option<EventLog>,
}

impl MetricsLog {
    /// Opens the file for the steps after `step`; what it holds of later steps is dropped.
    pub(crate) fn open(path: &Path, step: u64) -> Result<Self> {
        let mut kept = String::new();
        if path.exists() {
            for metrics in read_metrics(path)?.iter().filter(|metrics| metrics.step() <= step) {
                kept.push_str(&line(metrics)?);
            }
        }
        durable::write_file(path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).at("open", path)?;
        Ok(Self { file, path: path.to_owned(), events: None })
    }

    /// Writes the lines, those that are there first, as TensorBoard events too; the run has trained for `seconds`.
    pub(crate) fn with_events(self, folder: &Path, seconds: f64) -> Result<Self> {
        let events = EventLog::open(folder, &read_metrics(&self.path)?, seconds)?;
        Ok(Self { events: Some(events), ..self })
    }

    /// Appends one line.
    pub(crate) fn add(&mut self, metrics: &Metrics) -> Result<()> {
        self.file.write_all(line(metrics)?.as_bytes()).at("write", &self.path)?;
        self.events.as_mut().map_or(Ok(()), |events| events.add(metrics))
    }

    /// Forces the lines to the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().at("write", &self.path)?;
        self.events.as_ref().map_or(Ok(()), EventLog::sync)
    }
}

fn line(metrics: &Metrics) -> Result<String> {
    let json =
        serde_json::to_string(metrics).map_err(|error| Fault::internal("cannot write metrics").because(error))?;
    Ok(json + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validation(step: u64) -> Metrics {
        Metrics::Validation(ValidationMetrics { step, targets: 7, loss: 1.0 / 3.0, bits_per_byte: None, best: false })
    }

    #[test]
    fn opening_drops_later_steps_and_a_cut_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        for step in [5, 10, 15] {
            log.add(&validation(step)).unwrap();
        }
        let mut text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"kind\":\"validation\",\"step\":5,"), "{text}");
        text.push_str("{\"kind\":\"valid");
        fs::write(&path, text).unwrap();
        let mut log = MetricsLog::open(&path, 10).unwrap();
        log.add(&validation(11)).unwrap();
        log.sync().unwrap();
        assert_eq!(read_metrics(&path).unwrap(), [validation(5), validation(10), validation(11)]);
    }
}
