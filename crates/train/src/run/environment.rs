//! What a run ran on: `environment.json`.

use std::path::Path;

use percept_fault::{Fault, IoContext, Result};
use serde::{Deserialize, Serialize};

use crate::machine::precision::{PrecisionChoice, Taken};
use crate::machine::processor;
use crate::machine::speeds::ProductSpeeds;

/// The parts of the environment that the numbers of a run depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of Percept.
    pub version: String,
    /// The commit that was built, where the environment variable `PERCEPT_COMMIT` named it to the build.
    #[serde(default)]
    pub commit: Option<String>,
    /// Operating system and architecture.
    pub system: String,
    /// Name of the processor, where it can be told.
    pub cpu: Option<String>,
    /// Threads that compute.
    pub threads: usize,
    /// The device, e.g. `cpu` or `cuda:0`.
    pub device: String,
    /// Number format of the large products; f32 where a file does not say, because it is older than the choice.
    #[serde(default)]
    pub precision: PrecisionChoice,
    /// The speeds that the precision was chosen by, where they were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speeds: Option<ProductSpeeds>,
}

impl Environment {
    /// This process's environment.
    pub fn current(device: &str, precision: PrecisionChoice) -> Self {
        let [cpu] = processor::told(["model name"]);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("PERCEPT_COMMIT").map(str::to_owned),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpu,
            threads: rayon::current_num_threads(),
            device: device.to_owned(),
            precision,
            speeds: None,
        }
    }

    /// This process's environment, in which a precision was chosen.
    pub(crate) fn of_run(device: &str, taken: Taken) -> Self {
        Self { speeds: taken.speeds, ..Self::current(device, taken.precision.into()) }
    }

    /// What a file tells; `None` where there is none, or one that cannot be understood.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path).at("read", path)?;
        Ok(serde_json::from_str(&text).ok())
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| Fault::internal("cannot write the environment").because(error))?;
        percept_files::write_file(path, json.as_bytes())
    }

    /// What differs from an environment before, in words; `None` where nothing does.
    pub(crate) fn difference(&self, before: Self) -> Option<String> {
        let unknown = || "unknown".to_owned();
        let changes: Vec<String> = [
            ("version", before.version, self.version.clone()),
            ("commit", before.commit.unwrap_or_else(unknown), self.commit.clone().unwrap_or_else(unknown)),
            ("system", before.system, self.system.clone()),
            ("cpu", before.cpu.unwrap_or_else(unknown), self.cpu.clone().unwrap_or_else(unknown)),
            ("threads", before.threads.to_string(), self.threads.to_string()),
            ("device", before.device, self.device.clone()),
            ("precision", before.precision.to_string(), self.precision.to_string()),
        ]
        .into_iter()
        .filter(|(_, before, now)| before != now)
        .map(|(what, before, now)| format!("{what} {now} instead of {before}"))
        .collect();
        (!changes.is_empty()).then(|| changes.join(", "))
    }
}
