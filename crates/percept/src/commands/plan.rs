//! `percept plan`: what a configuration costs, before it runs.

use clap::Args;
use percept::Result;
use percept::eval::plan::{Plan, measure_speed, plan};
use percept::train::{Override, RunConfig};

use super::config_args::ConfigArgs;
use crate::cli::Global;
use crate::terminal::{Style, Terminal};
use crate::{human, machine};

/// Training steps that are timed, after a warm-up.
const MEASURED_STEPS: usize = 2;

/// Arguments of `percept plan`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept plan llp-small --set model.context=4096")]
pub(crate) struct PlanCommand {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only the formulas: measure no speed, estimate no time
    #[arg(long)]
    quick: bool,
}

impl PlanCommand {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let device =
            global.device.as_deref().map(|device| Override::flag(format!("--device {device}"), "train.device", device));
        let config = self.config.resolve(device.into_iter().collect())?;
        let mut plan = against_memory(plan(&config)?);
        if !self.quick && plan.fits != Some(false) {
            terminal.say("measuring a few training steps (--quick leaves that out)");
            plan = plan.at_speed(measure_speed(&config, MEASURED_STEPS)?);
        }
        print(&terminal, &plan)?;
        warn_if_too_large(&terminal, &plan);
        terminal.json(&plan)
    }
}

/// Warns where a run will probably need more memory than there is.
pub(crate) fn warn_if_it_does_not_fit(terminal: &Terminal, config: &RunConfig) -> Result<()> {
    warn_if_too_large(terminal, &against_memory(plan(config)?));
    Ok(())
}

fn against_memory(plan: Plan) -> Plan {
    match machine::memory() {
        Some(memory) => plan.against(memory.available),
        None => plan,
    }
}

fn warn_if_too_large(terminal: &Terminal, plan: &Plan) {
    if let (Some(false), Some(available)) = (plan.fits, plan.available_memory_bytes) {
        terminal.warn(format!(
            "training needs about {} and {} are free; a smaller train.batch, or train.recompute = \"blocks\", needs less",
            human::bytes(plan.peak_memory_bytes),
            human::bytes(available)
        ));
    }
}

fn print(terminal: &Terminal, plan: &Plan) -> Result<()> {
    let row = |name: &str, value: String| terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<16}"))));
    row("layers", plan.layers.clone())?;
    row("parameters", human::grouped(plan.parameters))?;
    let context = human::grouped(plan.context as u64);
    row("window", format!("{context} tokens, {} of them scored", human::grouped(plan.targets_per_window as u64)))?;
    row("reach", human::plural(plan.reach as u64, "token"))?;
    row("forward", format!("{} FLOP per token", human::short(plan.flops_per_token)))?;
    row("training", format!("{} FLOP per token", human::short(plan.training_flops_per_token)))?;
    row("score entries", format!("{} per window, all layers", human::grouped(plan.score_entries)))?;
    row("state", format!("{} at most", human::bytes(plan.state_bytes)))?;
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
