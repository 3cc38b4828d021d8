//! Our own weight files: safetensors under parameter paths, the configuration in the metadata.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use memmap2::Mmap;
use percept_fault::{Fault, IoContext, Result};

use crate::config::ModelConfig;
use crate::parameters::{self, NamedTensor};
use crate::tensor_file::{self, Elements, Entry, TensorFile};
use crate::trainable::Trainable;

/// Where a file of ours has its configuration.
pub(super) const CONFIG: &str = "percept.config";

/// Writes every weight under its path (f32), with the configuration as metadata. The file is
/// replaced as a whole, or stays as it is.
///
/// ```
/// use percept_model::{InferenceModel, LanguageModel, ModelConfig, weights};
/// # let folder = tempfile::tempdir().unwrap();
/// # let layers = "llp(segment=8)".into();
/// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// let (path, device) = (folder.path().join("model.safetensors"), Default::default());
/// let model = LanguageModel::new(&config, 7, &device)?;
/// weights::save(&model, &path, Default::default())?;
/// // The file knows its configuration.
/// let loaded: LanguageModel = weights::load(&path, &device)?;
/// assert_eq!(loaded.config(), &config);
/// assert_eq!(InferenceModel::from(loaded).fingerprint(), InferenceModel::from(model).fingerprint());
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn save(model: &impl Trainable, path: &Path, mut metadata: HashMap<String, String>) -> Result<()> {
    let config = serde_json::to_string(model.config())
        .map_err(|error| Fault::internal("the configuration can't be serialised").because(error))?;
    metadata.insert(CONFIG.into(), config);
    let entry = |(name, tensor): (String, NamedTensor)| Entry::new(name, tensor.shape, Elements::Tensor(tensor.data));
    let entries: Vec<Entry> = parameters::collect(model).into_iter().map(entry).collect();
    tensor_file::write(path, &entries, Some(metadata))
}

/// The model configuration that a file carries as this text.
pub(super) fn parse_config(config: &str, path: &Path) -> Result<ModelConfig> {
    serde_json::from_str(config).map_err(|error| {
        Fault::usage(format!("{} carries a configuration that can't be read", path.display()))
            .because(error)
            .hint("--config PRESET or FILE describes the model in its place")
    })
}

/// Reads a model from a file of [`save`]. Missing, extra or misshapen tensors are errors.
pub fn load<M: Trainable>(path: &Path, device: &Device) -> Result<M> {
    let bytes = map(path)?;
    let file = TensorFile::parse(&bytes).map_err(|error| damaged(path).because(error))?;
    let config = config_of::<M>(&file, path)?;
    fill(M::blank(&config, device)?, |name, shape| {
        let another = |what: String| Fault::usage(what).hint("the file belongs to another model");
        let Some(stored) = file.get(name) else {
            return Err(another(format!("{}: tensor `{name}` is missing", path.display())));
        };
        stored.f32s().filter(|_| stored.shape() == shape).ok_or_else(|| {
            let found = format!("{:?} {:?}", stored.dtype(), stored.shape());
            another(format!("{}: tensor `{name}` is {found}, the model has F32 {shape:?}", path.display()))
        })
    })
}

/// A weight file in memory, read as it is used: each weight is copied once.
fn map(path: &Path) -> Result<Mmap> {
    let file = std::fs::File::open(path).at("read", path)?;
    // SAFETY: the map is read only while a model is read from it. Weight files are written under a temporary name and
    // renamed, never in place, so nothing changes them meanwhile.
    unsafe { Mmap::map(&file) }.at("read", path)
}

/// Fills a model with the values that `values(path, shape)` finds; stops at the first fault.
pub(super) fn fill<M: Module>(model: M, mut values: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>) -> Result<M> {
    let mut fault = None;
    let model = parameters::map(model, |name, shape, tensor| {
        if fault.is_some() {
            return tensor;
        }
        match values(name, shape) {
            Ok(values) => {
                let size = values.len();
                Tensor::from_data(TensorData::new(values, [size]), &tensor.device())
            }
            Err(error) => {
                fault = Some(error);
                tensor
            }
        }
    });
    match fault {
        Some(fault) => Err(fault),
        None => Ok(model),
    }
}

fn config_of<M: Trainable>(file: &TensorFile<'_>, path: &Path) -> Result<M::Config> {
    let config = file.metadata().get(CONFIG).ok_or_else(|| {
        Fault::usage(format!("{} carries no Percept configuration", path.display()))
            .hint("weights from elsewhere are read by `percept import`")
    })?;
    serde_json::from_str(config).map_err(|error| damaged(path).because(error))
}

fn damaged(path: &Path) -> Fault {
    Fault::environment(format!("{} is damaged", path.display()))
        .hint("use another checkpoint of the run, or export or copy it again")
}
