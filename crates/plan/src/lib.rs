//! What a configuration costs, from its formulas alone: no weights are allocated and no text is read.
//!
//! - [`plan()`]: parameters, operations, memory and state of a run; its time, where a [`Speed`] is known ([`measure_speed`])
//! - [`over_contexts`] and [`page()`]: how that grows with the context, as figures and as a page of charts
//!
//! Operations and bytes are those of the matrix products that our kernels execute, and tests count these. A
//! multiply-accumulate is two operations. The backward pass of a linear map takes two products of the cost of its forward
//! pass; that of attention takes five, where the forward pass took two (it computes the scores again). Attention meets
//! the keys in blocks of query rows: what no row of a block sees is not computed. Where blocks are run again, their
//! forward pass counts twice. Norms, activations and the optimizer are left out: they are bound by memory, not by arithmetic.

mod contexts;
mod encoder;
mod memory;
mod page;
mod speed;

use percept_data::Tokenizer;
use percept_fault::Result;
use percept_model::config::Objective;
use percept_model::cost::Cost;
use percept_model::properties::Properties;
use percept_model::{KeyValuePrecision, ModelConfig};
use percept_train::{DeviceChoice, DeviceKind, RunConfig, TaskKind, TrainConfig};
use serde::Serialize;

pub use contexts::{ContextCost, ContextPlan, over_contexts};
pub use memory::{Attention, Memory};
pub use page::page;
pub use speed::{Speed, measure_speed};

/// Bytes of an f32.
const NUMBER: u64 = 4;

/// A length for which [`Plan::lengths`] says what the model would cost.
const LONG: usize = 1_000_000;

/// What a model costs at some context length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LengthCost {
    /// Context n in tokens.
    pub context: usize,
    /// Operations of a forward pass, per token.
    pub flops_per_token: f64,
    /// Attention scores of one window, all layers.
    pub score_entries: u64,
    /// Bytes of a session's state once it holds that many tokens.
    pub state_bytes: u64,
}

/// What a run costs. Serialized, its keys are those of `percept plan --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The mixer schedule.
    pub layers: String,
    /// Weights.
    pub parameters: u64,
    /// Operations of a forward pass over one training window, per token.
    pub flops_per_token: f64,
    /// Operations of a training step, per token.
    pub training_flops_per_token: f64,
    /// Bytes that the products of a forward pass over a micro-batch read and write, per token.
    pub bytes_per_token: f64,
    /// The same of a training step.
    pub training_bytes_per_token: f64,
    /// Attention scores of one training window, all layers.
    pub score_entries: u64,
    /// Memory of training at its peak, estimated.
    pub peak_memory_bytes: u64,
    /// Its parts.
    pub memory: Memory,
    /// Most bytes that a session's state takes, at any length.
    pub state_bytes: u64,
    /// The same where keys and values are kept in bf16.
    pub state_bytes_bf16: u64,
    /// How far back, in tokens, an input can influence an output of one pass; `None`: as far as the stream goes.
    pub reach: Option<usize>,
    /// Tokens of a training window.
    pub context: usize,
    /// Targets that a training window scores.
    pub targets_per_window: usize,
    /// Tokens of an optimizer step.
    pub tokens_per_step: u64,
    /// Optimizer steps of the run.
    pub steps: u64,
    /// The same model at its own context and at a long one.
    pub lengths: Vec<LengthCost>,
    /// Memory that is there, if known.
    pub available_memory_bytes: Option<u64>,
    /// Whether the estimated peak is below it.
    pub fits: Option<bool>,
    /// The measured speed, if there is one.
    pub speed: Option<Speed>,
    /// Estimated time of an optimizer step, from the speed.
    pub seconds_per_step: Option<f64>,
    /// Estimated time of all steps, without validation and checkpoints.
    pub seconds_total: Option<f64>,
}

/// The plan of a run.
///
/// # Errors
/// A usage fault where the configuration is wrong, or its tokenizer cannot be read (where the vocabulary is its own).
///
/// ```
/// use percept_plan::{Speed, plan};
/// use percept_train::{PrecisionChoice, resolve_preset};
/// let config = resolve_preset("llp-small")?;
/// // What it takes on a machine with 8 GiB that computes 200 GFLOP/s.
/// let plan = plan(&config)?.against(8 << 30).at_speed(Speed::given(2e11, PrecisionChoice::F32));
/// assert_eq!(plan.fits, Some(true));
/// assert_eq!(plan.seconds_total.unwrap(), plan.seconds_per_step.unwrap() * plan.steps as f64);
/// // At a million tokens of context, a token costs as much as now, and the state is no larger than it ever is.
/// let [now, far] = &plan.lengths[..] else { panic!("two lengths") };
/// assert!(far.state_bytes <= plan.state_bytes);
/// assert!((far.flops_per_token / now.flops_per_token - 1.0).abs() < 0.1);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn plan(config: &RunConfig) -> Result<Plan> {
    match config.task {
        TaskKind::NextToken => language_plan(config),
        TaskKind::Masked => encoder::plan(config),
    }
}

fn language_plan(config: &RunConfig) -> Result<Plan> {
    let model = with_vocabulary(config)?;
    let properties = Properties::of(&model)?;
    let memory = Memory::of(&model, &config.train, &properties, attention(&config.train)?);
    let train = &config.train;
    let (context, batch) = (model.context, train.batch);
    let tokens = (batch as u64).saturating_mul(context as u64);
    let bytes = |cost: Cost| (cost.elements as f64) * NUMBER as f64 / tokens as f64;
    Ok(Plan {
        layers: model.layers.clone(),
        parameters: properties.parameters(),
        flops_per_token: forward_flops(&properties, model.context),
        training_flops_per_token: training_flops(&properties, context, train),
        bytes_per_token: bytes(properties.forward_cost(context, batch)),
        training_bytes_per_token: bytes(properties.training_cost(context, batch, train.recompute.into())),
        score_entries: properties.score_entries(model.context),
        peak_memory_bytes: memory.total(),
        memory,
        state_bytes: properties.state_limit(KeyValuePrecision::F32) as u64,
        state_bytes_bf16: properties.state_limit(KeyValuePrecision::Bf16) as u64,
        reach: properties.reach(),
        context: model.context,
        targets_per_window: properties.scored(model.context),
        tokens_per_step: tokens.saturating_mul(train.accumulate as u64).saturating_mul(kinds_of_windows(&model)),
        steps: train.steps,
        lengths: [model.context, LONG.max(model.context)]
            .into_iter()
            .map(|context| length_cost(&model, context))
            .collect::<Result<_>>()?,
        available_memory_bytes: None,
        fits: None,
        speed: None,
        seconds_per_step: None,
        seconds_total: None,
    })
}

impl Plan {
    /// Says whether the run fits into so many bytes.
    pub fn against(mut self, available: u64) -> Self {
        self.available_memory_bytes = Some(available);
        self.fits = Some(self.peak_memory_bytes <= available);
        self
    }

    /// Says how long the run takes at a measured speed.
    pub fn at_speed(mut self, speed: Speed) -> Self {
        let seconds = self.training_flops_per_token * self.tokens_per_step as f64 / speed.flops_per_second;
        self.seconds_per_step = Some(seconds);
        self.seconds_total = Some(seconds * self.steps as f64);
        self.speed = Some(speed);
        self
    }
}

/// The model with the vocabulary of its tokenizer, where it has none of its own.
fn with_vocabulary(config: &RunConfig) -> Result<ModelConfig> {
    let mut model = config.model.clone();
    if model.vocab == 0 {
        model.vocab = Tokenizer::open(&config.data.tokenizer)?.vocab_size();
    }
    Ok(model)
}

/// An order-agnostic model reads other windows backward in each step.
fn kinds_of_windows(model: &ModelConfig) -> u64 {
    match model.objective {
        Objective::NextToken => 1,
        Objective::OrderAgnostic => 2,
    }
}

fn attention(train: &TrainConfig) -> Result<Attention> {
    let gpu = DeviceKind::ALL.into_iter().any(|kind| kind != DeviceKind::Cpu && kind.is_compiled_in());
    Ok(match train.device.parse()? {
        DeviceChoice::Exactly(DeviceKind::Cpu, _) => Attention::Fused,
        DeviceChoice::Auto if !gpu => Attention::Fused,
        _ => Attention::Composed,
    })
}

fn forward_flops(properties: &Properties, length: usize) -> f64 {
    2.0 * properties.forward_cost(length, 1).macs as f64 / length as f64
}

/// Operations of a training step per token, in windows of `length` tokens.
fn training_flops(properties: &Properties, length: usize, train: &TrainConfig) -> f64 {
    let once = properties.training_cost(length, 1, train.recompute.into()).macs as f64;
    let further = (properties.answers_per_row() - 1.0) * properties.last_training_cost(length, 1).macs as f64;
    2.0 * (once + further) / length as f64
}

fn length_cost(model: &ModelConfig, context: usize) -> Result<LengthCost> {
    let properties = Properties::of(&ModelConfig { context, ..model.clone() })?;
    Ok(LengthCost {
        context,
        flops_per_token: forward_flops(&properties, context),
        score_entries: properties.score_entries(context),
        state_bytes: properties.state_bytes(context, 4) as u64,
    })
}

#[cfg(test)]
mod tests;
