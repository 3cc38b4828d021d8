//! `percept compare`: several models under equal conditions.

mod parts;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use percept::compare::report;
use percept::compare::{Comparison, Ended, Lineup, Purpose, REPORT, Spec};
use percept::{Fault, Result};

use crate::arguments::Global;
use crate::arguments::config::TrainingArgs;
use crate::arguments::lineup::LineupArgs;
use crate::comparison::{Comparing, print_preview};
use crate::fit::ForceArgs;
use crate::terminal::{Style, Terminal, invocation};
use crate::training::DataMeter;
use crate::{human, interrupt, out_of_memory};

/// Arguments of `percept compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "For example: percept compare --models llp,perceiver-ar,transformer --data my-texts/ --budget 20m\n\
    The same command goes on where it was interrupted. A model that diverges is left out of the ranking. What is equal for all models: docs/comparison.md.\n\
    On several machines: `plan`, `run` and `assemble` take the same arguments (docs/scaling.md)."
)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Compare {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    comparison: ComparisonArgs,
    /// Show what would run, with parameters, operations and time, and run nothing
    #[arg(long)]
    dry_run: bool,
}

/// A comparison in parts, on machines that share its folder.
#[derive(Debug, Subcommand)]
enum Action {
    /// List the tasks that the comparison consists of, and how each stands
    Plan(parts::Plan),
    /// Train one task; the same command goes on where it was interrupted
    Run(parts::Run),
    /// Time and score the models whose tasks are all finished, and write the report
    Assemble(parts::Assemble),
}

/// What is compared, and where.
#[derive(Debug, Args)]
pub(crate) struct ComparisonArgs {
    #[command(flatten)]
    lineup: LineupArgs,
    /// Folder of the runs and the report; by default comparisons/ and the name of the file
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    training: TrainingArgs,
}

impl ComparisonArgs {
    /// The file with the flags on top.
    pub(crate) fn specification(&self, global: &Global) -> Result<Spec> {
        let mut spec = self.lineup.specification(|| Ok(Spec::default()))?;
        spec.base.extend(self.training.overrides(global));
        Ok(spec)
    }

    fn folder(&self, spec: &Spec) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new("comparisons").join(&spec.name))
    }

    /// Reads the text and configures the models; what should be known of them is said.
    fn open(&self, terminal: Terminal, spec: Spec, purpose: Purpose) -> Result<Lineup> {
        let folder = self.folder(&spec);
        let lineup = {
            let mut meter = DataMeter::new(terminal);
            Lineup::new(spec, &folder, purpose, &mut meter)?
        };
        lineup.notes().iter().for_each(|note| terminal.warn(note));
        Ok(lineup)
    }

    /// Does whatever is not done yet, and prints the report.
    fn finish(&self, terminal: Terminal, lineup: &Lineup) -> Result<()> {
        for contender in lineup.contenders() {
            let what = format!("training {}", contender.name);
            self.force.check_plan(&terminal, &what, &contender.config, contender.plan.clone())?;
        }
        out_of_memory::hint_same_command();
        let ended = {
            let mut comparing = Comparing::new(terminal, "comparing");
            lineup.run(interrupt::save_first(), &mut |event| comparing.event(event))?
        };
        conclude(&terminal, &ended, lineup.folder())
    }
}

impl Compare {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        match &self.action {
            Some(Action::Plan(plan)) => plan.run(global),
            Some(Action::Run(run)) => run.run(global),
            Some(Action::Assemble(assemble)) => assemble.run(global),
            None => self.whole(global),
        }
    }

    fn whole(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let spec = self.comparison.specification(global)?;
        if !self.dry_run {
            let lineup = self.comparison.open(terminal, spec, Purpose::Run)?;
            return self.comparison.finish(terminal, &lineup);
        }
        let preview = self.comparison.open(terminal, spec, Purpose::Preview)?.preview()?;
        print_preview(&terminal, &preview)?;
        terminal.json(&preview)
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
