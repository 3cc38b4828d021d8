//! What a run ran on: `environment.json`.

use std::path::Path;

use percept_fault::{Fault, IoContext, Result};
use serde::{Deserialize, Serialize};

use crate::machine::precision::PrecisionChoice;

/// The parts of the environment that the numbers of a run depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Environment {
    /// This process's environment.
    pub fn current(device: &str, precision: PrecisionChoice) -> Self {
        let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("PERCEPT_COMMIT").map(str::to_owned),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpu: cpu.map(|(_, name)| name.to_owned()),
            threads: rayon::current_num_threads(),
            device: device.to_owned(),
            precision,
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| Fault::internal("cannot write the environment").because(error))?;
        percept_files::write_file(path, json.as_bytes())
    }

    /// What differs from the environment in a file, in words; `None` where nothing does or nothing is known.
    pub(crate) fn difference(&self, path: &Path) -> Result<Option<String>> {
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path).at("read", path)?;
        let Ok(before) = serde_json::from_str::<Self>(&text) else { return Ok(None) };
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
        Ok((!changes.is_empty()).then(|| changes.join(", ")))
    }
}
