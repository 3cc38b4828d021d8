//! `percept verify`: does a model keep its promises?

use std::path::{Path, PathBuf};

use clap::Args;
use percept::model::ModelConfig;
use percept::model::properties::Properties;
use percept::train::{DEFAULT_PRESET, Device, DeviceChoice, Memory, Which, load_run, names_weights};
use percept::verify::{Check, Effort, ModelSubject, Verdict, parity, reduced, verify};
use percept::{Fault, Result};

use crate::arguments::Global;
use crate::arguments::config::resolve_named;
use crate::terminal::{Style, Terminal};

/// Tokens where the configuration leaves their number to a tokenizer.
const VOCABULARY: usize = 257;
/// Seed of random weights.
const SEED: u64 = 1;

/// Arguments of `percept verify`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept verify llp-small, or percept verify runs/mine")]
pub(crate) struct Verify {
    /// A run or a checkpoint (its trained weights are checked), a preset or a configuration file (random weights)
    #[arg(value_name = "RUN|PRESET|FILE")]
    model: Option<String>,
    /// Set one key of the configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Check a configuration as it is, not reduced in width, depth and segment length
    #[arg(long)]
    full: bool,
    /// Compare with the outputs of the authors' code in this folder, too
    #[arg(long, value_name = "FOLDER")]
    fixtures: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let choice = global.device.as_deref().unwrap_or("auto").parse::<DeviceChoice>()?;
        let (device, device_name) = choice.open()?;
        let (subject, effort) = self.subject(&device, &terminal)?;
        if device_name != "cpu" {
            terminal.say(format!("single precision and fixtures are computed on {device_name}"));
        }
        terminal.text(Style::Bold.out(&format!("{:<24} {:<7} {:>10}  {:>8}", "check", "", "value", "limit")))?;
        let mut printed = Ok(());
        let mut report = verify(&subject, effort, &mut |check| {
            if printed.is_ok() {
                printed = print(&terminal, check);
            }
        })?;
        printed?;
        if let Some(folder) = &self.fixtures {
            let checks = parity(folder, &device)?;
            checks.iter().try_for_each(|check| print(&terminal, check))?;
            report = report.with(checks);
        }
        terminal.json(&report)?;
        conclude(&terminal, &report)
    }

    fn subject(&self, device: &Device, terminal: &Terminal) -> Result<(ModelSubject, Effort)> {
        let name = self.model.as_deref().unwrap_or(DEFAULT_PRESET);
        if names_weights(Path::new(name)) {
            let (cpu, _) = "cpu".parse::<DeviceChoice>()?.open()?;
            let run = load_run(Path::new(name), Which::Best, &cpu)?;
            run.warnings.iter().for_each(|warning| terminal.warn(warning));
            let subject = ModelSubject::new(format!("{name} at step {}", run.step), &run.model, device)?;
            return Ok((subject, Effort::SAMPLED));
        }
        let model = resolve_named(Some(name), &self.set, Vec::new())?.model;
        match self.full {
            true => {
                let vocab = if model.vocab == 0 { VOCABULARY } else { model.vocab };
                let model = ModelConfig { vocab, ..model };
                let weights = Properties::of(&model)?.parameters().saturating_mul(size_of::<f32>() as u64);
                Memory::check(weights, "the model", device)?;
                Ok((ModelSubject::random(name, &model, SEED, device)?, Effort::SAMPLED))
            }
            false => Ok((
                ModelSubject::random(format!("{name}, reduced"), &reduced(&model)?, SEED, device)?,
                Effort::THOROUGH,
            )),
        }
    }
}

fn print(terminal: &Terminal, check: &Check) -> Result<()> {
    let outcome = match (check.passed, check.value) {
        (false, _) => Style::Red.out("FAILED "),
        (true, None) => Style::Dim.out("n/a    "),
        (true, Some(_)) => Style::Green.out("ok     "),
    };
    let value = check.value.map_or("-".to_string(), |value| format!("{value:.3e}"));
    terminal.text(format!(
        "{:<24} {outcome} {value:>10}  {:>8.1e}  {}",
        check.name,
        check.limit,
        Style::Dim.out(&check.detail)
    ))
}

fn conclude(terminal: &Terminal, report: &Verdict) -> Result<()> {
    if report.passed {
        terminal.say(format!("{}: all checks hold", report.model));
        return Ok(());
    }
    Err(Fault::check(format!("{}: {} does not hold", report.model, report.failures().join(", ")))
        .hint("the table says where the worst value was found"))
}
