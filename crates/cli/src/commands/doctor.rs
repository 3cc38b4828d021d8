//! `percept doctor`: what this machine offers and what the program can use of it.

use clap::Args;
use percept::Result;
use percept::data::DataConfig;
use percept::model::ops::Precision;
use percept::train::{DeviceKind, FormatSpeed, Memory, PrecisionChoice, ProductSpeeds};
use serde::Serialize;

use crate::arguments::Global;
use crate::human;
use crate::machine;
use crate::terminal::Style;

/// Widths of models that a CPU trains: what is faster may depend on them.
const WIDTHS: [usize; 3] = [256, 512, 768];

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
    /// How fast products are in each format, where there is a choice.
    products: Vec<Products>,
    memory: Option<Memory>,
    devices: Vec<Devices>,
}

/// Products of one width.
#[derive(Debug, Serialize)]
struct Products {
    #[serde(flatten)]
    speeds: ProductSpeeds,
    /// What `--precision auto` takes at this width.
    auto: PrecisionChoice,
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
            products: products(),
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

/// Measures what there is to choose from, and keeps it for `--precision auto`.
fn products() -> Vec<Products> {
    let choices = Precision::ALL.into_iter().filter(|precision| precision.is_supported());
    let widths: &[usize] = if choices.count() > 1 { &WIDTHS } else { &[] };
    let measure = |&width| ProductSpeeds::measured(&DataConfig::default(), width);
    widths.iter().map(measure).map(|speeds| Products { auto: speeds.fastest().into(), speeds }).collect()
}

impl Products {
    fn describe(&self) -> String {
        let format = |format: &FormatSpeed| {
            let FormatSpeed { instructions, gflop_per_s, .. } = format;
            format!("{} {gflop_per_s:.0} ({instructions})", format.name())
        };
        let formats: Vec<String> = self.speeds.formats.iter().map(format).collect();
        let (width, auto) = (self.speeds.width, self.auto);
        format!("width {width}: {} GFLOP/s; --precision auto takes {auto}", formats.join(", "))
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
        rows.extend(self.products.iter().map(|products| ("products", products.describe())));
        rows.extend(self.devices.iter().map(|devices| (devices.kind, devices.describe())));
        rows
    }
}
