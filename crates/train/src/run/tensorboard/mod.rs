//! The curves of a run as a TensorBoard event file, made from its lines of metrics.
//!
//! A session of a run writes one file: first every line of metrics that counts, then what is new. A resumed run
//! therefore has no step twice, whatever the interrupted session had written.

mod format;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use percept_fault::{IoContext, Result};

use crate::run::metrics::Metrics;

/// What becomes of the event files of earlier sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// The new one holds all that they do.
    Replaced,
    /// They hold what the lines of metrics no longer do.
    Kept,
}

/// The open event file of a session.
#[derive(Debug)]
pub(crate) struct EventLog {
    file: File,
    path: PathBuf,
    /// Unix time of the run's beginning, as if it had trained without a pause.
    origin: f64,
    /// Training time of the last line of metrics.
    seconds: f64,
}

impl EventLog {
    /// Opens an event file in `folder` that holds `kept`; the run has trained for `seconds`.
    pub(crate) fn open(folder: &Path, kept: &[Metrics], seconds: f64, others: Others) -> Result<Self> {
        fs::create_dir_all(folder).at("make", folder)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        // TensorBoard reads the files in the order of their names and looks at new ones while it runs.
        let path = folder.join(format!("events.out.tfevents.{:010}.percept.{}", now as u64, std::process::id()));
        let mut log = Self { file: File::create(&path).at("write", &path)?, path, origin: now - seconds, seconds: 0.0 };
        log.write(&format::opening(log.origin))?;
        for line in kept {
            log.add(line)?;
        }
        log.sync()?;
        match others {
            Others::Replaced => log.remove_others(folder)?,
            Others::Kept => {}
        }
        Ok(log)
    }

    /// Appends the scalars of one line of metrics.
    pub(crate) fn add(&mut self, line: &Metrics) -> Result<()> {
        if let Metrics::Train(step) = line {
            self.seconds = step.seconds;
        }
        let event = format::scalars(self.origin + self.seconds, line.step(), &scalars(line));
        self.write(&event)
    }

    /// Forces the events to the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().at("write", &self.path)
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        // One write per record: a reader sees whole records.
        self.file.write_all(&format::record(event)).at("write", &self.path)
    }

    fn remove_others(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).at("read", folder)? {
            let path = entry.at("read", folder)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path != self.path && name.starts_with("events.out.tfevents.") {
                percept_files::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// The curves that a line of metrics adds to.
fn scalars(line: &Metrics) -> Vec<(&'static str, f64)> {
    let (bits, mut scalars) = match line {
        Metrics::Train(step) => (
            step.bits_per_byte.map(|bits| ("train/bits_per_byte", bits)),
            vec![
                ("train/loss", step.loss),
                ("train/learning_rate", step.learning_rate),
                ("train/gradient_norm", step.gradient_norm),
                ("train/tokens_per_second", step.tokens_per_second),
            ],
        ),
        Metrics::Validation(validation) => (
            validation.bits_per_byte.map(|bits| ("validation/bits_per_byte", bits)),
            vec![("validation/loss", validation.loss)],
        ),
    };
    scalars.extend(bits);
    scalars
}

#[cfg(test)]
mod tests;
