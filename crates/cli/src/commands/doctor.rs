//! `percept doctor`: what this machine offers and what the program can use of it.

use clap::Args;
use percept::Result;
use percept::model::ops::Precision;
use percept::train::{DeviceKind, Memory};
use serde::Serialize;

use crate::arguments::Global;
use crate::human;
use crate::machine;
use crate::terminal::Style;

/// Arguments of `percept doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Diagnosis {
    version: &'static str,
    system: String,
    cores: usize,
    threads: usize,
    simd: Vec<&'static str>,
    /// Whether the CPU trains in bf16.
    bf16: bool,
    memory: Option<Memory>,
    devices: Vec<Devices>,
}

/// One kind of device.
#[derive(Debug, Serialize)]
struct Devices {
    kind: &'static str,
    compiled_in: bool,
    present: usize,
}

impl Doctor {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let report = Diagnosis {
            version: env!("CARGO_PKG_VERSION"),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cores: machine::cores(),
            threads: rayon::current_num_threads(),
            simd: machine::simd(),
            bf16: Precision::Bf16.is_supported(),
            memory: Memory::of_this_process(),
            devices: DeviceKind::ALL.into_iter().map(Devices::of).collect(),
        };
        let terminal = global.terminal();
        for (name, value) in report.rows() {
            terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<10}"))))?;
        }
        terminal.json(&report)
    }
}

impl Devices {
    fn of(kind: DeviceKind) -> Self {
        Self { kind: kind.name(), compiled_in: kind.is_compiled_in(), present: kind.devices().len() }
    }

    fn describe(&self) -> String {
        match (self.compiled_in, self.present) {
            (false, _) => format!("not compiled in (cargo build --release --features {})", self.kind),
            (true, 0) => "compiled in, none present".into(),
            (true, count) => human::plural(count as u64, "device"),
        }
    }
}

impl Diagnosis {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let memory = match self.memory {
            Some(memory) => format!("{} free of {}", human::bytes(memory.available), human::bytes(memory.total)),
            None => "unknown on this system".into(),
        };
        let simd = match self.simd.as_slice() {
            [] => "none that the kernels use: this will be slow".into(),
            sets => sets.join(", "),
        };
        let bf16 = match self.bf16 {
            true => "percept train --precision bf16 works here",
            false => "no AVX512-BF16: training on this processor is in f32",
        };
        let mut rows = vec![
            ("percept", self.version.to_string()),
            ("system", self.system.clone()),
            ("cores", format!("{}, {} in use", self.cores, human::plural(self.threads as u64, "thread"))),
            ("simd", simd),
            ("bf16", bf16.into()),
            ("memory", memory),
        ];
        rows.extend(self.devices.iter().map(|devices| (devices.kind, devices.describe())));
        rows
    }
}
