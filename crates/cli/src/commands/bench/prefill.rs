//! `percept bench prefill`: reading a prompt in a fresh session.

use std::sync::Arc;

use clap::Args;
use percept::Result;
use percept::model::{InferenceModel, Session};
use percept::plan::plan;
use percept::train::PrecisionChoice;

use super::measured::Measure;
use super::report::{Details, Measurement, Timed};
use super::subject::{Subject, random_tokens};
use super::timing::Times;
use crate::arguments::Global;

/// Arguments of `percept bench prefill`.
#[derive(Debug, Args)]
pub(super) struct Prefill {
    /// Tokens of the prompt; by default a training window
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    tokens: Option<usize>,
    /// Prompts on the clock, after two that warm up
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = super::at_least_one)]
    steps: usize,
}

impl Measure for Prefill {
    fn measure(&self, subject: &Subject, global: &Global) -> Result<Measurement> {
        let config = &subject.config;
        let (model, device) = subject.build()?;
        let model = Arc::new(InferenceModel::new(model));
        let tokens = self.tokens.unwrap_or(config.model.context);
        let prompt = random_tokens(tokens, config.model.vocab, config.train.seed);
        let mut state_bytes = 0;
        let times = Times::measure(global.terminal(), "prefill", self.steps, |_| {
            let mut session = Session::new(model.clone());
            session.feed(&prompt)?;
            state_bytes = session.state_bytes();
            Ok(())
        })?;
        let median = times.median();
        // The formulas are those of a whole window; a longer prompt may cost more or less per token.
        let flops = (tokens == config.model.context).then(|| plan(config)).transpose()?;
        let gflop_per_s = flops.map(|plan| plan.flops_per_token * tokens as f64 / median / 1e6);
        let details = Details { gflop_per_s, state_bytes: Some(state_bytes), ..Details::default() };
        let timed = Timed {
            task: "prefill",
            precision: "f32".into(),
            products: PrecisionChoice::F32,
            device,
            parameters: model.parameter_count(),
            steps: self.steps,
            tokens,
            times,
            typical: median,
        };
        Ok(Measurement::new(subject, timed, details))
    }
}
