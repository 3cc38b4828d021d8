//! What a comparison would run, before anything runs.

use percept_fault::Result;
use serde::Serialize;

use super::lineup::Lineup;
use super::result::{Axis, Budget, ProtocolInfo};

/// What a comparison would run. Serialized, its keys are those of `percept compare --dry-run --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// What it is called.
    pub name: String,
    /// What every run may use.
    pub budget: Budget,
    /// How validation and test text are scored.
    pub protocol: ProtocolInfo,
    /// Its models.
    pub models: Vec<ModelPreview>,
    /// Runs in all: sweeps, seeds and finalists.
    pub runs: usize,
    /// Where runs train more than the budget, because one step takes more, in words.
    pub notes: Vec<String>,
    /// Seconds of training in all, at the measured speed; validation and scoring come on top.
    pub seconds: f64,
}

/// One model of a [`Preview`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelPreview {
    /// Its name.
    pub name: String,
    /// Its mixer schedule.
    pub layers: String,
    /// Weights.
    pub parameters: u64,
    /// Feed-forward width, after the matching of parameters.
    pub feed_forward_dim: usize,
    /// Operations of training, per token.
    pub training_flops_per_token: f64,
    /// Targets that a training window trains.
    pub targets_per_window: usize,
    /// Tokens of context that the test protocol lets it use.
    pub usable_context: usize,
    /// Optimizer steps of a full run with the first seed; estimated where time is the budget.
    pub steps: u64,
    /// Positions fed in it.
    pub tokens: u64,
    /// Its training time at the measured speed.
    pub seconds: f64,
}

impl Lineup {
    /// What would run. Measures a few training steps of every model.
    ///
    /// # Errors
    /// A device that cannot be used.
    pub fn preview(&self) -> Result<Preview> {
        let mut models = Vec::new();
        for (index, contender) in self.contenders.iter().enumerate() {
            let (plan, steps) = (&contender.plan, self.expected_steps[index]);
            let seconds = match self.budget.kind {
                Axis::Seconds => self.budget.amount,
                _ => steps as f64 * self.measured_step(index)?,
            };
            models.push(ModelPreview {
                name: contender.name.clone(),
                layers: contender.config.model.layers.clone(),
                parameters: plan.parameters,
                feed_forward_dim: contender.config.model.hidden_dim(),
                training_flops_per_token: plan.training_flops_per_token,
                targets_per_window: plan.targets_per_window,
                usable_context: plan.reach.unwrap_or(usize::MAX).min(self.protocol.window - 1),
                steps,
                tokens: steps.saturating_mul(plan.tokens_per_step),
                seconds,
            });
        }
        let (runs, _) = self.expected_work()?;
        let of_one_seed: f64 = models.iter().map(|model| model.seconds).sum();
        let mean = of_one_seed / models.len().max(1) as f64;
        let spec = &self.spec;
        let sweep = spec.sweep.as_ref().map_or(0.0, |sweep| sweep.lr as f64 * sweep.fraction);
        let more = spec.finalists.as_ref().map_or(0, |more| more.models.min(models.len()) * more.seeds.len());
        let seconds = of_one_seed * (spec.seeds.len() as f64 + sweep) + mean * more as f64;
        Ok(Preview {
            name: spec.name.clone(),
            budget: self.budget,
            protocol: self.protocol.clone(),
            models,
            runs,
            notes: self.notes(),
            seconds,
        })
    }
}
