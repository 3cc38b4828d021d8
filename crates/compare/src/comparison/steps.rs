//! From a budget to optimizer steps: as many as fit, at least one.

use percept_data::Dataset;
use percept_fault::{Fault, Result};
use percept_model::Batch;
use percept_train::{RunConfig, Source, next_batches, windows};

use super::result::{Axis, Budget};
use percept_plan::Plan;

/// Steps of a run whose time alone is limited: more than any run takes.
const UNLIMITED: u64 = u32::MAX as u64;

/// The steps that a budget pays for; one more would exceed it. Under a time budget the run itself finds its end.
///
/// Tokens and operations are the same in every step. Targets are not (documents end inside windows), so the windows that
/// the run is going to read are counted.
///
/// # Errors
/// Whatever reading the windows meets.
pub(crate) fn steps(budget: &Budget, config: &RunConfig, plan: &Plan, dataset: &Dataset) -> Result<u64> {
    let whole = |per_step: f64| (budget.amount / per_step).floor().max(1.0) as u64;
    let most = match budget.kind {
        Axis::Seconds => 1,
        Axis::Tokens => whole(plan.tokens_per_step as f64),
        Axis::Flops => whole(flops_per_step(plan)),
        Axis::Targets => whole(most_targets_per_step(config, plan)),
    };
    if most > UNLIMITED {
        return Err(Fault::usage(format!("a budget of {budget} is more than {UNLIMITED} steps"))
            .hint("a smaller budget; `percept compare --dry-run` says how long it takes"));
    }
    Ok(match budget.kind {
        Axis::Seconds => UNLIMITED,
        Axis::Tokens => whole(plan.tokens_per_step as f64),
        Axis::Flops => whole(flops_per_step(plan)),
        Axis::Targets => steps_for_targets(budget.amount, config, plan.targets_per_window, dataset)?,
    })
}

/// What the first step of a run takes of a budget; a time is to be measured.
///
/// # Errors
/// Whatever reading its windows meets.
pub(super) fn first_step(kind: Axis, config: &RunConfig, plan: &Plan, dataset: &Dataset) -> Result<Option<f64>> {
    Ok(match kind {
        Axis::Seconds => None,
        Axis::Tokens => Some(plan.tokens_per_step as f64),
        Axis::Flops => Some(flops_per_step(plan)),
        Axis::Targets => Some(targets_of_step(&mut windows(dataset, config)?, config, plan.targets_per_window)? as f64),
    })
}

/// Targets of a step whose windows are all filled.
fn most_targets_per_step(config: &RunConfig, plan: &Plan) -> f64 {
    plan.targets_per_window as f64 * config.train.batch as f64 * config.train.accumulate as f64
}

/// Operations of a training step.
pub(crate) fn flops_per_step(plan: &Plan) -> f64 {
    plan.training_flops_per_token * plan.tokens_per_step as f64
}

fn steps_for_targets(budget: f64, config: &RunConfig, latents: usize, dataset: &Dataset) -> Result<u64> {
    let mut windows = windows(dataset, config)?;
    let (mut steps, mut trained) = (0, 0);
    loop {
        trained += targets_of_step(&mut windows, config, latents)?;
        if trained as f64 > budget {
            return Ok(steps.max(1));
        }
        steps += 1;
    }
}

/// Targets of the next step.
fn targets_of_step(windows: &mut impl Source<Batch = Batch>, config: &RunConfig, latents: usize) -> Result<usize> {
    Ok(next_batches(windows, &config.train)?.iter().map(|batch| batch.scored(latents)).sum())
}

/// When every run of a comparison validates and logs: powers of two, so that any two runs share steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cadence {
    pub(super) validate_every: u64,
    pub(super) log_every: u64,
}

/// Most steps between two lines of metrics.
const LOG_EVERY: u64 = 16;

impl Cadence {
    /// At least `points` validations of a run of `steps` steps, where it has as many, and fewer than twice as many.
    pub(super) fn of(steps: u64, points: u64) -> Self {
        let validate_every = 1 << (steps / points.max(1)).max(1).ilog2();
        Self { validate_every, log_every: validate_every.min(LOG_EVERY) }
    }
}

#[cfg(test)]
mod tests {
    use percept_data::DataConfig;
    use percept_model::ModelConfig;

    use super::*;
    use percept_plan::plan;

    #[test]
    fn a_budget_is_kept_to_within_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let text: String = (0..300).map(|number| format!("{number} sheep\n")).collect();
        for name in ["a", "b", "c", "d", "e"] {
            std::fs::write(folder.path().join(name), &text).unwrap();
        }
        let data = DataConfig {
            cache: Some(folder.path().join(".cache")),
            ..DataConfig::from_paths([folder.path().display().to_string()])
        };
        let dataset = Dataset::open(&data, None, &mut |_| {}).unwrap();
        for layers in ["llp", "perceiver-ar"] {
            let mut config = RunConfig::default();
            config.model = ModelConfig {
                layers: layers.into(),
                vocab: 257,
                dim: 16,
                depth: 1,
                heads: 2,
                context: 64,
                ..config.model.with("segment", 16).unwrap().with("latents", 16).unwrap()
            };
            let plan = plan(&config).unwrap();
            let trained = if layers == "llp" { 64 } else { 16 };
            assert_eq!(plan.targets_per_window, trained);
            let per_step = config.train.batch as f64;
            for (kind, most) in [
                (Axis::Tokens, 64.0 * per_step),
                (Axis::Targets, trained as f64 * per_step),
                (Axis::Flops, flops_per_step(&plan)),
            ] {
                let budget = Budget { kind, amount: 20.5 * most };
                let steps = steps(&budget, &config, &plan, &dataset).unwrap();
                match kind {
                    // Windows at the ends of documents have fewer targets: more steps fit.
                    Axis::Targets => assert!((21..40).contains(&steps), "{layers}: {steps}"),
                    _ => assert_eq!(steps, 20, "{layers} {kind:?}"),
                }
                let little = Budget { kind, amount: 0.1 };
                assert_eq!(super::steps(&little, &config, &plan, &dataset).unwrap(), 1);
                let one = first_step(kind, &config, &plan, &dataset).unwrap().unwrap();
                assert!(one <= most && one > 0.5 * most, "{layers} {kind:?}: {one}");
                let endless = Budget { kind, amount: 1e30 };
                let fault = super::steps(&endless, &config, &plan, &dataset).unwrap_err();
                assert!(fault.is_usage() && fault.to_string().contains("4294967295 steps"), "{fault}");
            }
        }
    }

    #[test]
    fn the_points_of_any_two_runs_meet() {
        assert_eq!(Cadence::of(1000, 20), Cadence { validate_every: 32, log_every: 16 });
        assert_eq!(Cadence::of(7, 20), Cadence { validate_every: 1, log_every: 1 });
        assert_eq!(Cadence::of(100, 20), Cadence { validate_every: 4, log_every: 4 });
    }
}
