//! Which model is timed.

use clap::{Args, ValueEnum};
use percept::data::Tokenizer;
use percept::model::LanguageModel;
use percept::model::properties::Properties;
use percept::random::split_mix;
use percept::train::{DeviceChoice, Memory, Override, RunConfig, Sources, resolve};
use percept::{Fault, Result};

use crate::arguments::Global;
use crate::arguments::config::{resolve_named, sets};

/// A model: one of three fixed shapes, a preset or a file, with changes on top.
#[derive(Debug, Clone, Args)]
pub(super) struct ModelArgs {
    /// A preset (`percept presets` lists them) or a configuration file [default: --config S]
    #[arg(value_name = "PRESET|FILE", conflicts_with = "config")]
    preset: Option<String>,
    /// A fixed shape with the paper's options, without dropout and clipping: S, M or L
    #[arg(long, value_name = "SIZE", ignore_case = true)]
    config: Option<Size>,
    /// The mixers, e.g. transformer or "llp*3, transformer"
    #[arg(long, value_name = "SCHEDULE")]
    layers: Option<String>,
    /// Set one key of the configuration, e.g. --set model.segment=64; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// The shapes for which speeds are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    /// 4 layers of width 256, windows of 1,024 tokens
    #[value(name = "S")]
    S,
    /// 6 layers of width 512, windows of 2,048 tokens
    #[value(name = "M")]
    M,
    /// 12 layers of width 768, windows of 2,048 tokens, 28,996 tokens in the vocabulary
    #[value(name = "L")]
    L,
}

/// A resolved model.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// `S`, or the preset's or file's name.
    pub(super) name: String,
    /// What was changed on top of it.
    pub(super) changes: Vec<String>,
    /// The configuration, with a vocabulary.
    pub(super) config: RunConfig,
}

impl Subject {
    /// The model with random weights, and the name of the device that holds it.
    pub(super) fn build(&self) -> Result<(LanguageModel, String)> {
        let train = &self.config.train;
        let weights = Properties::of(&self.config.model)?.parameters().saturating_mul(size_of::<f32>() as u64);
        let (device, name) = train.device.parse::<DeviceChoice>()?.open()?;
        Memory::check(weights, "the model", &device)?;
        Ok((LanguageModel::new(&self.config.model, train.seed, &device)?, name))
    }
}

impl ModelArgs {
    /// The configuration with all flags on top.
    pub(super) fn resolve(&self, global: &Global, mut flags: Vec<Override>) -> Result<Subject> {
        if let Some(device) = &global.device {
            flags.push(Override::flag(format!("--device {device}"), "train.device", device.as_str()));
        }
        let mut changes = self.set.clone();
        if let Some(layers) = &self.layers {
            flags.push(Override::flag(format!("--layers {layers}"), "model.layers", layers.as_str()));
            changes.push(format!("model.layers={layers}"));
        }
        let (name, mut config) = match &self.preset {
            Some(preset) => (preset.clone(), resolve_named(Some(preset), &self.set, flags)?),
            None => self.size().resolve(&self.set, flags)?,
        };
        config.check_language_model()?;
        if config.model.vocab == 0 {
            config.model.vocab = Tokenizer::open(&config.data.tokenizer)?.vocab_size();
        }
        Ok(Subject { name, changes, config })
    }

    fn size(&self) -> Size {
        self.config.unwrap_or(Size::S)
    }
}

impl Size {
    /// The configuration; the environment does not change fixed shapes.
    fn resolve(self, set: &[String], flags: Vec<Override>) -> Result<(String, RunConfig)> {
        let mut overrides = sets(&self.settings())?;
        overrides.extend(sets(set)?);
        overrides.extend(flags);
        let config = resolve(&Sources { preset: Some("llp-paper".into()), file: None, overrides })?;
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        Ok((name.ok_or_else(|| Fault::internal("a size without a name"))?, config))
    }

    /// What differs from the preset `llp-paper`.
    fn settings(self) -> Vec<String> {
        const FIXED: [&str; 9] = [
            "model.attention_dropout=0",
            "model.feed_forward_dropout=0",
            "train.accumulate=1",
            "train.learning_rate=1e-4",
            "train.warmup=0",
            "train.schedule=constant",
            "train.weight_decay=0.01",
            "train.beta2=0.999",
            "train.clip=0",
        ];
        let (dim, heads, depth, context, vocab, batch) = match self {
            Size::S => (256, 4, 4, 1024, 4096, 4),
            Size::M => (512, 8, 6, 2048, 8192, 2),
            Size::L => (768, 6, 12, 2048, 28_996, 1),
        };
        let sizes = [
            ("model.dim", dim),
            ("model.heads", heads),
            ("model.depth", depth),
            ("model.context", context),
            ("model.segment", context / 8),
            ("model.vocab", vocab),
            ("train.batch", batch),
        ];
        let sizes = sizes.iter().map(|(key, value)| format!("{key}={value}"));
        sizes.chain(FIXED.map(str::to_owned)).collect()
    }
}

/// `count` random tokens below `vocab`; the same tokens for the same `seed`.
pub(super) fn random_tokens(count: usize, vocab: usize, seed: u64) -> Vec<u32> {
    let token = |index| ((u128::from(split_mix(seed, index)) * vocab as u128) >> 64) as u32;
    (0..count as u64).map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(size: Size) -> u64 {
        let (_, config) = size.resolve(&[], Vec::new()).unwrap();
        assert_eq!((config.train.clip, config.model.feed_forward_dropout), (0.0, 0.0));
        Properties::of(&config.model).unwrap().parameters()
    }

    #[test]
    fn the_sizes_have_the_parameters_of_the_baseline() {
        // Counted by hand: embedding and head 2 V d + V, per layer 12 d^2 + 11 d (a second output
        // projection in every layer, shared key/value, no bias on query and key/value), the last norm 2 d.
        for (size, dim, depth, vocab) in [(Size::S, 256, 4, 4096), (Size::M, 512, 6, 8192), (Size::L, 768, 12, 28_996)]
        {
            let layer = 2 * dim * dim + 2 * (dim * dim + dim) + 8 * dim * dim + 5 * dim + 4 * dim;
            assert_eq!(parameters(size), 2 * vocab * dim + vocab + depth * layer + 2 * dim);
        }
    }

    #[test]
    fn changes_win_over_the_fixed_shape() {
        let (name, config) = Size::S.resolve(&["model.segment=64".into()], Vec::new()).unwrap();
        assert_eq!((name.as_str(), config.model.mixers.llp.segment, config.model.context), ("S", 64, 1024));
    }

    #[test]
    fn tokens_are_random_and_in_the_vocabulary() {
        let tokens = random_tokens(10_000, 7, 1);
        assert_eq!(tokens, random_tokens(10_000, 7, 1));
        for token in 0..7 {
            let share = tokens.iter().filter(|&&other| other == token).count();
            assert!((1250..1610).contains(&share), "{token}: {share}");
        }
        assert!(tokens.iter().all(|&token| token < 7));
    }
}
