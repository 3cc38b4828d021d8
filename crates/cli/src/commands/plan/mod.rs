//! `percept plan`: what a configuration costs, before it runs.

mod contexts;

use clap::Args;
use percept::plan::{Plan, Speed, measure_speed, plan};
use percept::train::{Memory, Override};
use percept::{Fault, Result};

use self::contexts::{ContextArgs, Timing};
use crate::arguments::Global;
use crate::arguments::config::ConfigArgs;
use crate::fit::warn_if_too_large;
use crate::human;
use crate::terminal::{Style, Terminal};

/// Training steps that are timed, after a warm-up.
const MEASURED_STEPS: usize = 2;

/// Arguments of `percept plan`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept plan llp-small --set model.context=4096\n\
    or: percept plan --context 1k..1M --models llp-base,transformer-base,perceiver-ar-base --svg costs.svg")]
pub(crate) struct PlanCommand {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only the formulas: measure no speed, estimate no time
    #[arg(long)]
    quick: bool,
    /// Estimate the time at this speed instead of measuring one, e.g. 2e14
    #[arg(long, value_name = "N", conflicts_with = "quick")]
    flops_per_second: Option<f64>,
    #[command(flatten)]
    longer: ContextArgs,
}

impl PlanCommand {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let device =
            global.device.as_deref().map(|device| Override::flag(format!("--device {device}"), "train.device", device));
        let flags: Vec<Override> = device.into_iter().collect();
        let timing = self.timing()?;
        if let Some(contexts) = self.longer.contexts()? {
            return self.longer.run(&terminal, &self.config, &flags, &contexts, timing);
        }
        let config = self.config.resolve(flags)?;
        let mut plan = against_memory(plan(&config)?);
        match timing {
            Timing::Given(speed) => plan = plan.at_speed(Speed::given(speed, config.train.precision)),
            Timing::Measured if plan.fits != Some(false) => {
                terminal.say("measuring a few training steps (--quick leaves that out)");
                plan = plan.at_speed(measure_speed(&config, MEASURED_STEPS)?);
            }
            _ => {}
        }
        print(&terminal, &plan)?;
        warn_if_too_large(&terminal, "training", &plan);
        terminal.json(&plan)
    }
}

impl PlanCommand {
    fn timing(&self) -> Result<Timing> {
        match self.flops_per_second {
            Some(speed) if speed > 0.0 && speed.is_finite() => Ok(Timing::Given(speed)),
            Some(speed) => Err(Fault::usage(format!("--flops-per-second {speed} is not a speed"))
                .hint("operations per second, e.g. 6e10 for two cores or 2e14 for a GPU")),
            None if self.quick => Ok(Timing::None),
            None => Ok(Timing::Measured),
        }
    }
}

fn against_memory(plan: Plan) -> Plan {
    match Memory::of_this_process() {
        Some(memory) => plan.against(memory.available),
        None => plan,
    }
}

fn state(plan: &Plan) -> String {
    let most = format!("{} at most", human::bytes(plan.state_bytes));
    match plan.state_bytes_bf16 < plan.state_bytes {
        true => format!("{most}, {} with keys and values in bf16", human::bytes(plan.state_bytes_bf16)),
        false => most,
    }
}

fn print(terminal: &Terminal, plan: &Plan) -> Result<()> {
    let row = |name: &str, value: String| terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<16}"))));
    row("layers", plan.layers.clone())?;
    row("parameters", human::grouped(plan.parameters))?;
    let context = human::grouped(plan.context as u64);
    row("window", format!("{context} tokens, {} of them scored", human::grouped(plan.targets_per_window as u64)))?;
    row("reach", plan.reach.map_or_else(|| "everything before".into(), |reach| human::plural(reach as u64, "token")))?;
    row("forward", format!("{} FLOP per token", human::short(plan.flops_per_token)))?;
    row("training", format!("{} FLOP per token", human::short(plan.training_flops_per_token)))?;
    row("score entries", format!("{} per window, all layers", human::grouped(plan.score_entries)))?;
    row("state", state(plan))?;
    row("memory", memory(plan))?;
    for length in plan.lengths.iter().filter(|length| length.context != plan.context) {
        row(
            &format!("at {}", human::grouped(length.context as u64)),
            format!(
                "{} FLOP per token, {} score entries, {} of state",
                human::short(length.flops_per_token),
                human::short(length.score_entries as f64),
                human::bytes(length.state_bytes)
            ),
        )?;
    }
    if let (Some(step), Some(total)) = (plan.seconds_per_step, plan.seconds_total) {
        let tokens = human::grouped(plan.tokens_per_step);
        row(
            "a step",
            format!("{step:.2} s for {tokens} tokens, {} tokens/s", human::short(plan.tokens_per_step as f64 / step)),
        )?;
        row("the run", format!("{} for {} steps", human::duration(total), human::grouped(plan.steps)))?;
    }
    Ok(())
}

fn memory(plan: &Plan) -> String {
    let peak = human::bytes(plan.peak_memory_bytes);
    match plan.available_memory_bytes {
        Some(available) => format!("about {peak} to train; {} are free", human::bytes(available)),
        None => format!("about {peak} to train"),
    }
}
