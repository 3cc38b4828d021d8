//! `percept suite`: what models can compute, directly and with a chain of thought.

mod parts;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use percept::compare::suite::{
    Line, Questions, SUITE, Suite, SuiteEnded, SuiteEvent, SuiteReport, quick, suite_words, write_suite_page,
};
use percept::compare::{Spec, Spread};
use percept::{Fault, Result};

use crate::arguments::Global;
use crate::arguments::config::TrainingArgs;
use crate::arguments::lineup::LineupArgs;
use crate::comparison::{Comparing, print_table, table};
use crate::terminal::{Style, Terminal, invocation};
use crate::{human, interrupt, out_of_memory};

/// Arguments of `percept suite`.
#[derive(Debug, Args)]
#[command(
    after_help = "For example: percept suite --models transformer,rwkv7 --tasks parity,cycle-navigation --budget \"2M tokens\" --seeds 1,2,3\n\
    The same command goes on where it was interrupted. The problems: docs/data.md; what is asked, and how: docs/suite.md.\n\
    On several machines: `plan`, `run` and `assemble` take the same arguments (docs/scaling.md)."
)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SuiteCommand {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    suite: SuiteArgs,
}

/// A suite in parts, on machines that share its folder.
#[derive(Debug, Subcommand)]
enum Action {
    /// List the tasks that the suite consists of, and how each stands
    Plan(parts::Plan),
    /// Train and examine one task; the same command goes on where it was interrupted
    Run(parts::Run),
    /// Time and score the models whose tasks are all finished, and write the reports
    Assemble(parts::Assemble),
}

/// What is asked of which models, and where.
#[derive(Debug, Args)]
pub(crate) struct SuiteArgs {
    #[command(flatten)]
    lineup: LineupArgs,
    /// A suite that takes a few minutes instead of a file: one model, parity
    #[arg(long, conflicts_with = "spec")]
    quick: bool,
    /// Problems, separated by commas, as in the source synthetic:NAME
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    tasks: Vec<String>,
    /// The longest question of training, in which lengths are drawn evenly from 1 on [default: 20]
    #[arg(long, value_name = "N")]
    length: Option<u64>,
    /// The longest question that is asked [default: twice --length]
    #[arg(long, value_name = "N")]
    beyond: Option<u64>,
    /// Questions of each length [default: 64]
    #[arg(long, value_name = "N")]
    exercises: Option<usize>,
    /// Folder of the comparisons and the report; by default suites/ and the name of the file
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl SuiteCommand {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        match &self.action {
            Some(Action::Plan(plan)) => plan.run(global),
            Some(Action::Run(run)) => run.run(global),
            Some(Action::Assemble(assemble)) => assemble.run(global),
            None => {
                let spec = self.suite.specification(global)?;
                let folder = self.suite.folder(&spec);
                finish(global.terminal(), &Suite::new(spec)?, &folder)
            }
        }
    }
}

impl SuiteArgs {
    fn folder(&self, spec: &Spec) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new("suites").join(&spec.name))
    }

    /// The file with the flags on top.
    pub(crate) fn specification(&self, global: &Global) -> Result<Spec> {
        let without_file = || if self.quick { quick() } else { Ok(Spec { name: "suite".into(), ..Spec::default() }) };
        let mut spec = self.lineup.specification(without_file)?;
        spec.base.extend(TrainingArgs::default().overrides(global));
        let file = spec.suite.take().unwrap_or_default();
        spec.suite = Some(Questions {
            tasks: if self.tasks.is_empty() { file.tasks } else { self.tasks.clone() },
            length: self.length.unwrap_or(file.length),
            beyond: self.beyond.or(file.beyond),
            exercises: self.exercises.unwrap_or(file.exercises),
        });
        Ok(spec)
    }
}

/// Does whatever is not done yet, and prints the report.
fn finish(terminal: Terminal, suite: &Suite, folder: &Path) -> Result<()> {
    out_of_memory::hint_same_command();
    let ended = {
        let mut showing = Showing::new(terminal);
        suite.run(folder, interrupt::save_first(), &mut |event| showing.event(event))?
    };
    conclude(&terminal, &ended, folder)
}

/// Shows the events of a suite.
struct Showing {
    terminal: Terminal,
    comparing: Option<Comparing>,
}

impl Showing {
    fn new(terminal: Terminal) -> Self {
        Self { terminal, comparing: None }
    }

    fn event(&mut self, event: SuiteEvent) {
        match event {
            SuiteEvent::Problem { label, done, total } => {
                self.comparing = None;
                self.terminal.say(format!("[{}/{total}] {label}", done + 1));
            }
            SuiteEvent::Comparison(event) => {
                self.comparing.get_or_insert_with(|| Comparing::new(self.terminal, "comparing")).event(event);
            }
            SuiteEvent::Exam { label } => {
                self.comparing = None;
                self.terminal.say(format!("examining {label}"));
            }
            _ => {}
        }
    }
}

/// Prints the end; an interrupted suite is a fault with exit code 130.
fn conclude(terminal: &Terminal, ended: &SuiteEnded, folder: &Path) -> Result<()> {
    let (SuiteEnded::Finished(found) | SuiteEnded::Interrupted(found)) = ended;
    let page = write_suite_page(folder, found)?;
    terminal.json(found)?;
    if matches!(ended, SuiteEnded::Interrupted(_)) {
        return Err(Fault::interrupted("interrupted; what was trained is saved")
            .hint(format!("the same `{} suite` command goes on from there", invocation())));
    }
    terminal.text(Style::Bold.out(&found.name))?;
    print(terminal, found)?;
    for file in [folder.join(SUITE), page] {
        terminal.say(format!("report: {}", human::path(&file)));
    }
    match found.is_meaningful() {
        true => Ok(()),
        false => Err(Fault::check("no model has a figure in any problem")
            .hint("lower train.learning_rate in [base], or of those models, or lengthen train.warmup")),
    }
}

/// Accuracies as a table.
fn print(terminal: &Terminal, found: &SuiteReport) -> Result<()> {
    let head = ["problem", "model", "direct", "beyond", "cot", "beyond", "gain", "beyond", "cot shown*", "chance"];
    let mut shown = table(&head);
    for line in found.lines() {
        shown.add_row(row(&line));
    }
    print_table(terminal, &mut shown, 2)?;
    terminal.text(format!(
        "\n% of the answers' symbols right in questions of up to {} symbols, as in training, and beyond, up to {}; means over seeds, with half of their range\n\
         * beyond, by teacher forcing: the true working is shown; everywhere else the model writes it",
        found.length, found.beyond
    ))?;
    for sentence in suite_words(found) {
        terminal.text(sentence)?;
    }
    Ok(())
}

fn row(line: &Line<'_>) -> [String; 10] {
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let share = |spread: Option<Spread>| match spread {
        Some(spread) => match spread.width() {
            Some(width) => format!("{} ± {}", percent(spread.mean), percent(width / 2.0)),
            None => percent(spread.mean),
        },
        None => "-".into(),
    };
    let gain = |gain: Option<f64>| gain.map_or("-".into(), |gain| format!("{:+.1}", 100.0 * gain));
    [
        line.task.to_owned(),
        line.model.to_owned(),
        share(line.direct.within),
        share(line.direct.beyond),
        share(line.cot.within),
        share(line.cot.beyond),
        gain(line.gain.within),
        gain(line.gain.beyond),
        share(line.cot_shown.beyond),
        line.chance.beyond.map_or("-".into(), percent),
    ]
}
