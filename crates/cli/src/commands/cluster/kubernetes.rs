//! `percept cluster kubernetes`: a manifest of jobs that share a volume.

use clap::Args;
use percept::{Fault, Result};

use super::{Job, JobArgs, filled, plain};
use crate::arguments::Global;

const HEAD: &str = include_str!("../../../assets/cluster/kubernetes.yaml");
const JOB: &str = include_str!("../../../assets/cluster/job.yaml");

/// Arguments of `percept cluster kubernetes`.
#[derive(Debug, Args)]
pub(super) struct Kubernetes {
    /// Container image that has percept in its PATH
    #[arg(long, value_name = "IMAGE", value_parser = plain)]
    image: String,
    /// Size of the volume
    #[arg(long, value_name = "SIZE", default_value = "50Gi", value_parser = plain)]
    storage: String,
    #[command(flatten)]
    job: JobArgs,
}

impl Kubernetes {
    /// The job, and its manifest.
    pub(super) fn written(&self, global: &Global, tree: clap::Command) -> Result<(Job, String)> {
        let job = self.job.job(global, tree)?;
        let stages: Vec<&str> = job.stages.iter().map(|(stage, _)| stage.name()).chain(["report"]).collect();
        let head = [
            ("STAGES", stages.join(" ")),
            ("STORAGE", self.storage.clone()),
            ("NAME", job.name.clone()),
            // Last: what the user wrote is not filled in again.
            ("COMMAND", format!("percept {} {}", job.what, job.words())),
        ];
        let mut text = fill(HEAD, &head);
        for (stage, tasks) in &job.stages {
            let counts = format!(
                "  completionMode: Indexed\n  completions: {tasks}\n  parallelism: {}\n  \
                 # What may pass (a missing file, a full disk) is tried again, task by task.\n  backoffLimitPerIndex: 3",
                self.job.at_once.min(*tasks as u32)
            );
            text += &self.one(&job, stage.name(), &["run", "--stage", stage.name()], &counts, "FailIndex")?;
        }
        text += &self.one(&job, "report", &["assemble"], "  backoffLimit: 3", "FailJob")?;
        Ok((job, text))
    }

    /// One job; `counts` says how many tasks it has, `give_up` what a failure ends that would come again.
    fn one(&self, job: &Job, stage: &str, action: &[&str], counts: &str, give_up: &str) -> Result<String> {
        let words = std::iter::once(job.what.as_str()).chain(action.iter().copied());
        let arguments: Vec<&str> = words.chain(job.arguments.iter().map(String::as_str)).collect();
        // A list of JSON is one of YAML.
        let arguments = serde_json::to_string(&arguments)
            .map_err(|error| Fault::internal("cannot write the arguments as JSON").because(error))?;
        let values = [
            ("COUNTS", counts.to_owned()),
            ("GIVE_UP", give_up.to_owned()),
            ("STAGE", stage.to_owned()),
            ("IMAGE", self.image.clone()),
            ("CPUS", self.job.cpus.to_string()),
            ("RESOURCES", self.resources()),
            ("NAME", job.name.clone()),
            ("ARGUMENTS", arguments),
        ];
        Ok(fill(JOB, &values))
    }

    /// What a pod asks for, and its limits.
    fn resources(&self) -> String {
        let memory = self.job.memory_gib.map(|gib| format!("\n              memory: {gib}Gi")).unwrap_or_default();
        let cards = match self.job.gpus {
            0 => String::new(),
            gpus => format!("\n              nvidia.com/gpu: {gpus}"),
        };
        let limits = match format!("{memory}{cards}") {
            none if none.is_empty() => String::new(),
            some => format!("\n            limits:{some}"),
        };
        format!("            requests:\n              cpu: {}{memory}{limits}", self.job.cpus)
    }
}

fn fill(template: &str, values: &[(&str, String)]) -> String {
    filled(template, &values.iter().map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>())
}
