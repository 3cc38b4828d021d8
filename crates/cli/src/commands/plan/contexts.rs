//! `percept plan --context`: what longer contexts cost, for one or several models.

use std::path::{Path, PathBuf};

use clap::Args;
use percept::fault::nearest;
use percept::model::mixer::MixerKind;
use percept::plan::{ContextPlan, measure_speed, over_contexts, page};
use percept::train::{Override, RunConfig, presets};
use percept::{Fault, Result};

use super::MEASURED_STEPS;
use crate::arguments::config::ConfigArgs;
use crate::terminal::{Style, Terminal};
use crate::{human, table};

/// A context of a range to the next one.
const STEP: usize = 4;

/// Arguments of `percept plan --context`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Longer contexts")]
pub(super) struct ContextArgs {
    /// Costs at these contexts: 8k, a list 1k,8k,64k, or a range 1k..1M in steps of four (k is 1024)
    #[arg(long, value_name = "TOKENS")]
    context: Option<String>,
    /// Models to compare: presets, files, or mixers in place of the configuration's
    #[arg(long, value_name = "MODEL", value_delimiter = ',', requires = "context")]
    models: Vec<String>,
    /// Write the costs as charts on one page
    #[arg(long, value_name = "FILE", requires = "context")]
    svg: Option<PathBuf>,
}

/// Where times come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Timing {
    /// Nowhere.
    None,
    /// From a few measured steps of each model.
    Measured,
    /// From a given speed.
    Given(f64),
}

impl ContextArgs {
    /// The contexts, where there are any.
    pub(super) fn contexts(&self) -> Result<Option<Vec<usize>>> {
        self.context.as_deref().map(parse).transpose()
    }

    /// Prints the costs, and writes the page if asked to.
    pub(super) fn run(
        &self,
        terminal: &Terminal,
        base: &ConfigArgs,
        flags: &[Override],
        contexts: &[usize],
        timing: Timing,
    ) -> Result<()> {
        let mut plans = Vec::new();
        for (name, config) in self.configurations(base, flags)? {
            let speed = match timing {
                Timing::None => None,
                Timing::Given(speed) => Some(speed),
                Timing::Measured => {
                    terminal.say(format!("measuring a few training steps of {name} (--quick leaves that out)"));
                    Some(measure_speed(&config, MEASURED_STEPS)?.flops_per_second)
                }
            };
            plans.push(over_contexts(name, &config, contexts, speed)?);
        }
        print(terminal, &plans)?;
        if let Some(path) = &self.svg {
            percept::files::write_with_folder(path, page(&plans).as_bytes())?;
            terminal.say(format!("{}: charts for a printed page", human::path(path)));
        }
        terminal.json(&serde_json::json!({ "contexts": contexts, "models": plans }))
    }

    fn configurations(&self, base: &ConfigArgs, flags: &[Override]) -> Result<Vec<(String, RunConfig)>> {
        if self.models.is_empty() {
            return Ok(vec![(base.name().to_string(), base.resolve(flags.to_vec())?)]);
        }
        self.models.iter().map(|name| Ok((name.clone(), configuration(name, base, flags)?))).collect()
    }
}

/// A preset or a file by its name; a mixer's name stands for the base configuration with that mixer in every layer.
fn configuration(name: &str, base: &ConfigArgs, flags: &[Override]) -> Result<RunConfig> {
    let is_preset = presets().iter().any(|preset| preset.name == name);
    if is_preset || Path::new(name).is_file() {
        return base.resolve_instead(name, flags.to_vec());
    }
    if MixerKind::from_name(name).is_some() {
        let layers = Override::flag(format!("--models {name}"), "model.layers", name);
        return base.resolve(flags.iter().cloned().chain([layers]).collect());
    }
    let known = presets().iter().map(|preset| preset.name).chain(MixerKind::all_names());
    let fault = Fault::usage(format!("--models: `{name}` is no preset, file or mixer"));
    Err(match nearest(name, known) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("mixers: {}", MixerKind::all_names().collect::<Vec<_>>().join(", "))),
    })
}

fn print(terminal: &Terminal, plans: &[ContextPlan]) -> Result<()> {
    let headings =
        ["model", "context", "targets", "forward/token", "training/token", "scores", "memory", "state", "time/token"];
    let rows = plans.iter().flat_map(|plan| {
        plan.costs.iter().map(|cost| {
            vec![
                plan.model.clone(),
                human::grouped(cost.context as u64),
                human::grouped(cost.targets as u64),
                format!("{} FLOP", human::short(cost.flops_per_token)),
                format!("{} FLOP", human::short(cost.training_flops_per_token)),
                human::short(cost.score_entries as f64),
                human::bytes(cost.memory_bytes),
                human::bytes(cost.state_bytes),
                cost.seconds_per_token.map_or("-".to_string(), human::short_duration),
            ]
        })
    });
    terminal.text(table::text(&headings, rows))?;
    terminal
        .text(Style::Dim.out("targets and scores: of one window; memory: to train on one window; time: of training"))
}

/// `8k`, `1k,8k,64k` or `1k..1M`, in any mixture.
fn parse(text: &str) -> Result<Vec<usize>> {
    let mut contexts = Vec::new();
    for part in text.split(',') {
        match part.split_once("..") {
            None => contexts.push(tokens(part)?),
            Some((from, to)) => {
                let (from, to) = (tokens(from)?, tokens(to)?);
                if from >= to {
                    return Err(wrong(part, "does not rise"));
                }
                contexts.extend(std::iter::successors(Some(from), |n| n.checked_mul(STEP)).take_while(|n| *n < to));
                contexts.push(to);
            }
        }
    }
    contexts.sort_unstable();
    contexts.dedup();
    Ok(contexts)
}

fn tokens(text: &str) -> Result<usize> {
    let text = text.trim();
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        _ => (text, 1),
    };
    let count = digits.parse().ok().and_then(|count: usize| count.checked_mul(unit));
    // A chart of more than that says nothing, and the formulas would overflow.
    match count {
        Some(count) if (1..=1 << 28).contains(&count) => Ok(count),
        Some(_) => Err(wrong(text, "is not between 1 and 256M")),
        None => Err(wrong(text, "is no number of tokens")),
    }
}

fn wrong(part: &str, what: &str) -> Fault {
    Fault::usage(format!("--context: `{part}` {what}")).hint("write 8k, a list 1k,8k,64k, or a range 1k..1M")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_numbers_lists_and_ranges() {
        let parsed = |text: &str| parse(text).unwrap();
        assert_eq!(parsed("1000"), [1000]);
        assert_eq!(parsed("64k,1K, 8k"), [1024, 8192, 65_536]);
        assert_eq!(parsed("1k..1M"), [1024, 4096, 16_384, 65_536, 262_144, 1_048_576]);
        assert_eq!(parsed("1k..6k,4k"), [1024, 4096, 6144]);
        for text in ["", "k", "x", "8k..1k", "1k..", "0", "1G", "999999999999999999999M", "-1"] {
            assert!(parse(text).unwrap_err().is_usage(), "{text}");
        }
    }
}
