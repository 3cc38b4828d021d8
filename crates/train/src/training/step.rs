//! One optimizer step: the gradients of its micro-batches, AdamW, the moving average.
//!
//! The loop of a run and `percept bench train` take the same step.

use percept_fault::{Fault, Result};
use percept_model::ops::in_precision;
use percept_model::parameters::{self, Tensors};
use percept_model::{Gradients, Loss, Mode, Trainable};

use super::divergence::Divergence;
use super::optimizer::{global_norm, plain_device};
use super::ranks::Ranks;
use super::state::State;
use crate::config::TrainConfig;

/// What one step tells.
#[derive(Debug, Clone, Copy)]
pub struct StepResult {
    /// Sum over the targets of all micro-batches.
    pub loss: Loss,
    /// What was read: tokens, images, ...
    pub inputs: usize,
    /// The step's learning rate.
    pub learning_rate: f64,
    /// Norm of the whole gradient before clipping.
    pub gradient_norm: f64,
}

impl<M: Trainable> State<M> {
    /// Step `step`, counted from 1, at this learning rate, over this rank's micro-batches; gradients are averaged over all targets
    /// of all ranks.
    ///
    /// # Errors
    /// Check: the loss or the gradient is not finite. Usage: a batch does not fit the model. Environment: the device lacks
    /// the precision, or a rank is gone.
    pub fn step(
        self,
        batches: &[M::Batch],
        config: &TrainConfig,
        learning_rate: f64,
        step: u64,
        ranks: &dyn Ranks,
    ) -> Result<(Self, StepResult)> {
        let State { model, mut optimizer, mut average } = self;
        let precision = config.precision_on(&plain_device(&model))?;
        let (model, sums) = in_precision(precision, || accumulated(model, batches, config, step, ranks))?;
        let Accumulated { loss, inputs, gradients } = sums;
        let gradient_norm = global_norm(&gradients);
        check_finite("loss", loss.mean(), step)?;
        check_finite("gradient norm", gradient_norm, step)?;
        let model = optimizer.step(model, gradients, gradient_norm, learning_rate, step);
        if let Some(average) = &mut average {
            average.add(&model, step);
        }
        Ok((State { model, optimizer, average }, StepResult { loss, inputs, learning_rate, gradient_norm }))
    }
}

/// Sums over the micro-batches of all ranks.
struct Accumulated {
    loss: Loss,
    inputs: usize,
    /// Of the mean over all targets, wherever the micro-batches have them.
    gradients: Gradients,
}

/// The model, with new buffers where it has any, and what the step's batches teach.
fn accumulated<M: Trainable>(
    mut model: M,
    batches: &[M::Batch],
    config: &TrainConfig,
    step: u64,
    ranks: &dyn Ranks,
) -> Result<(M, Accumulated)> {
    let size = batches
        .iter()
        .map(|batch| model.size(batch))
        .fold([0, 0], |sum, size| [sum[0] + size.inputs, sum[1] + size.targets]);
    let mut counts = size.map(|count| count as f64);
    ranks.sum(&mut counts)?;
    let [inputs, targets] = counts.map(|count| count as usize);
    let scale = 1.0 / targets.max(1) as f32;
    let (mut nll, mut gradients) = (0.0, Gradients::default());
    for (index, batch) in (0..).zip(batches) {
        // Every micro-batch of the run has its own dropout masks.
        let mode = Mode::Training {
            seed: seed_of(config.seed, ranks.rank()),
            step: (step - 1) * config.accumulate as u64 + index,
        };
        let learned = model.loss_and_gradients(batch, mode, config.recompute.into(), scale)?;
        nll += learned.loss;
        gradients.accumulate(learned.gradients);
        if !learned.buffers.is_empty() {
            model = parameters::replace(model, &mean(learned.buffers, ranks)?);
        }
    }
    ranks.sum(std::slice::from_mut(&mut nll))?;
    let gradients = Gradients(ranks.all_reduce(gradients.0)?);
    Ok((model, Accumulated { loss: Loss { nll, targets }, inputs, gradients }))
}

/// The mean over the ranks.
fn mean(tensors: Tensors, ranks: &dyn Ranks) -> Result<Tensors> {
    let sums = ranks.all_reduce(tensors)?;
    match ranks.world() {
        1 => Ok(sums),
        world => Ok(sums.into_iter().map(|(path, sum)| (path, sum / world as f64)).collect()),
    }
}

/// Every rank has its own dropout masks.
fn seed_of(seed: u64, rank: usize) -> u64 {
    seed ^ (rank as u64).wrapping_mul(percept_random::STEP)
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
    use percept_model::{Batch, IGNORED, LanguageModel, ModelConfig};

    use super::super::ranks::Alone;
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
        let halves = [half(0..32), half(32..64)];
        let (model, Accumulated { loss, gradients: parts, .. }) =
            accumulated(model, &halves, &train, 1, &Alone).unwrap();
        let mode = Mode::Training { seed: 1, step: 0 };
        assert_eq!((loss.targets, model.size(&whole).targets), (37, 37));
        let whole = model.loss_and_gradients(&whole, mode, percept_model::Recompute::Keep, 1.0 / 37.0).unwrap();
        assert!((loss.nll - whole.loss).abs() < 1e-4);
        let norm = global_norm(&whole.gradients);
        for (part, whole) in values(&parts).iter().zip(values(&whole.gradients)) {
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
