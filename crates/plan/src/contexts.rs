//! The costs of a model over context lengths.

use percept_fault::Result;
use percept_model::ModelConfig;
use percept_model::properties::Properties;
use percept_train::{RunConfig, TrainConfig};
use serde::Serialize;

use super::{Memory, attention, forward_flops, training_flops, with_vocabulary};

/// What a model costs at one context length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContextCost {
    /// Context n in tokens.
    pub context: usize,
    /// Targets that a training window scores; models with latents score these only.
    pub targets: usize,
    /// Weights, which may grow with the context.
    pub parameters: u64,
    /// Operations of a forward pass, per token.
    pub flops_per_token: f64,
    /// Operations of a training step, per token.
    pub training_flops_per_token: f64,
    /// Attention scores of a window, all layers.
    pub score_entries: u64,
    /// Memory of training on micro-batches of one window, at its peak.
    pub memory_bytes: u64,
    /// Most bytes that a session's state takes.
    pub state_bytes: u64,
    /// Seconds of training per token, where a speed is known.
    pub seconds_per_token: Option<f64>,
}

/// A model over context lengths.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContextPlan {
    /// What it is called.
    pub model: String,
    /// The mixer schedule.
    pub layers: String,
    /// The speed that the times are computed from.
    pub flops_per_second: Option<f64>,
    /// The costs, one per context.
    pub costs: Vec<ContextCost>,
}

/// The costs of `config` at other contexts. Nothing else changes, as far as it fits: what is longer than a context allows
/// becomes shorter.
///
/// # Errors
/// A usage fault where the configuration is wrong, or its tokenizer cannot be read.
///
/// ```
/// use percept_plan::{over_contexts, page};
/// use percept_train::resolve_preset;
/// let contexts = [1 << 10, 1 << 14, 1 << 18];
/// let plans = ["llp-tiny", "transformer-tiny"].map(|name| over_contexts(name, &resolve_preset(name)?, &contexts, None));
/// let [llp, transformer] = plans;
/// let (llp, transformer) = (llp?, transformer?);
/// let growth = |costs: &[percept_plan::ContextCost]| costs[2].flops_per_token / costs[0].flops_per_token;
/// assert!(growth(&llp.costs) < 1.1 && growth(&transformer.costs) > 10.0);
/// // The same as a page to print.
/// assert!(page(&[llp, transformer]).contains("What a longer context costs"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn over_contexts(
    model: impl Into<String>,
    config: &RunConfig,
    contexts: &[usize],
    flops_per_second: Option<f64>,
) -> Result<ContextPlan> {
    config.check_language_model()?;
    let full = with_vocabulary(config)?;
    let train = TrainConfig { batch: 1, ..config.train.clone() };
    let costs = contexts.iter().map(|&context| cost(&full.at_context(context)?, &train, flops_per_second));
    Ok(ContextPlan {
        model: model.into(),
        layers: full.layers.clone(),
        flops_per_second,
        costs: costs.collect::<Result<_>>()?,
    })
}

fn cost(model: &ModelConfig, train: &TrainConfig, flops_per_second: Option<f64>) -> Result<ContextCost> {
    let properties = Properties::of(model)?;
    let training_flops_per_token = training_flops(&properties, model.context, train);
    Ok(ContextCost {
        context: model.context,
        targets: properties.scored(model.context),
        parameters: properties.parameters(),
        flops_per_token: forward_flops(&properties, model.context),
        training_flops_per_token,
        score_entries: properties.score_entries(model.context),
        memory_bytes: Memory::of(model, train, &properties, attention(train)?).total(),
        state_bytes: properties.state_limit(4) as u64,
        seconds_per_token: flops_per_second.map(|speed| training_flops_per_token / speed),
    })
}

#[cfg(test)]
mod tests {
    use percept_model::mixer::MixerKind;

    use super::*;

    fn over(layers: &str, contexts: &[usize]) -> ContextPlan {
        let mut config = RunConfig::default();
        config.model = ModelConfig { layers: layers.into(), vocab: 257, dim: 64, depth: 3, ..config.model };
        config.train.device = "cpu".into();
        over_contexts(layers, &config, contexts, Some(1e9)).unwrap()
    }

    #[test]
    fn a_million_tokens_cost_what_the_design_says() {
        let n = 1 << 20;
        let growth = |layers: &str| {
            let costs = over(layers, &[1 << 14, n]).costs;
            let ratio = |of: fn(&ContextCost) -> f64| of(&costs[1]) / of(&costs[0]);
            (ratio(|cost| cost.flops_per_token), ratio(|cost| cost.state_bytes as f64))
        };
        let (flops, state) = growth("llp");
        assert!((0.9..1.1).contains(&flops) && state == 1.0, "{flops} {state}");
        let (flops, state) = growth("transformer");
        assert!(flops > 20.0 && state == 64.0, "{flops} {state}");
        // Perceiver AR reads the history once, for a fixed number of latents: flat per token.
        let (flops, _) = growth("perceiver-ar");
        assert!(flops < 1.1, "{flops}");
        assert!(growth("perceiver-v1").0 > 20.0);
    }

    #[test]
    fn every_mixer_has_costs_from_short_to_long() {
        for kind in MixerKind::ALL {
            let plan = over(kind.name(), &[2, 100, 513, 4096]);
            for cost in &plan.costs {
                assert!(cost.flops_per_token > 0.0 && cost.memory_bytes > 0, "{} {cost:?}", kind.name());
                assert_eq!(cost.seconds_per_token, Some(cost.training_flops_per_token / 1e9));
            }
        }
    }
}
