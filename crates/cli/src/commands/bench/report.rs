//! What a measurement of a model prints.

use percept::Result;
use percept::train::{Environment, PrecisionChoice};
use serde::Serialize;

use super::subject::Subject;
use super::timing::Times;
use crate::terminal::{Style, Terminal};
use crate::{human, machine};

/// The measurement of one task. Its keys are an interface.
#[derive(Debug, Serialize)]
pub(super) struct Measurement {
    pub(super) task: &'static str,
    /// `S`, `M`, `L`, a preset or a file.
    pub(super) config: String,
    /// What was changed on top of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) changes: Vec<String>,
    pub(super) precision: String,
    pub(super) layers: String,
    pub(super) parameters: u64,
    /// Measurements on the clock.
    pub(super) steps: usize,
    /// Tokens of each of them.
    pub(super) tokens: usize,
    pub(super) min_ms: f64,
    pub(super) median_ms: f64,
    pub(super) ms_per_token: f64,
    pub(super) tokens_per_s: f64,
    /// The process's peak resident memory, where the system tells.
    pub(super) peak_rss_mib: Option<f64>,
    #[serde(flatten)]
    pub(super) details: Details,
    /// Version, commit, processor, threads, device and number format.
    pub(super) machine: Environment,
}

/// What only some tasks have.
#[derive(Debug, Default, Serialize)]
pub(super) struct Details {
    /// Operations of the model's matrix products per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gflop_per_s: Option<f64>,
    /// Loss of the last step, in nats per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss: Option<f64>,
    /// Position of the first token that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<usize>,
    /// Streams that are written at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) streams: Option<usize>,
    /// How exactly streams keep keys and values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keys_values: Option<&'static str>,
    /// A stream's state at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_bytes: Option<usize>,
    /// Bytes of weights that are read per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weights_gb_per_s: Option<f64>,
}

/// What was timed.
pub(super) struct Timed {
    pub(super) task: &'static str,
    pub(super) precision: String,
    /// Number format of the large products.
    pub(super) products: PrecisionChoice,
    /// Where it ran.
    pub(super) device: String,
    pub(super) parameters: usize,
    pub(super) steps: usize,
    /// Tokens per measurement.
    pub(super) tokens: usize,
    pub(super) times: Times,
    /// The time that a measurement takes, the median unless the mean is asked for: milliseconds.
    pub(super) typical: f64,
}

impl Measurement {
    pub(super) fn new(subject: &Subject, timed: Timed, details: Details) -> Self {
        Self {
            task: timed.task,
            config: subject.name.clone(),
            changes: subject.changes.clone(),
            precision: timed.precision,
            layers: subject.config.model.layers.clone(),
            parameters: timed.parameters as u64,
            steps: timed.steps,
            tokens: timed.tokens,
            min_ms: timed.times.min(),
            median_ms: timed.times.median(),
            ms_per_token: timed.typical / timed.tokens as f64,
            tokens_per_s: timed.tokens as f64 / timed.typical * 1e3,
            peak_rss_mib: machine::peak_resident().map(mib),
            details,
            machine: Environment::current(&timed.device, timed.products),
        }
    }

    pub(super) fn print(&self, terminal: &Terminal) -> Result<()> {
        for (name, value) in self.rows() {
            terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<12}"))))?;
        }
        terminal.json(self)
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let changes: String = self.changes.iter().map(|change| format!(", {change}")).collect();
        let mut rows = vec![
            ("model", format!("{}{changes}: {}", self.config, self.layers)),
            ("parameters", human::grouped(self.parameters)),
            ("precision", self.precision.clone()),
            ("median", format!("{:.3} ms for {}", self.median_ms, human::plural(self.tokens as u64, "token"))),
            ("fastest", format!("{:.3} ms of {}", self.min_ms, human::plural(self.steps as u64, "measurement"))),
            ("per token", format!("{:.4} ms, {} tokens/s", self.ms_per_token, human::short(self.tokens_per_s))),
        ];
        let details = &self.details;
        rows.extend(details.gflop_per_s.map(|rate| ("arithmetic", format!("{rate:.0} GFLOP/s"))));
        rows.extend(details.weights_gb_per_s.map(|rate| ("weights", format!("{rate:.1} GB/s read"))));
        rows.extend(details.position.map(|position| ("position", human::grouped(position as u64))));
        rows.extend(details.streams.map(|streams| ("streams", streams.to_string())));
        rows.extend(details.state_bytes.map(|bytes| ("state", human::bytes(bytes as u64))));
        rows.extend(details.keys_values.map(|format| ("keys, values", format.into())));
        rows.extend(self.peak_rss_mib.map(|peak| ("memory", format!("{peak:.1} MiB resident at the peak"))));
        let cpu = self.machine.cpu.as_deref().unwrap_or("unknown processor");
        let threads = human::plural(self.machine.threads as u64, "thread");
        rows.push(("machine", format!("{cpu}, {threads}, device {}", self.machine.device)));
        rows
    }
}

/// Bytes in MiB.
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_typical_time() {
        let (name, changes) = ("S".to_owned(), Vec::new());
        let subject = Subject { name, changes, config: percept::train::RunConfig::default() };
        let timed = Timed {
            task: "decode",
            precision: "int8".into(),
            products: PrecisionChoice::Bf16,
            device: "cpu".into(),
            parameters: 5,
            steps: 3,
            tokens: 4,
            times: Times::new(vec![9.0, 2.0, 1.0]),
            typical: 8.0,
        };
        let report = Measurement::new(&subject, timed, Details::default());
        assert_eq!((report.min_ms, report.median_ms), (1.0, 2.0));
        assert_eq!((report.ms_per_token, report.tokens_per_s), (2.0, 500.0));
        assert_eq!((report.precision.as_str(), report.machine.precision), ("int8", PrecisionChoice::Bf16));
        assert_eq!(mib(3 << 20), 3.0);
    }
}
