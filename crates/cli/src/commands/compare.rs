//! `percept compare`: several models under equal conditions.

use std::path::{Path, PathBuf};

use clap::Args;
use percept::compare::report;
use percept::compare::{Budget, Comparison, Ended, Lineup, ModelSpec, Parameters, Purpose, REPORT, Spec, Sweep};
use percept::train::Override;
use percept::{Fault, Result};

use crate::arguments::Global;
use crate::arguments::config::{TrainingArgs, environment, sets};
use crate::comparison::{Comparing, print_preview};
use crate::fit::ForceArgs;
use crate::terminal::{Style, Terminal, invocation};
use crate::training::DataMeter;
use crate::{human, interrupt, out_of_memory};

/// Arguments of `percept compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "For example: percept compare --models llp,perceiver-ar,transformer --data my-texts/ --budget 20m\n\
    The same command goes on where it was interrupted. A model that diverges is left out of the ranking. What is equal for all models: docs/comparison.md."
)]
pub(crate) struct Compare {
    /// File that says what to compare; flags change it
    #[arg(value_name = "SPEC")]
    spec: Option<PathBuf>,
    /// Presets, mixers, or `hybrid`; separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    models: Vec<String>,
    /// Size of the models that are named by their mixer: tiny, small, base [default: tiny]
    #[arg(long, value_name = "SIZE")]
    size: Option<String>,
    /// What every run may use: 20m, 6M tokens, 6M targets, 1e15 flops
    #[arg(long, value_name = "AMOUNT")]
    budget: Option<String>,
    /// Seeds, separated by commas: weights, data order and dropout [default: 1]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Search the learning rate, with equal effort for every model
    #[arg(long, value_name = "lr=POINTS")]
    sweep: Option<String>,
    /// Leave the models' sizes as they are, instead of matching their parameters within 2 %
    #[arg(long)]
    as_given: bool,
    /// Set one key of every model's configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of the runs and the report; by default comparisons/ and the name of the file
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Show what would run, with parameters, operations and time, and run nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    training: TrainingArgs,
}

impl Compare {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let spec = self.specification(global)?;
        let folder = self.out.clone().unwrap_or_else(|| Path::new("comparisons").join(&spec.name));
        let lineup = {
            let mut meter = DataMeter::new(terminal);
            let purpose = if self.dry_run { Purpose::Preview } else { Purpose::Run };
            Lineup::new(spec, &folder, purpose, &mut meter)?
        };
        lineup.notes().iter().for_each(|note| terminal.warn(note));
        if self.dry_run {
            let preview = lineup.preview()?;
            print_preview(&terminal, &preview)?;
            return terminal.json(&preview);
        }
        for contender in lineup.contenders() {
            let what = format!("training {}", contender.name);
            self.force.check_plan(&terminal, &what, &contender.config, contender.plan.clone())?;
        }
        out_of_memory::hint("what was trained is saved, and the same command goes on from there; a smaller train.batch needs less memory".into());
        let ended = {
            let mut comparing = Comparing::new(terminal);
            lineup.run(interrupt::save_first(), &mut |event| comparing.event(event))?
        };
        conclude(&terminal, &ended, &folder)
    }

    fn specification(&self, global: &Global) -> Result<Spec> {
        let mut spec = match &self.spec {
            Some(path) => Spec::read(path)?,
            None => Spec::default(),
        };
        if !self.models.is_empty() {
            spec.models = self.models.iter().map(|name| ModelSpec::named(name, "--models: ")).collect();
        }
        if let Some(size) = &self.size {
            spec.size.clone_from(size);
        }
        if let Some(budget) = &self.budget {
            spec.budget = Some(budget.parse::<Budget>()?);
        }
        if !self.seeds.is_empty() {
            (spec.seeds, spec.finalists) = (self.seeds.clone(), None);
        }
        if let Some(sweep) = &self.sweep {
            spec.sweep = Some(Sweep::from_flag(sweep)?);
        }
        if self.as_given {
            spec.parameters = Parameters::AsGiven;
        }
        spec.base.extend(self.overrides(global)?);
        Ok(spec)
    }

    fn overrides(&self, global: &Global) -> Result<Vec<Override>> {
        let mut overrides = environment()?;
        overrides.extend(sets(&self.set)?);
        overrides.extend(self.training.overrides(global));
        Ok(overrides)
    }
}

/// Prints the end; an interrupted comparison is a fault with exit code 130.
fn conclude(terminal: &Terminal, ended: &Ended, folder: &Path) -> Result<()> {
    let (Ended::Finished(comparison) | Ended::Interrupted(comparison)) = ended;
    terminal.json(comparison)?;
    let found = report::read(folder)?;
    let files = report::write_views(folder, &found)?;
    if matches!(ended, Ended::Interrupted(_)) {
        return Err(Fault::interrupted("interrupted; what was trained is saved")
            .hint(format!("the same `{} compare` command goes on from there", invocation())));
    }
    terminal.text(Style::Bold.out(&comparison.name))?;
    terminal.text(report::terminal(&found).trim_end())?;
    warn_where_unequal(terminal, comparison);
    for file in [folder.join(REPORT)].iter().chain(&files) {
        terminal.say(format!("report: {}", human::path(file)));
    }
    warn_of_failures(terminal, comparison, folder);
    match comparison.is_meaningful() {
        true => Ok(()),
        false => Err(nothing_to_compare(comparison)),
    }
}

/// Models without a result are easily overlooked in a table.
fn warn_of_failures(terminal: &Terminal, comparison: &Comparison, folder: &Path) {
    for (model, failure) in comparison.failed() {
        let failed = model.runs.iter().find(|run| run.failure.is_some()).map(|run| folder.join(&run.folder));
        let again = match failed {
            Some(run) => format!("; remove {} to train it again", human::path(&run)),
            None => String::new(),
        };
        terminal.warn(format!("{} {}: it is not compared{again}", model.name, failure.in_words()));
    }
}

/// Everything is done, and says nothing about which model is better.
fn nothing_to_compare(comparison: &Comparison) -> Fault {
    let (failed, all) = (comparison.failed().count(), comparison.models.len());
    Fault::check(format!("{failed} of {} have no result, so nothing is compared", human::plural(all as u64, "model")))
        .hint("lower train.learning_rate in [base], or of those models, or lengthen train.warmup")
}

/// The order of the text is equal by construction; a difference would be a fault of this program.
fn warn_where_unequal(terminal: &Terminal, comparison: &Comparison) {
    for order in comparison.fairness.data_order.iter().filter(|order| !order.equal) {
        terminal.warn(format!("the runs of seed {} did not read the same text in the same order", order.seed));
    }
}
