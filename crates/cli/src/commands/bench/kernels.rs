//! `percept bench kernels`: every kernel by itself, beside the peaks of the machine.

use clap::Args;
use percept::model::config::LayerSpec;
use percept::model::properties::Properties;
use percept::train::{Environment, PrecisionChoice};
use percept::{Fault, Result};
use percept_kernels::bench::{Bound, Case, Shapes, amx_peak, bf16_peak, cases, fma_peak, read_bandwidth};
use serde::Serialize;

use super::subject::{ModelArgs, Subject};
use super::timing::Times;
use crate::arguments::Global;
use crate::meter::Meter;
use crate::terminal::{Format, Talk, Terminal};

/// Arguments of `percept bench kernels`.
#[derive(Debug, Args)]
#[command(
    after_help = "The shapes are those of one training step of the configuration. Arrays that stay in a cache are read\n\
    faster than memory: their share of the peak may exceed 100 %."
)]
pub(super) struct Kernels {
    #[command(flatten)]
    model: ModelArgs,
    /// Only kernels whose name contains this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Calls on the clock, after two that warm up
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = super::at_least_one)]
    steps: usize,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct KernelReport {
    task: &'static str,
    config: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
    precision: &'static str,
    peaks: Peaks,
    kernels: Vec<Row>,
    machine: Environment,
}

/// What the machine can do at best, measured.
#[derive(Debug, Clone, Copy, Serialize)]
struct Peaks {
    fma_gflop_per_s: f64,
    bf16_gflop_per_s: Option<f64>,
    amx_gflop_per_s: Option<f64>,
    read_gb_per_s: f64,
}

/// One kernel.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    min_ms: f64,
    median_ms: f64,
    gflop_per_s: Option<f64>,
    gb_per_s: f64,
    /// What limits it: `arithmetic`, `bf16 arithmetic`, `AMX arithmetic` or `memory`.
    bound: &'static str,
    /// Share of the peak of what limits it.
    of_peak: f64,
}

impl Kernels {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let subject = self.model.resolve(global, Vec::new())?;
        let mut cases = cases(&shapes(&subject)?);
        if let Some(only) = &self.only {
            let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
            cases.retain(|case| case.name.to_lowercase().contains(&only.to_lowercase()));
            if cases.is_empty() {
                return Err(Fault::usage(format!("no kernel has `{only}` in its name")).hint(names.join(", ")));
            }
        }
        let mut meter = Meter::new(terminal, "kernels", cases.len() as u64 + 1);
        meter.set(0, || "measuring the machine's peaks".into());
        let peaks = Peaks::measure();
        let mut rows = Vec::with_capacity(cases.len());
        for (done, case) in (1..).zip(&cases) {
            meter.set(done, || case.name.clone());
            rows.push(self.time(case, &peaks)?);
        }
        drop(meter);
        let report = KernelReport {
            task: "kernels",
            config: subject.name,
            changes: subject.changes,
            precision: "f32",
            peaks,
            kernels: rows,
            machine: Environment::current("cpu", PrecisionChoice::F32),
        };
        report.print(&terminal)?;
        terminal.json(&report)
    }

    fn time(&self, case: &Case, peaks: &Peaks) -> Result<Row> {
        let mut call = case.prepare();
        let quiet = Terminal { talk: Talk::Quiet, format: Format::Text };
        let times = Times::measure(quiet, &case.name, self.steps, |_| {
            call();
            Ok(())
        })?;
        let seconds = times.median() / 1e3;
        let (flops, bytes) = (case.flops / seconds / 1e9, case.bytes / seconds / 1e9);
        let (bound, of_peak) = match case.bound {
            Bound::Arithmetic => ("arithmetic", flops / peaks.fma_gflop_per_s),
            // A case in bf16 exists only where the processor has its instructions.
            Bound::Bf16Arithmetic => ("bf16 arithmetic", flops / peaks.bf16_gflop_per_s.unwrap_or(f64::NAN)),
            Bound::AmxArithmetic => ("AMX arithmetic", flops / peaks.amx_gflop_per_s.unwrap_or(f64::NAN)),
            Bound::Memory => ("memory", bytes / peaks.read_gb_per_s),
        };
        Ok(Row {
            name: case.name.clone(),
            min_ms: times.min(),
            median_ms: times.median(),
            gflop_per_s: (case.flops > 0.0).then_some(flops),
            gb_per_s: bytes,
            bound,
            of_peak,
        })
    }
}

impl Peaks {
    fn measure() -> Self {
        Self {
            fma_gflop_per_s: fma_peak() / 1e9,
            bf16_gflop_per_s: bf16_peak().map(|peak| peak / 1e9),
            amx_gflop_per_s: amx_peak().map(|peak| peak / 1e9),
            read_gb_per_s: read_bandwidth() / 1e9,
        }
    }
}

/// The sizes of one training step.
fn shapes(subject: &Subject) -> Result<Shapes> {
    let (model, train) = (&subject.config.model, &subject.config.train);
    Ok(Shapes {
        batch: train.batch,
        context: model.context,
        segment: model.layer_specs()?.iter().find_map(LayerSpec::segment).unwrap_or(model.context),
        dim: model.dim,
        hidden: model.hidden_dim(),
        heads: model.heads,
        vocab: model.vocab,
        parameters: Properties::of(model)?.parameters() as usize,
    })
}

impl KernelReport {
    fn print(&self, terminal: &Terminal) -> Result<()> {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["kernel", "median ms", "fastest ms", "GFLOP/s", "GB/s", "of the peak"]);
        for row in &self.kernels {
            table.add_row([
                row.name.clone(),
                format!("{:.3}", row.median_ms),
                format!("{:.3}", row.min_ms),
                row.gflop_per_s.map_or(String::new(), |rate| format!("{rate:.0}")),
                format!("{:.1}", row.gb_per_s),
                format!("{:.0} % {}", row.of_peak * 100.0, row.bound),
            ]);
        }
        for column in 1..=4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
        terminal.text(table.to_string())?;
        let bf16 = self.peaks.bf16_gflop_per_s.map_or(String::new(), |peak| format!(", {peak:.0} in bf16 products"));
        let amx =
            self.peaks.amx_gflop_per_s.map_or(String::new(), |peak| format!(", {peak:.0} in bf16 products of AMX"));
        let Peaks { fma_gflop_per_s, read_gb_per_s, .. } = self.peaks;
        let threads = self.machine.threads;
        terminal.text(format!(
            "peaks of {threads} threads: {fma_gflop_per_s:.0} GFLOP/s in f32{bf16}{amx}; {read_gb_per_s:.1} GB/s read"
        ))
    }
}
