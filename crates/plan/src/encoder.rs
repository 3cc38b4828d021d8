//! What an encoder costs.

use percept_data::Tokenizer;
use percept_fault::Result;
use percept_model::cost::Cost;
use percept_model::encoder::{Encoder, EncoderConfig, EncoderProperties, MaskedBatch, Sequences};
use percept_train::{Device, RunConfig, TrainConfig};

use super::memory::Sizes;
use super::{Attention, LengthCost, Memory, NUMBER, Plan, attention};

/// The plan of a run that trains an encoder: what is asked is the share of tokens that is asked on average.
pub(super) fn plan(config: &RunConfig) -> Result<Plan> {
    let encoder = with_vocabulary(config)?;
    let properties = EncoderProperties::of(&encoder)?;
    let (context, train) = (encoder.context, &config.train);
    let memory = memory(&encoder, config, &properties, attention(train)?);
    let tokens = (train.batch as u64).saturating_mul(context as u64);
    let asked = asked(config, tokens as usize);
    let bytes = |cost: Cost| cost.elements as f64 * NUMBER as f64 / tokens as f64;
    let forward = properties.forward_cost(context, train.batch, asked);
    let flops_per_token = 2.0 * forward.macs as f64 / tokens as f64;
    let score_entries = properties.score_entries(context);
    Ok(Plan {
        layers: encoder.layer.to_string(),
        parameters: properties.parameters(),
        flops_per_token,
        training_flops_per_token: training_flops(config, &encoder)?,
        bytes_per_token: bytes(forward),
        training_bytes_per_token: bytes(properties.training_cost(context, train.batch, asked, train.recompute.into())),
        score_entries,
        peak_memory_bytes: memory.total(),
        memory,
        state_bytes: 0,
        state_bytes_bf16: 0,
        reach: Some(context - 1),
        context,
        targets_per_window: self::asked(config, context),
        tokens_per_step: tokens.saturating_mul(train.accumulate as u64),
        steps: train.steps,
        lengths: vec![LengthCost { context, flops_per_token, score_entries, state_bytes: 0 }],
        available_memory_bytes: None,
        fits: None,
        speed: None,
        seconds_per_step: None,
        seconds_total: None,
    })
}

/// How many of so many tokens are asked, on average.
fn asked(config: &RunConfig, tokens: usize) -> usize {
    (config.masking.rate * tokens as f64).ceil() as usize
}

/// Operations of a training step per token.
fn training_flops(config: &RunConfig, encoder: &EncoderConfig) -> Result<f64> {
    let TrainConfig { batch, recompute, .. } = config.train;
    let tokens = batch.saturating_mul(encoder.context);
    let properties = EncoderProperties::of(encoder)?;
    let cost = properties.training_cost(encoder.context, batch, asked(config, tokens), recompute.into());
    Ok(2.0 * cost.macs as f64 / tokens as f64)
}

fn memory(encoder: &EncoderConfig, config: &RunConfig, properties: &EncoderProperties, attention: Attention) -> Memory {
    let train = &config.train;
    let tokens = (train.batch as u64).saturating_mul(encoder.context as u64);
    let scores = match attention {
        Attention::Fused => 0,
        Attention::Composed => {
            3 * encoder.heads as u64 * properties.score_entries(encoder.context) * train.batch as u64
        }
    };
    let kept = tokens.saturating_mul(properties.peak_per_token(train.recompute.into()));
    Memory::of_sizes(
        train,
        Sizes {
            parameters: properties.parameters(),
            vocab: encoder.vocab,
            largest: (encoder.vocab * encoder.dim).max(encoder.dim * encoder.hidden_dim()) as u64,
            scored: asked(config, tokens as usize) as u64,
            activations: kept.saturating_add(scores),
        },
    )
}

/// The encoder with the vocabulary of its tokenizer and the mask, where it has none of its own.
fn with_vocabulary(config: &RunConfig) -> Result<EncoderConfig> {
    let mut encoder = config.encoder.clone();
    if encoder.vocab == 0 {
        encoder.vocab = Tokenizer::open(&config.data.tokenizer)?.vocab_size() + 1;
    }
    Ok(encoder)
}

/// A copy of two layers with a sequence of its own length of which some tokens are asked, and the operations of a training step on it.
pub(super) fn measured(config: &RunConfig, device: &Device) -> Result<(Encoder, MaskedBatch, f64)> {
    let encoder = with_vocabulary(config)?;
    let encoder = EncoderConfig { depth: encoder.depth.min(2), ..encoder };
    let context = encoder.context;
    // Any tokens do: the time does not depend on them.
    let tokens: Vec<u32> = (0..context).map(|at| (at * 31 % encoder.vocab) as u32).collect();
    let asked: Vec<usize> = (0..asked(config, context)).collect();
    let labels = asked.iter().map(|&at| tokens[at]).collect();
    let batch = MaskedBatch { sequences: Sequences::of(&[&tokens]), asked, labels };
    let one = RunConfig { train: TrainConfig { batch: 1, ..config.train.clone() }, ..config.clone() };
    let flops = training_flops(&one, &encoder)? * context as f64;
    Ok((Encoder::new(&encoder, config.train.seed, device)?, batch, flops))
}
