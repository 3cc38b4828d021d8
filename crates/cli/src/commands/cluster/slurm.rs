//! `percept cluster slurm`: a script that submits itself.

use clap::Args;
use percept::Result;

use super::{Job, JobArgs, filled, plain};
use crate::arguments::Global;

const SCRIPT: &str = include_str!("../../../assets/cluster/slurm.sh");

/// Arguments of `percept cluster slurm`.
#[derive(Debug, Args)]
pub(super) struct Slurm {
    /// Time limit of a task, as Slurm writes it; a task that needs longer goes on in the queue
    #[arg(long, value_name = "TIME", default_value = "4:00:00", value_parser = plain)]
    time: String,
    /// Partition to run in; by default Slurm's
    #[arg(long, value_name = "NAME", value_parser = plain)]
    partition: Option<String>,
    #[command(flatten)]
    job: JobArgs,
}

impl Slurm {
    /// The job, and its script.
    pub(super) fn written(&self, global: &Global, tree: clap::Command) -> Result<(Job, String)> {
        let job = self.job.job(global, tree)?;
        let text = self.script(&job);
        Ok((job, text))
    }

    fn script(&self, job: &Job) -> String {
        let submission = |(stage, tasks): &(_, usize)| format!("  stage {stage} 0-{}%{}", tasks - 1, self.job.at_once);
        let words = job.words();
        filled(
            SCRIPT,
            &[
                ("RESOURCES", &self.resources()),
                ("WHAT", &job.what),
                ("CPUS", &self.job.cpus.to_string()),
                ("NAME", &job.name),
                ("SUBMISSIONS", &job.stages.iter().map(submission).collect::<Vec<_>>().join("\n")),
                // Last: what the user wrote is not filled in again.
                ("COMMAND", &format!("percept {} {words}", job.what)),
                ("PLAN", &format!("percept {} plan {words}", job.what)),
                ("ARGUMENTS", &words),
            ],
        )
    }

    /// The lines that ask for cores, memory, cards and time.
    fn resources(&self) -> String {
        let mut lines = vec![
            "--ntasks=1".to_owned(),
            format!("--cpus-per-task={}", self.job.cpus),
            format!("--time={}", self.time),
        ];
        lines.extend(self.job.memory_gib.map(|gib| format!("--mem={gib}G")));
        lines.extend((self.job.gpus > 0).then(|| format!("--gres=gpu:{}", self.job.gpus)));
        lines.extend(self.partition.as_ref().map(|name| format!("--partition={name}")));
        lines.iter().map(|line| format!("#SBATCH {line}")).collect::<Vec<_>>().join("\n")
    }
}
