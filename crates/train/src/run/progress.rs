//! `progress.json`: where a checkpoint stands, and the marks of its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use percept_fault::{Fault, IoContext, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::machine::precision::PrecisionChoice;

/// What a run knows besides weights and moments.
///
/// Dropout masks and samples depend on the seed and the step alone, so there is no other random state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Layout of the checkpoint.
    pub(crate) format: u32,
    /// Steps done.
    pub(crate) step: u64,
    /// What was read, e.g. positions.
    pub(crate) tokens: u64,
    /// Targets trained.
    pub(crate) targets: u64,
    /// Training time in seconds.
    pub(crate) seconds: f64,
    /// Steps of the run, where its time limit has set them.
    #[serde(default)]
    pub(crate) planned: Option<u64>,
    /// Number format of the large products; unknown in checkpoints of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) precision: Option<PrecisionChoice>,
    /// The place in the data, in the form of whatever reads it.
    pub(crate) position: Value,
    /// Fingerprint of the held-out data; unknown in checkpoints of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held_out: Option<String>,
    /// What has gathered since the last line of metrics.
    pub(crate) interval: Interval,
    /// The best validation so far.
    pub(crate) best: Option<Best>,
    /// Length and checksum of every other file.
    pub(crate) files: BTreeMap<String, FileMark>,
}

/// Sums since the last line of metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// Negative log-likelihood in nats.
    pub(crate) nll: f64,
    /// Targets.
    pub(crate) targets: u64,
    /// Positions.
    pub(crate) tokens: u64,
    /// Seconds.
    pub(crate) seconds: f64,
}

/// The best validation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Its step.
    pub(crate) step: u64,
    /// Its mean negative log-likelihood per target in nats.
    pub(crate) loss: f64,
}

/// What a file must look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileMark {
    /// Length.
    pub(crate) bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// The layout that this version writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// Name of the file.
pub(crate) const PROGRESS: &str = "progress.json";

/// Which files of a checkpoint will be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Used {
    /// All: training goes on.
    Everything,
    /// That one; the moments of the optimizer are twice as large as the weights.
    Only(&'static str),
}

impl Used {
    fn includes(self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(used) => name == used,
        }
    }
}

impl FileMark {
    /// The mark of a file as it is on the disk.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        Ok(Self { bytes: fs::metadata(path).at("read", path)?.len(), sha256: percept_files::sha256(path)? })
    }
}

impl Progress {
    /// Before the first step; `position`: where the data begins.
    pub(crate) fn fresh(position: Value) -> Self {
        Self {
            format: FORMAT,
            step: 0,
            tokens: 0,
            targets: 0,
            seconds: 0.0,
            planned: None,
            precision: None,
            position,
            held_out: None,
            interval: Interval::default(),
            best: None,
            files: BTreeMap::new(),
        }
    }

    /// Writes `progress.json` into a folder, with its own checksum.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let mut value = serde_json::to_value(self).map_err(internal)?;
        let checksum = checksum(&value);
        if let Value::Object(fields) = &mut value {
            fields.insert("sha256".into(), checksum.into());
        }
        let text = serde_json::to_string_pretty(&value).map_err(internal)?;
        percept_files::write_file(&folder.join(PROGRESS), text.as_bytes())
    }

    /// Reads `progress.json` and compares the files of the folder with their marks: all lengths, and the contents of those
    /// that will be used.
    ///
    /// # Errors
    /// A fault that names the first file that is missing, truncated or changed.
    pub(crate) fn verify(folder: &Path, used: Used) -> Result<Self> {
        let progress = Self::read_in(folder)?;
        for (name, mark) in &progress.files {
            let path = folder.join(name);
            let bytes = fs::metadata(&path).at("read", &path)?.len();
            if bytes != mark.bytes {
                return Err(broken(&path, &format!("has {bytes} bytes instead of {}", mark.bytes)));
            }
            if used.includes(name) && percept_files::sha256(&path)? != mark.sha256 {
                return Err(broken(&path, "has changed since it was written"));
            }
        }
        Ok(progress)
    }

    /// Reads `progress.json` of a folder without looking at the other files.
    pub(crate) fn read_in(folder: &Path) -> Result<Self> {
        Self::read(&folder.join(PROGRESS))
    }

    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).at("read", path)?;
        let mut value: Value =
            serde_json::from_str(&text).map_err(|error| broken(path, "is no JSON").because(error))?;
        let stored = value.as_object_mut().and_then(|fields| fields.remove("sha256"));
        if stored.as_ref().and_then(Value::as_str) != Some(checksum(&value).as_str()) {
            return Err(broken(path, "has changed since it was written"));
        }
        if value.get("format").and_then(Value::as_u64) != Some(FORMAT.into()) {
            return Err(broken(path, "was written by another version"));
        }
        serde_json::from_value(value).map_err(|error| broken(path, "is incomplete").because(error))
    }
}

/// Objects are kept sorted by key, so equal values have equal text.
fn checksum(value: &Value) -> String {
    percept_files::hex(&Sha256::digest(value.to_string()))
}

fn broken(path: &Path, what: &str) -> Fault {
    Fault::environment(format!("{} {what}", path.display()))
}

fn internal(error: serde_json::Error) -> Fault {
    Fault::internal("cannot write progress").because(error)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A progress with fractions that a decimal rounding would change.
    pub(crate) fn example() -> Progress {
        Progress {
            format: FORMAT,
            step: 5,
            tokens: 640,
            targets: 600,
            seconds: 1.0 / 3.0,
            planned: None,
            precision: Some(PrecisionChoice::Bf16),
            position: serde_json::json!({ "taken": u64::MAX }),
            held_out: Some("0123".into()),
            interval: Interval { nll: 0.1 + 0.2, targets: 7, tokens: 8, seconds: 1e-9 },
            best: Some(Best { step: 4, loss: 2.0f64.sqrt() }),
            files: BTreeMap::new(),
        }
    }

    #[test]
    fn progress_reads_back_exactly() {
        let folder = tempfile::tempdir().unwrap();
        example().write(folder.path()).unwrap();
        assert_eq!(Progress::verify(folder.path(), Used::Everything).unwrap(), example());
    }
}
