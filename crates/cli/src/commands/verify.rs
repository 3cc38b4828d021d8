//! `percept verify`: does a model keep its promises?

use std::path::{Path, PathBuf};

use clap::Args;
use percept::model::ModelConfig;
use percept::model::encoder::{EncoderConfig, EncoderProperties};
use percept::model::properties::Properties;
use percept::train::{
    DEFAULT_PRESET, Device, DeviceChoice, Memory, TaskKind, Which, load_encoder, load_run, names_weights, task_of,
};
use percept::verify::{
    Check, Effort, EncoderSubject, ModelSubject, Verdict, parity, reduced, reduced_encoder, verify, verify_encoder,
};
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

/// What is checked, and how much of it.
enum Checked {
    Language(Box<ModelSubject>, Effort),
    Encoder(Box<EncoderSubject>, Effort),
}

impl Verify {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let choice = global.device.as_deref().unwrap_or("auto").parse::<DeviceChoice>()?;
        let (device, device_name) = choice.open()?;
        let checked = self.checked(&device, &terminal)?;
        if device_name != "cpu" {
            terminal.say(format!("single precision and fixtures are computed on {device_name}"));
        }
        terminal.text(Style::Bold.out(&format!("{:<24} {:<7} {:>10}  {:>8}", "check", "", "value", "limit")))?;
        let mut printed = Ok(());
        let mut show = |check: &Check| {
            if printed.is_ok() {
                printed = print(&terminal, check);
            }
        };
        let mut report = match &checked {
            Checked::Language(subject, effort) => verify(subject.as_ref(), *effort, &mut show)?,
            Checked::Encoder(subject, effort) => verify_encoder(subject, *effort, &mut show)?,
        };
        printed?;
        if let Some(folder) = &self.fixtures {
            let checks = parity(folder, &device)?;
            checks.iter().try_for_each(|check| print(&terminal, check))?;
            report = report.with(checks);
        }
        terminal.json(&report)?;
        conclude(&terminal, &report)
    }

    fn checked(&self, device: &Device, terminal: &Terminal) -> Result<Checked> {
        let name = self.model.as_deref().unwrap_or(DEFAULT_PRESET);
        if names_weights(Path::new(name)) {
            return trained(name, device, terminal);
        }
        let config = resolve_named(Some(name), &self.set, Vec::new())?;
        match config.task {
            TaskKind::NextToken => {
                let (subject, effort) = self.random(name, config.model, device)?;
                Ok(Checked::Language(Box::new(subject), effort))
            }
            TaskKind::Masked => {
                let (subject, effort) = self.random_encoder(name, config.encoder, device)?;
                Ok(Checked::Encoder(Box::new(subject), effort))
            }
        }
    }

    fn random_encoder(&self, name: &str, encoder: EncoderConfig, device: &Device) -> Result<(EncoderSubject, Effort)> {
        if !self.full {
            let small = reduced_encoder(&encoder);
            return Ok((EncoderSubject::random(format!("{name}, reduced"), &small, SEED, device)?, Effort::THOROUGH));
        }
        let vocab = if encoder.vocab == 0 { VOCABULARY + 1 } else { encoder.vocab };
        let encoder = EncoderConfig { vocab, ..encoder };
        let weights = EncoderProperties::of(&encoder)?.parameters().saturating_mul(size_of::<f32>() as u64);
        Memory::check(weights, "the model", device)?;
        Ok((EncoderSubject::random(name, &encoder, SEED, device)?, Effort::SAMPLED))
    }

    fn random(&self, name: &str, model: ModelConfig, device: &Device) -> Result<(ModelSubject, Effort)> {
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

/// The trained weights of a run.
fn trained(name: &str, device: &Device, terminal: &Terminal) -> Result<Checked> {
    let (path, (cpu, _)) = (Path::new(name), "cpu".parse::<DeviceChoice>()?.open()?);
    let at = |step: u64| format!("{name} at step {step}");
    Ok(match task_of(path, Which::Best)? {
        TaskKind::NextToken => {
            let run = load_run(path, Which::Best, &cpu)?;
            run.warnings.iter().for_each(|warning| terminal.warn(warning));
            Checked::Language(Box::new(ModelSubject::new(at(run.step), &run.model, device)?), Effort::SAMPLED)
        }
        TaskKind::Masked => {
            let run = load_encoder(path, Which::Best, &cpu)?;
            run.warnings.iter().for_each(|warning| terminal.warn(warning));
            Checked::Encoder(Box::new(EncoderSubject::new(at(run.step), &run.model, device)?), Effort::SAMPLED)
        }
    })
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
