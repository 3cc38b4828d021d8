//! What a step changes: weights, moments and the moving average; and its files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::Device;
use percept_fault::{Fault, Result};
use percept_model::{LanguageModel, ModelConfig, parameters, weights};

use crate::config::TrainConfig;
use crate::optimizer::{Average, Optimizer, plain_device, replace};
use crate::run_folder::{MODEL, OPTIMIZER};
use crate::tensors;

/// Prefix of the trained weights in the optimizer's file, where the model's file holds their average.
const WEIGHT: &str = "weight.";

/// The state of training: weights, the optimizer's moments, and the moving average of the weights where it is on.
#[derive(Debug)]
pub struct State {
    /// On a device with autodiff.
    pub(crate) model: LanguageModel,
    pub(crate) optimizer: Optimizer,
    pub(crate) average: Option<Average>,
}

impl State {
    /// Before the first step; `model` is on a device with autodiff.
    pub fn new(model: LanguageModel, config: &TrainConfig) -> Self {
        let average = (config.ema > 0.0).then(|| Average::new(config.ema, &model));
        Self { model, optimizer: Optimizer::new(config), average }
    }

    /// The model to use: the average where there is one; without autodiff.
    pub(crate) fn published(&self) -> LanguageModel {
        let model = self.model.for_inference();
        match &self.average {
            Some(average) => average.applied_to(model),
            None => model,
        }
    }

    /// Writes both files into a folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        // No metadata of ours: it has no fixed order in the file, and equal runs should leave equal files.
        weights::save(&self.published(), &folder.join(MODEL), HashMap::new())?;
        let trained = self.average.as_ref().map(|_| parameters::collect(&self.model)).unwrap_or_default();
        let trained = trained.into_iter().map(|(path, tensor)| (format!("{WEIGHT}{path}"), tensor.data));
        tensors::save(&folder.join(OPTIMIZER), self.optimizer.tensors().chain(trained))
    }

    /// Reads what [`State::save`] wrote.
    pub(crate) fn load(folder: &Path, model: &ModelConfig, config: &TrainConfig, device: Device) -> Result<Self> {
        let loaded = weights::load(&folder.join(MODEL), &device.autodiff())?;
        check_model(&folder.join(MODEL), loaded.config(), model)?;
        let mut tensors = tensors::load(&folder.join(OPTIMIZER), &plain_device(&loaded))?;
        let mut state = Self::new(loaded, config);
        state.optimizer.restore(&mut tensors)?;
        let trained: BTreeMap<_, _> = tensors
            .into_iter()
            .filter_map(|(name, data)| Some((name.strip_prefix(WEIGHT)?.to_owned(), data)))
            .collect();
        state.model = replace(state.model, &trained);
        Ok(state)
    }
}

/// Refuses weights of another model; the message names the first key that differs.
pub(crate) fn check_model(path: &Path, found: &ModelConfig, wanted: &ModelConfig) -> Result<()> {
    let Some((key, found, wanted)) = difference(found, wanted) else { return Ok(()) };
    Err(Fault::usage(format!("{} is of another model: model.{key} is {found} there and {wanted} here", path.display()))
        .hint(format!("use the same [model] table, e.g. --set model.{key}={found}")))
}

/// The first key whose value differs and matters to the weights: how they are first drawn and regularised does not.
fn difference(found: &ModelConfig, wanted: &ModelConfig) -> Option<(String, String, String)> {
    let free = |key: &str| key.ends_with("dropout") || ["z_loss", "initialisation", "init_std"].contains(&key);
    let (found, wanted) = (toml::Table::try_from(found).ok()?, toml::Table::try_from(wanted).ok()?);
    let differs = |key: &&String| !free(key) && found.get(*key) != wanted.get(*key);
    let key = found.keys().chain(wanted.keys()).find(differs)?;
    let show = |table: &toml::Table| table.get(key).map_or("not set".to_owned(), toml::Value::to_string);
    Some((key.clone(), show(&found), show(&wanted)))
}
