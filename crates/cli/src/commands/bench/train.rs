//! `percept bench train`: the optimizer step that `percept train` takes, on random tokens.

use clap::Args;
use percept::Result;
use percept::model::{Batch, LanguageModel};
use percept::plan::plan;
use percept::train::{Alone, DeviceChoice, Override, RunConfig, State};

use super::measured::Measure;
use super::report::{Details, Measurement, Timed};
use super::subject::{Subject, random_tokens};
use super::timing::Times;
use crate::arguments::Global;
use crate::fit::ForceArgs;

/// Arguments of `percept bench train`.
#[derive(Debug, Args)]
pub(super) struct Train {
    /// Number format of the large products [default: f32, or what the configuration says]
    #[arg(long, value_name = "FORMAT", value_parser = ["f32", "bf16", "auto"])]
    precision: Option<String>,
    /// Steps on the clock, after two that warm up
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = super::at_least_one)]
    steps: usize,
    #[command(flatten)]
    force: ForceArgs,
}

impl Measure for Train {
    fn flags(&self) -> Vec<Override> {
        let flag = |name: &str| Override::flag(format!("--precision {name}"), "train.precision", name);
        self.precision.as_deref().map(flag).into_iter().collect()
    }

    fn measure(&self, subject: &Subject, global: &Global) -> Result<Measurement> {
        let config = &mut subject.config.clone();
        self.force.check(&global.terminal(), config)?;
        let (device, device_name) = config.train.device.parse::<DeviceChoice>()?.open()?;
        let taken = config.take_precision(&device)?;
        taken.note().iter().for_each(|note| global.terminal().say(note));
        let used = config.train.precision;
        let model = LanguageModel::new(&config.model, config.train.seed, &device.autodiff())?;
        let parameters = model.parameter_count();
        let batches = random_batches(config);
        let tokens = batches.iter().map(|batch| batch.tokens.len()).sum();
        let (mut state, mut loss) = (Some(State::new(model, &config.train)), 0.0);
        let times = Times::measure(global.terminal(), "training step", self.steps, |run| {
            let step = run as u64 + 1;
            let rate = config.train.schedule().learning_rate(step);
            if let Some(before) = state.take() {
                let (after, result) = before.step(&batches, &config.train, rate, step, &Alone)?;
                loss = result.loss.mean();
                state = Some(after);
            }
            Ok(())
        })?;
        let median = times.median();
        let flops = plan(config)?.training_flops_per_token * tokens as f64;
        let details = Details { gflop_per_s: Some(flops / median / 1e6), loss: Some(loss), ..Details::default() };
        let timed = Timed {
            task: "train",
            precision: used.to_string(),
            products: used,
            device: device_name,
            parameters,
            steps: self.steps,
            tokens,
            times,
            typical: median,
        };
        Ok(Measurement::new(subject, timed, details))
    }
}

/// The micro-batches of a step, of random tokens.
fn random_batches(config: &RunConfig) -> Vec<Batch> {
    let (rows, length) = (config.train.batch, config.model.context);
    let batch = |index| {
        let windows: Vec<Vec<u32>> = (0..rows as u64)
            .map(|row| random_tokens(length + 1, config.model.vocab, config.train.seed ^ (index << 32) ^ (row << 8)))
            .collect();
        let tokens = windows.iter().flat_map(|window| &window[..length]).copied().collect();
        let targets = windows.iter().flat_map(|window| &window[1..]).copied().collect();
        Batch { tokens, targets, rows, length }
    };
    (0..config.train.accumulate as u64).map(batch).collect()
}
