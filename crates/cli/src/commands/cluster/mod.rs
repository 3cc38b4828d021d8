//! `percept cluster`: comparisons and suites as jobs of a batch system.
//!
//! What is written is a script or a manifest for people to read and change; it holds the command as it was given, and asks `plan`, `run` and
//! `assemble` of it.

mod kubernetes;
mod slurm;

use clap::{Args, FromArgMatches, Subcommand};
use percept::compare::suite::Suite;
use percept::compare::{Spec, Stage};
use percept::{Fault, Result};
use serde::Serialize;

use crate::arguments::Global;
use crate::commands::compare::ComparisonArgs;
use crate::commands::suite::SuiteArgs;
use crate::terminal::Terminal;
use crate::usage;

/// Most characters of a name: names of pods have a stage, a number and more behind it, and 63 in all.
const NAME: usize = 40;

/// Arguments of `percept cluster`.
#[derive(Debug, Args)]
#[command(
    after_help = "For example: percept cluster slurm --cpus 8 --time 2:00:00 compare books.toml --data BOOKS > books.sh && bash books.sh\n\
    What such jobs do, and what they need: docs/scaling.md."
)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    system: System,
}

#[derive(Debug, Subcommand)]
enum System {
    /// Write a script that submits arrays of Slurm and the report after them
    Slurm(slurm::Slurm),
    /// Write a manifest of indexed jobs, a job for the report, and a volume
    Kubernetes(kubernetes::Kubernetes),
}

/// What a task may use, and what is run.
#[derive(Debug, Args)]
struct JobArgs {
    /// CPU cores of a task, and threads of percept
    #[arg(long, value_name = "N", default_value_t = 4)]
    cpus: u32,
    /// Memory of a task in GiB; by default what the system gives
    #[arg(long, value_name = "N")]
    memory_gib: Option<u32>,
    /// GPUs of a task; the command needs its own --device cuda:0
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpus: u32,
    /// Most tasks that run at the same time
    #[arg(long, value_name = "N", default_value_t = 16)]
    at_once: u32,
    /// What is run: compare or suite, and all of its arguments
    #[arg(value_name = "COMMAND", required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// What is to be run, in stages.
#[derive(Debug)]
struct Job {
    /// A name for jobs and files: lower-case letters, digits and dashes.
    name: String,
    /// `compare` or `suite`.
    what: String,
    /// What follows it.
    arguments: Vec<String>,
    stages: Vec<(Stage, usize)>,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Written<'a> {
    name: &'a str,
    stages: Vec<Tasks>,
    text: &'a str,
}

/// How many tasks a stage has.
#[derive(Debug, Serialize)]
struct Tasks {
    stage: Stage,
    tasks: usize,
}

impl Cluster {
    /// `tree` is that of all commands.
    pub(crate) fn run(&self, global: &Global, tree: clap::Command) -> Result<()> {
        let (job, text) = match &self.system {
            System::Slurm(slurm) => slurm.written(global, tree)?,
            System::Kubernetes(kubernetes) => kubernetes.written(global, tree)?,
        };
        job.print(&global.terminal(), &text)
    }
}

impl JobArgs {
    /// The command, checked as if it were called.
    fn job(&self, global: &Global, tree: clap::Command) -> Result<Job> {
        let (what, arguments) = self.command.split_first().map_or(("", &[][..]), |(what, rest)| (what.as_str(), rest));
        if let Some(bad) = arguments.iter().find(|argument| argument.contains(char::is_control)) {
            return Err(Fault::usage(format!("{bad:?} would not survive a script"))
                .hint("rename what has a line break in its name"));
        }
        let (spec, stages) = match what {
            "compare" => {
                let given: ComparisonArgs = parsed(what, arguments, tree)?;
                let spec = given.specification(global)?;
                spec.validate()?;
                let stages = Stage::ALL.map(|stage| (stage, stage.parts(&spec)));
                (spec, stages)
            }
            "suite" => {
                let given: SuiteArgs = parsed(what, arguments, tree)?;
                let spec = given.specification(global)?;
                let suite = Suite::new(spec.clone())?;
                (spec, Stage::ALL.map(|stage| (stage, suite.tasks(stage))))
            }
            _ => {
                return Err(Fault::usage(format!("`{what}` has no tasks that machines could share"))
                    .hint("`percept cluster slurm compare ...` or `percept cluster slurm suite ...`"));
            }
        };
        let stages = stages.into_iter().filter(|(_, tasks)| *tasks > 0).collect();
        Ok(Job { name: name(&spec), what: what.to_owned(), arguments: arguments.to_vec(), stages })
    }
}

/// The arguments as `assemble` reads them, which takes what all actions share.
fn parsed<T: FromArgMatches>(what: &str, arguments: &[String], tree: clap::Command) -> Result<T> {
    let words = || ["percept", what, "assemble"].into_iter().map(str::to_owned).chain(arguments.iter().cloned());
    let matches = tree.clone().try_get_matches_from(words()).and_then(|matches| {
        let assemble =
            matches.subcommand().and_then(|(_, matches)| matches.subcommand()).map(|(_, matches)| matches.clone());
        T::from_arg_matches(&assemble.unwrap_or_default())
    });
    matches.map_err(|error| usage::fault(&error, &tree, words().skip(1)))
}

/// The name of a specification as systems take it.
fn name(spec: &Spec) -> String {
    let plain = spec.name.to_lowercase();
    let plain = plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let joined = plain.collect::<Vec<_>>().join("-");
    // Kubernetes wants a letter first.
    let name = if joined.starts_with(|c: char| c.is_ascii_alphabetic()) { joined } else { format!("percept-{joined}") };
    name.chars().take(NAME).collect::<String>().trim_end_matches('-').to_owned()
}

/// An argument that stands in a script as it is: an image, a partition, a time.
fn plain(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:/@,+-".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits and ._:/@,+- alone".to_owned()),
    }
}

/// A template with its `@KEY@`s replaced.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (key, value)| text.replace(&format!("@{key}@"), value))
}

/// A word as shells read it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:/@,+-=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

impl Job {
    /// The arguments as shells read them.
    fn words(&self) -> String {
        self.arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    fn print(&self, terminal: &Terminal, text: &str) -> Result<()> {
        let stages = self.stages.iter().map(|&(stage, tasks)| Tasks { stage, tasks }).collect();
        terminal.json(&Written { name: &self.name, stages, text })?;
        terminal.text(text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_every_system_takes() {
        let of = |text: &str| name(&Spec { name: text.into(), ..Spec::default() });
        assert_eq!(
            (of("Books, n 4096"), of("7 models"), of("a/../b")),
            ("books-n-4096".into(), "percept-7-models".into(), "a-b".into())
        );
        let long = of(&format!("{} x", "a".repeat(39)));
        assert_eq!(long, "a".repeat(39), "no dash at the end");
    }

    #[test]
    fn words_come_out_of_a_shell_as_they_went_in() {
        assert_eq!(
            [quoted("--set"), quoted("a b"), quoted(""), quoted("it's $HOME")],
            ["--set", "'a b'", "''", r"'it'\''s $HOME'"]
        );
        assert!(plain("nvcr.io/lab/percept:0.1").is_ok() && plain("a\nb").is_err() && plain("").is_err());
    }
}
