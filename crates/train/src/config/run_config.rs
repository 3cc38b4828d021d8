//! The configuration of a run: its task, and tables `[model]` or `[encoder]` and `[masking]`, `[data]`, `[train]` and `[sample]`.

use std::path::PathBuf;

use percept_data::DataConfig;
use percept_fault::{Fault, Result};
use percept_model::ModelConfig;
use percept_model::encoder::{EncoderConfig, Masking};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::continuation::Continuation;
use crate::config::learning_rate::{Decay, Schedule, Warmup};
use crate::config::presets::NO_PRESET;
use crate::config::task_kind::TaskKind;
use crate::machine::device::DeviceChoice;
use crate::machine::precision::PrecisionChoice;

/// Most windows of a micro-batch, and most micro-batches of a step.
const MOST_WINDOWS: usize = 1 << 20;

/// Whether a number, as far as it is one, has a place in single precision.
fn is_single(value: f64) -> bool {
    value == 0.0 || !value.is_finite() || (value as f32).is_normal()
}

/// Whether a table or key has what it has where nothing is said; what came later is written only where it says something.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Everything that a run needs; enough to repeat it.
///
/// ```
/// use percept_train::{RunConfig, TrainConfig};
/// let config = RunConfig { train: TrainConfig { steps: 0, ..Default::default() }, ..Default::default() };
/// assert_eq!(config.validate().unwrap_err().to_string(), "train.steps is 0");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The preset below the file's values; `none` in the configuration that a run folder keeps.
    pub preset: String,
    /// What is trained: a language model, or an encoder that tells masked tokens.
    #[serde(skip_serializing_if = "is_default")]
    pub task: TaskKind,
    /// The model, of the task `next-token`.
    pub model: ModelConfig,
    /// The model of the task `masked`.
    #[serde(skip_serializing_if = "is_default")]
    pub encoder: EncoderConfig,
    /// Which tokens are masked in the task `masked`.
    #[serde(skip_serializing_if = "is_default")]
    pub masking: Masking,
    /// The texts and their tokenizer.
    pub data: DataConfig,
    /// Optimizer, schedule and what the run writes.
    pub train: TrainConfig,
    /// The samples written during training.
    pub sample: SampleConfig,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            preset: NO_PRESET.to_owned(),
            task: TaskKind::default(),
            model: ModelConfig::default(),
            encoder: EncoderConfig::default(),
            masking: Masking::default(),
            data: DataConfig::default(),
            train: TrainConfig::default(),
            sample: SampleConfig::default(),
        }
    }
}

/// What is computed again in the backward pass instead of being kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recompute {
    /// Nothing: fastest.
    Nothing,
    /// Every block, from its input: least memory, about a third more work.
    Blocks,
}

impl From<Recompute> for percept_model::Recompute {
    fn from(recompute: Recompute) -> Self {
        match recompute {
            Recompute::Nothing => Self::Keep,
            Recompute::Blocks => Self::Blocks,
        }
    }
}

/// What makes a step of the gradient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam with decoupled decay (arXiv 1711.05101).
    #[default]
    Adamw,
    /// As AdamW, but the step of each matrix is as long as the matrix times the learning rate (arXiv 1904.00962): for large batches.
    Lamb,
}

/// How to train: the TOML table `[train]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds of training after which the run ends, where its steps are not done before; 0: no limit. Under `wsd` the
    /// decay is planned at the speed measured so far, so that it ends in time.
    pub seconds: f64,
    /// Windows per micro-batch; memory grows with it.
    pub batch: usize,
    /// Micro-batches per step; their gradients are averaged over all targets of the step.
    pub accumulate: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// How the learning rate rises in the warm-up.
    #[serde(skip_serializing_if = "is_default")]
    pub warmup_shape: Warmup,
    /// What follows the warm-up.
    pub schedule: Decay,
    /// Last learning rate as a share of the highest (cosine, wsd).
    pub final_fraction: f64,
    /// Share of the steps that decay (wsd).
    pub cooldown: f64,
    /// Steps between two halvings (halving).
    pub halve_every: u64,
    /// What makes a step of the gradient.
    #[serde(skip_serializing_if = "is_default")]
    pub optimizer: OptimizerKind,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay of the matrices (not of embeddings, norms and biases).
    pub weight_decay: f64,
    /// Largest norm of the whole gradient; 0 switches clipping off.
    pub clip: f64,
    /// Decay of the moving average of the weights; 0 switches it off. With it, checkpoints hold the average.
    pub ema: f64,
    /// Seed of the initial weights, the dropout masks and the samples.
    pub seed: u64,
    /// What is computed again in the backward pass.
    pub recompute: Recompute,
    /// auto, cpu, cuda:0, vulkan or metal.
    pub device: String,
    /// Number format of the large products.
    pub precision: PrecisionChoice,
    /// Run folder or checkpoint whose weights the run starts from.
    pub init_from: Option<PathBuf>,
    /// Steps between two lines of metrics.
    pub log_every: u64,
    /// Steps between two validations; 0 validates at the end only.
    pub validate_every: u64,
    /// Targets of a validation, spread over the validation documents; 0 takes them all.
    pub validation_targets: usize,
    /// Targets that a validation window scores, its last ones: those before are context. 0: all that the model can score.
    pub validation_stride: usize,
    /// Steps between two samples; 0 writes one at the end only.
    pub sample_every: u64,
    /// Steps between two checkpoints; 0 saves at the end only.
    pub checkpoint_every: u64,
    /// How many of the latest checkpoints stay; the best one always does.
    pub keep: usize,
    /// Whether the curves are written as TensorBoard event files too, into the folder `tensorboard`.
    pub tensorboard: bool,
    /// What the learning rate follows after each step from which the run was lengthened, in the order of the steps; `percept resume`
    /// writes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub continuation: Vec<Continuation>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 1000,
            seconds: 0.0,
            batch: 4,
            accumulate: 1,
            learning_rate: 1e-3,
            warmup: 50,
            warmup_shape: Warmup::Linear,
            schedule: Decay::Cosine,
            final_fraction: 0.1,
            cooldown: 0.2,
            halve_every: 100_000,
            optimizer: OptimizerKind::Adamw,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.1,
            clip: 1.0,
            ema: 0.0,
            seed: 1,
            recompute: Recompute::Nothing,
            device: "auto".to_owned(),
            precision: PrecisionChoice::F32,
            init_from: None,
            log_every: 10,
            validate_every: 200,
            validation_targets: 65_536,
            validation_stride: 0,
            sample_every: 200,
            checkpoint_every: 200,
            keep: 2,
            tensorboard: false,
            continuation: Vec::new(),
        }
    }
}

/// The text that a run writes at intervals: the TOML table `[sample]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// What the sample goes on from; empty starts a document.
    pub prompt: String,
    /// Tokens to write; 0 writes no samples.
    pub tokens: usize,
    /// Temperature; 0 always takes the most probable token.
    pub temperature: f64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { prompt: String::new(), tokens: 200, temperature: 0.8 }
    }
}

impl RunConfig {
    /// The configuration as TOML, complete: read back, it is equal to this one.
    ///
    /// ```
    /// use percept_train::{RunConfig, resolve_preset};
    /// let config = resolve_preset("llp-tiny")?;
    /// let text = config.to_toml()?;
    /// // Every key is there, whatever it was set by.
    /// assert!(text.contains("[model]") && text.contains("learning_rate = "));
    /// assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), config);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn to_toml(&self) -> Result<String> {
        let text = match self.task {
            TaskKind::NextToken => toml::to_string(self),
            TaskKind::Masked => toml::to_string(&MaskedRun::of(self)),
        };
        text.map_err(|error| Fault::internal("cannot write the configuration").because(error))
    }

    /// Refuses what is not about a language model.
    ///
    /// # Errors
    /// A usage fault.
    pub fn check_language_model(&self) -> Result<()> {
        match self.task {
            TaskKind::NextToken => Ok(()),
            task => Err(Fault::usage(format!("a language model is needed here, and task = \"{task}\""))
                .hint("`percept presets` lists the others; train, eval, plan, verify and fill take encoders")),
        }
    }

    /// Tokens of the windows into which the text is cut.
    pub fn window(&self) -> usize {
        match self.task {
            TaskKind::NextToken => self.model.context,
            // The token after the window belongs to the sequence, too.
            TaskKind::Masked => self.encoder.context - 1,
        }
    }

    /// The text of the `config.toml` that a run keeps.
    pub(crate) fn to_run_file(&self) -> Result<String> {
        Ok(format!("# The resolved configuration of this run, with every key.\n{}", self.to_toml()?))
    }

    /// The JSON schema of the configuration file.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(RunConfig).to_value()
    }

    /// Checks every value; the message names the key.
    ///
    /// A vocabulary of 0, which the tokenizer fills in later, passes.
    pub fn validate(&self) -> Result<()> {
        // The smallest vocabulary there is stands in for the tokenizer's.
        let known = |vocab: usize| if vocab == 0 { 257 } else { vocab };
        match self.task {
            TaskKind::NextToken => ModelConfig { vocab: known(self.model.vocab), ..self.model.clone() }.validate()?,
            TaskKind::Masked => {
                EncoderConfig { vocab: known(self.encoder.vocab), ..self.encoder.clone() }.validate()?;
                self.masking.validate()?;
            }
        }
        self.train.validate()?;
        if !(self.sample.temperature >= 0.0 && self.sample.temperature.is_finite()) {
            return Err(Fault::usage(format!("sample.temperature = {} is not a temperature", self.sample.temperature))
                .hint("0 is greedy, 1 the model's own distribution"));
        }
        Ok(())
    }
}

/// The tables of a run that trains an encoder, in the order in which they are written.
#[derive(Serialize)]
struct MaskedRun<'a> {
    preset: &'a str,
    task: TaskKind,
    encoder: &'a EncoderConfig,
    masking: &'a Masking,
    data: &'a DataConfig,
    train: &'a TrainConfig,
}

impl<'a> MaskedRun<'a> {
    fn of(config: &'a RunConfig) -> Self {
        let RunConfig { preset, task, encoder, masking, data, train, .. } = config;
        Self { preset, task: *task, encoder, masking, data, train }
    }
}

impl TrainConfig {
    /// The learning rate over the steps.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            decay: self.schedule,
            peak: self.learning_rate,
            warmup: self.warmup,
            warmup_shape: self.warmup_shape,
            steps: self.steps,
            final_fraction: self.final_fraction,
            cooldown: self.cooldown,
            halve_every: self.halve_every,
            continuation: self.continuation.clone(),
        }
    }

    /// Checks every value; the message names the key.
    pub fn validate(&self) -> Result<()> {
        let counts = [
            ("steps", self.steps),
            ("batch", self.batch as u64),
            ("accumulate", self.accumulate as u64),
            ("halve_every", self.halve_every),
            ("log_every", self.log_every),
            ("keep", self.keep as u64),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, value)| *value == 0) {
            return Err(Fault::usage(format!("train.{key} is 0")).hint(format!("set train.{key} to at least 1")));
        }
        // The sampler's and the optimizer's numbers are products of these with the window.
        let sizes = [("batch", self.batch), ("accumulate", self.accumulate)];
        if let Some((key, value)) = sizes.iter().find(|(_, value)| *value > MOST_WINDOWS) {
            return Err(Fault::usage(format!("train.{key} = {value} is too large"))
                .hint(format!("train.{key} is at most {MOST_WINDOWS}")));
        }
        // The optimizer computes in single precision.
        let positive = |value: f64| value as f32 > 0.0 && (value as f32).is_finite();
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let decay = |value: f64| (0.0..1.0).contains(&value);
        let at_least_zero = |value: f64| value >= 0.0 && (value as f32).is_finite();
        let mut rates = self.continuation.iter().map(|continuation| continuation.learning_rate);
        let continued = rates.find(|&rate| !at_least_zero(rate)).unwrap_or(self.learning_rate);
        let numbers = [
            ("learning_rate", self.learning_rate, positive(self.learning_rate), "above 0"),
            ("continuation.learning_rate", continued, at_least_zero(continued), "at least 0"),
            ("epsilon", self.epsilon, positive(self.epsilon), "above 0"),
            ("seconds", self.seconds, self.seconds >= 0.0 && self.seconds.is_finite(), "at least 0"),
            ("weight_decay", self.weight_decay, at_least_zero(self.weight_decay), "at least 0"),
            ("clip", self.clip, at_least_zero(self.clip), "at least 0"),
            ("final_fraction", self.final_fraction, share(self.final_fraction), "between 0 and 1"),
            ("cooldown", self.cooldown, share(self.cooldown), "between 0 and 1"),
            ("beta1", self.beta1, decay(self.beta1), "at least 0 and below 1"),
            ("beta2", self.beta2, decay(self.beta2), "at least 0 and below 1"),
            ("ema", self.ema, decay(self.ema), "at least 0 and below 1"),
        ];
        if let Some((key, value, _, range)) = numbers.iter().find(|(_, _, fits, _)| !fits) {
            return Err(Fault::usage(format!("train.{key} = {value} is out of range")).hint(format!(
                "train.{key} must be {range}{}",
                if is_single(*value) { "" } else { ", in single precision" }
            )));
        }
        self.device.parse::<DeviceChoice>().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_training_cannot_compute_with_are_named() {
        let base = TrainConfig::default;
        for (config, message, hint) in [
            (TrainConfig { batch: usize::MAX, ..base() }, "train.batch = 18446744073709551615 is too large", "1048576"),
            (TrainConfig { accumulate: 1 << 40, ..base() }, "train.accumulate = 1099511627776 is too large", "1048576"),
            (TrainConfig { learning_rate: 1e40, ..base() }, "out of range", "above 0, in single precision"),
            (TrainConfig { epsilon: 1e-50, ..base() }, "out of range", "above 0, in single precision"),
            (TrainConfig { clip: f64::INFINITY, ..base() }, "train.clip = inf is out of range", "at least 0"),
        ] {
            let fault = config.validate().unwrap_err();
            assert!(fault.is_usage() && fault.to_string().contains(message), "{fault}");
            assert!(fault.hint_text().unwrap().ends_with(hint), "{:?}", fault.hint_text());
        }
        TrainConfig { seconds: 1e300, steps: u64::MAX, ..base() }.validate().unwrap();
    }
}
