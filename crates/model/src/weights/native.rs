//! Our own weight files: safetensors under parameter paths, the configuration in the metadata.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use memmap2::Mmap;
use percept_fault::{Fault, IoContext, Result};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::foreign;
use crate::config::ModelConfig;
use crate::parameters;
use crate::trainable::Trainable;

const CONFIG: &str = "percept.config";

/// Writes every weight under its path (f32), with the configuration as metadata. The file is not
/// replaced atomically: write to a temporary name and rename.
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
    let tensors: Vec<_> = parameters::collect(model)
        .into_iter()
        .map(|(name, tensor)| (name, tensor.shape, tensor.data.into_data()))
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, data)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data.as_bytes())?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| Fault::internal("weights can't be serialised").because(error))?;
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(error) => Fault::environment(format!("cannot write {}", path.display()))
            .because(error)
            .hint("check the disk space and the permissions"),
        other => Fault::internal("weights can't be serialised").because(other),
    })
}

/// The model configuration that a safetensors file carries, if it does.
pub(super) fn carried_config(path: &Path) -> Result<Option<ModelConfig>> {
    let bytes = map(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| foreign::damaged(path).because(error))?;
    let carried = header.metadata().as_ref().and_then(|metadata| metadata.get(CONFIG));
    carried.map(|config| serde_json::from_str(config)).transpose().map_err(|error| {
        Fault::usage(format!("{} carries a configuration that can't be read", path.display()))
            .because(error)
            .hint("--config PRESET or FILE describes the model in its place")
    })
}

/// Reads a model from a file of [`save`]. Missing, extra or misshapen tensors are errors.
pub fn load<M: Trainable>(path: &Path, device: &Device) -> Result<M> {
    let bytes = map(path)?;
    let config = config_of::<M>(&bytes, path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(path).because(error))?;
    fill(M::blank(&config, device)?, |name, shape| match file.tensor(name) {
        Ok(view) if view.dtype() == Dtype::F32 && view.shape() == shape => {
            Ok(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        Ok(view) => Err(Fault::usage(format!(
            "{}: tensor `{name}` is {:?} {:?}, the model has F32 {shape:?}",
            path.display(),
            view.dtype(),
            view.shape()
        ))
        .hint("the file belongs to another model")),
        Err(_) => Err(Fault::usage(format!("{}: tensor `{name}` is missing", path.display()))
            .hint("the file belongs to another model")),
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

fn config_of<M: Trainable>(bytes: &[u8], path: &Path) -> Result<M::Config> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(path).because(error))?;
    let config = header.metadata().as_ref().and_then(|metadata| metadata.get(CONFIG)).ok_or_else(|| {
        Fault::usage(format!("{} carries no Percept configuration", path.display()))
            .hint("weights from elsewhere are read by `percept import`")
    })?;
    serde_json::from_str(config).map_err(|error| damaged(path).because(error))
}

fn damaged(path: &Path) -> Fault {
    Fault::environment(format!("{} is damaged", path.display()))
        .hint("use another checkpoint of the run, or export or copy it again")
}
