//! The kinds of models that runs keep, as far as they differ in a configuration.

use std::path::Path;

use percept_fault::Result;
use percept_model::encoder::{Encoder, EncoderProperties};
use percept_model::properties::Properties;
use percept_model::{LanguageModel, ModelConfig, Trainable};

use crate::config::RunConfig;
use crate::config::task_kind::TaskKind;
use crate::run::same_model::{check_config, check_model};

/// A kind of model, and where a run's configuration describes it.
pub(crate) trait RunModel: Trainable {
    /// The task that trains it.
    const TASK: TaskKind;
    /// The table that describes it.
    const TABLE: &str;
    /// What messages call it.
    const NAME: &str;
    /// Tokens that it has beyond the tokenizer's.
    const OWN_TOKENS: usize;

    /// Its table.
    fn of(config: &RunConfig) -> &Self::Config;

    /// The number of tokens there; 0: the tokenizer's, and its own.
    fn vocab(config: &mut RunConfig) -> &mut usize;

    /// Number of weights, by formula.
    ///
    /// # Errors
    /// A usage fault where the table stands for no model.
    fn parameters(config: &RunConfig) -> Result<u64>;

    /// Refuses weights of another model.
    ///
    /// # Errors
    /// A usage fault that names the first key that differs.
    fn check(path: &Path, found: &Self::Config, wanted: &Self::Config) -> Result<()>;

    /// Refuses weights from which a model that is wanted can't begin.
    ///
    /// # Errors
    /// As [`RunModel::check`].
    fn check_initial(path: &Path, found: &Self::Config, wanted: &Self::Config) -> Result<()> {
        Self::check(path, found, wanted)
    }
}

impl RunModel for LanguageModel {
    const TASK: TaskKind = TaskKind::NextToken;
    const TABLE: &str = "model";
    const NAME: &str = "a language model";
    const OWN_TOKENS: usize = 0;

    fn of(config: &RunConfig) -> &Self::Config {
        &config.model
    }

    fn vocab(config: &mut RunConfig) -> &mut usize {
        &mut config.model.vocab
    }

    fn parameters(config: &RunConfig) -> Result<u64> {
        Ok(Properties::of(&config.model)?.parameters())
    }

    fn check(path: &Path, found: &Self::Config, wanted: &Self::Config) -> Result<()> {
        check_model(path, found, wanted)
    }

    /// What a model is taught changes none of its shapes.
    fn check_initial(path: &Path, found: &Self::Config, wanted: &Self::Config) -> Result<()> {
        let (objective, order_agnostic) = (found.objective, found.order_agnostic);
        check_model(path, found, &ModelConfig { objective, order_agnostic, ..wanted.clone() })
    }
}

impl RunModel for Encoder {
    const TASK: TaskKind = TaskKind::Masked;
    const TABLE: &str = "encoder";
    const NAME: &str = "an encoder";
    /// The mask.
    const OWN_TOKENS: usize = 1;

    fn of(config: &RunConfig) -> &Self::Config {
        &config.encoder
    }

    fn vocab(config: &mut RunConfig) -> &mut usize {
        &mut config.encoder.vocab
    }

    fn parameters(config: &RunConfig) -> Result<u64> {
        Ok(EncoderProperties::of(&config.encoder)?.parameters())
    }

    fn check(path: &Path, found: &Self::Config, wanted: &Self::Config) -> Result<()> {
        check_config(path, Self::TABLE, (found, wanted), |key| key == "init_std")
    }
}
