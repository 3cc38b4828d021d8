//! Which models are compared, and under what budget: what `compare` and `suite` share.

use std::path::PathBuf;

use clap::Args;
use percept::Result;
use percept::compare::{Budget, ModelSpec, Parameters, Spec, Sweep};

use crate::arguments::config::{environment, sets};

/// The models of a comparison, and what every run may use.
#[derive(Debug, Args)]
pub(crate) struct LineupArgs {
    /// File that says what to compare; flags change it
    #[arg(value_name = "SPEC")]
    pub(crate) spec: Option<PathBuf>,
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
}

impl LineupArgs {
    /// The file, or what stands in for one, with the flags on top; of the configuration those of the environment and of `--set`.
    pub(crate) fn specification(&self, without_file: impl FnOnce() -> Result<Spec>) -> Result<Spec> {
        let mut spec = match &self.spec {
            Some(path) => Spec::read(path)?,
            None => without_file()?,
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
        spec.base.extend(environment()?);
        spec.base.extend(sets(&self.set)?);
        Ok(spec)
    }
}
