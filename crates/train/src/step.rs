//! One optimizer step: the gradients of its micro-batches, AdamW, the moving average.
//!
//! The loop of a run and `percept bench train` take the same step.

use percept_fault::{Fault, Result};
use percept_model::ops::in_precision;
use percept_model::{Batch, Gradients, IGNORED, LanguageModel, Loss, Mode};

use crate::config::TrainConfig;
use crate::divergence::Divergence;
use crate::optimizer::{global_norm, plain_device};
use crate::precision::Bf16Support;
use crate::state::State;

/// What one step tells.
#[derive(Debug, Clone, Copy)]
pub struct StepResult {
    /// Sum over the targets of all micro-batches.
    pub loss: Loss,
    /// Tokens read.
    pub tokens: usize,
    /// The step's learning rate.
    pub learning_rate: f64,
    /// Norm of the whole gradient before clipping.
    pub gradient_norm: f64,
}

impl State {
    /// Step `step`, counted from 1, at this learning rate, over micro-batches whose gradients are averaged over all targets.
    ///
    /// # Errors
    /// Check: the loss or the gradient is not finite. Usage: a batch does not fit the model. Environment: the device lacks
    /// the precision.
    pub fn step(
        self,
        batches: &[Batch],
        config: &TrainConfig,
        learning_rate: f64,
        step: u64,
    ) -> Result<(State, StepResult)> {
        let State { model, mut optimizer, mut average } = self;
        let precision = config.precision.on(Bf16Support::of(&plain_device(&model)))?;
        let (loss, gradients) = in_precision(precision, || accumulated_gradients(&model, batches, config, step))?;
        let gradient_norm = global_norm(&gradients);
        check_finite("loss", loss.mean(), step)?;
        check_finite("gradient norm", gradient_norm, step)?;
        let model = optimizer.step(model, gradients, gradient_norm, learning_rate, step);
        if let Some(average) = &mut average {
            average.add(&model, step);
        }
        let tokens = batches.iter().map(|batch| batch.tokens.len()).sum();
        Ok((State { model, optimizer, average }, StepResult { loss, tokens, learning_rate, gradient_norm }))
    }
}

/// Loss and gradient of the mean over all targets of the step, wherever the micro-batches have them.
fn accumulated_gradients(
    model: &LanguageModel,
    batches: &[Batch],
    config: &TrainConfig,
    step: u64,
) -> Result<(Loss, Gradients)> {
    let targets: usize = batches.iter().map(|batch| scored_targets(model, batch)).sum();
    let scale = 1.0 / targets.max(1) as f32;
    let (mut loss, mut gradients) = (Loss::default(), Gradients::default());
    for (index, batch) in (0..).zip(batches) {
        // Every micro-batch of the run has its own dropout masks.
        let mode = Mode::Training { seed: config.seed, step: (step - 1) * config.accumulate as u64 + index };
        let (part, gradient) = model.loss_and_gradients(batch, mode, config.recompute.into(), scale)?;
        loss.add(part);
        gradients.accumulate(gradient);
    }
    Ok((loss, gradients))
}

/// Targets that the model scores: models with a history score the latents only.
fn scored_targets(model: &LanguageModel, batch: &Batch) -> usize {
    let latents = model.window_rows(batch.length).latents;
    batch.last_targets(latents).iter().filter(|&&target| target != IGNORED).count()
}

/// A fault of the kind check where training has diverged.
pub(crate) fn check_finite(what: &'static str, value: f64, step: u64) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Fault::check("training diverged").because(Divergence { what, step, value }).hint(
        "the last checkpoint is from before it; lower train.learning_rate, or lengthen train.warmup, and train again",
    ))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use percept_model::ModelConfig;

    use super::*;

    fn values(gradients: &Gradients) -> Vec<f64> {
        gradients
            .0
            .values()
            .flat_map(|gradient| gradient.clone().into_data().convert::<f64>().iter::<f64>().collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn accumulation_equals_one_big_batch_whatever_is_ignored() {
        let config = ModelConfig {
            vocab: 11,
            dim: 16,
            depth: 2,
            heads: 2,
            context: 16,
            ..ModelConfig::default().with("segment", 4).unwrap()
        };
        let model = LanguageModel::new(&config, 5, &Device::flex().autodiff()).unwrap();
        let tokens: Vec<u32> = (0..64).map(|i| (i * i + 3 * i) % 11).collect();
        let mut targets: Vec<u32> = tokens.iter().map(|token| (token + 1) % 11).collect();
        // The second half has 5 targets, the first 32.
        targets[37..].fill(IGNORED);
        let whole = Batch { tokens: tokens.clone(), targets: targets.clone(), rows: 4, length: 16 };
        let half = |range: std::ops::Range<usize>| Batch {
            tokens: tokens[range.clone()].to_vec(),
            targets: targets[range].to_vec(),
            rows: 2,
            length: 16,
        };
        let train = TrainConfig { accumulate: 2, ..TrainConfig::default() };
        let (loss, parts) = accumulated_gradients(&model, &[half(0..32), half(32..64)], &train, 1).unwrap();
        let mode = Mode::Training { seed: 1, step: 0 };
        let (whole_loss, whole) =
            model.loss_and_gradients(&whole, mode, percept_model::Recompute::Keep, 1.0 / 37.0).unwrap();
        assert_eq!((loss.targets, whole_loss.targets), (37, 37));
        assert!((loss.nll - whole_loss.nll).abs() < 1e-4);
        let norm = global_norm(&whole);
        for (part, whole) in values(&parts).iter().zip(values(&whole)) {
            assert!((part - whole).abs() < 1e-6 * norm, "{part} is not {whole}");
        }
    }

    #[test]
    fn only_finite_numbers_pass() {
        check_finite("loss", 1.0, 3).unwrap();
        for value in [f64::NAN, f64::INFINITY] {
            let fault = check_finite("loss", value, 3).unwrap_err();
            assert!(fault.is_check() && fault.to_string().contains("loss of step 3"), "{fault}");
        }
    }
}
