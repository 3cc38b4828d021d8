//! Which task of a comparison or a suite a process is to run.

use clap::{Args, ValueEnum};
use percept::compare::Stage;
use percept::{Fault, Result};

/// Where batch systems say which task of an array a process is: Slurm, and Kubernetes' indexed jobs.
const INDEX: [&str; 2] = ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"];

/// Which task a process is to run.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// Number of the task, from 0; by default SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX
    #[arg(long, value_name = "N")]
    task: Option<usize>,
    /// Count the tasks of this stage alone, from 0
    #[arg(long, value_name = "STAGE", value_enum)]
    stage: Option<Name>,
}

/// The stages by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The points of the search for each model's learning rate
    Sweep,
    /// Every model with every seed
    Runs,
    /// Further seeds of the best models
    Finalists,
}

impl From<Name> for Stage {
    fn from(name: Name) -> Self {
        match name {
            Name::Sweep => Self::Sweep,
            Name::Runs => Self::Runs,
            Name::Finalists => Self::Finalists,
        }
    }
}

impl TaskArgs {
    /// The stage of the task and its place there; `tasks` says how many a stage has.
    ///
    /// # Errors
    /// Usage: there is no such task, or nothing says which.
    pub(crate) fn place(&self, tasks: impl Fn(Stage) -> usize) -> Result<(Stage, usize)> {
        let number = match self.task {
            Some(number) => number,
            None => from_environment(|name| std::env::var(name).ok())?,
        };
        place(self.stage.map(Stage::from), number, tasks)
    }
}

fn place(stage: Option<Stage>, number: usize, tasks: impl Fn(Stage) -> usize) -> Result<(Stage, usize)> {
    if let Some(stage) = stage {
        return Ok((stage, number));
    }
    let mut left = number;
    for stage in Stage::ALL {
        match left.checked_sub(tasks(stage)) {
            Some(beyond) => left = beyond,
            None => return Ok((stage, left)),
        }
    }
    let last = Stage::ALL.map(tasks).iter().sum::<usize>().saturating_sub(1);
    Err(Fault::usage(format!("there is no task {number}"))
        .hint(format!("the tasks are 0 to {last}; `plan` lists them")))
}

fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<usize> {
    let found = INDEX.into_iter().find_map(|name| Some((name, variable(name)?)));
    let (name, text) = found.ok_or_else(|| {
        Fault::usage("nothing says which task to run")
            .hint(format!("--task N, or {} in the environment; `plan` lists the tasks", INDEX.join(" or ")))
    })?;
    text.parse().map_err(|_| {
        Fault::usage(format!("environment variable {name}: `{text}` is no number"))
            .hint("--task N says which task to run")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_counted_over_all_stages_or_in_one() {
        let tasks = |stage| match stage {
            Stage::Sweep => 0,
            Stage::Runs => 3,
            Stage::Finalists => 2,
        };
        let of = |stage, number| place(stage, number, tasks).unwrap();
        assert_eq!((of(None, 0), of(None, 2)), ((Stage::Runs, 0), (Stage::Runs, 2)));
        assert_eq!((of(None, 3), of(None, 4)), ((Stage::Finalists, 0), (Stage::Finalists, 1)));
        assert_eq!(of(Some(Stage::Finalists), 1), (Stage::Finalists, 1));
        let fault = place(None, 5, tasks).unwrap_err();
        assert_eq!((fault.to_string().as_str(), fault.exit_code()), ("there is no task 5", 2));
        assert_eq!(fault.hint_text(), Some("the tasks are 0 to 4; `plan` lists them"));
    }

    #[test]
    fn a_batch_system_says_which_task_it_is() {
        let of = |set: &[(&str, &str)]| {
            from_environment(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[("SLURM_ARRAY_TASK_ID", "7")]).unwrap(), 7);
        assert_eq!(of(&[("JOB_COMPLETION_INDEX", "3")]).unwrap(), 3);
        let fault = of(&[("SLURM_ARRAY_TASK_ID", "seven")]).unwrap_err();
        assert_eq!(fault.to_string(), "environment variable SLURM_ARRAY_TASK_ID: `seven` is no number");
        assert!(
            of(&[])
                .unwrap_err()
                .hint_text()
                .unwrap()
                .contains("--task N, or SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX")
        );
    }
}
