//! Weights from elsewhere: the authors' `.pt` checkpoints, and safetensors under their names or ours.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::Device;
use percept_fault::{Fault, IoContext, Result};
use pytorch_reader::PytorchReader;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::native;
use super::paper::{self, Layout};
use crate::config::ModelConfig;
use crate::language_model::LanguageModel;
use crate::parameters;

/// A model from elsewhere.
#[derive(Debug)]
pub struct Imported {
    /// The model.
    pub model: LanguageModel,
    /// Names in the file that the model has no use for, buffers and never-used norms among them.
    pub ignored: Vec<String>,
}

/// Whose names a weight file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Parameter paths, as [`super::save`] writes them.
    Percept,
    /// The authors' (see [`crate::weights::paper`]).
    Paper,
}

type Foreign = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Reads weights for `config` from a `.pt` / `.pth` file (top-level `state_dict`) or a safetensors file.
///
/// Names may carry the prefix `model.` or `param.`; they are the authors' or ours. Heads and segments are not in
/// such files: they come from `config`. Unknown names are ignored and listed.
///
/// # Errors
/// A missing name, or a shape that differs.
pub fn import(path: &Path, config: &ModelConfig, device: &Device) -> Result<Imported> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let tensors = match extension {
        "pt" | "pth" | "ckpt" => read_pytorch(path)?,
        "safetensors" => read_safetensors(path)?,
        other => {
            return Err(Fault::usage(format!("{}: can't import a `.{other}` file", path.display()))
                .hint("give a .pt, .pth or .safetensors file"));
        }
    };
    from_tensors(tensors, config, device, path)
}

fn from_tensors(mut tensors: Foreign, config: &ModelConfig, device: &Device, path: &Path) -> Result<Imported> {
    let model = native::fill(LanguageModel::zeros(config, device)?, |ours, shape| {
        let (mut names, mut layout) = (vec![ours.to_string()], Layout::Same);
        if !tensors.contains_key(ours)
            && let Some(theirs) = paper::names(ours)
        {
            (names, layout) = theirs;
        }
        let found = names.iter().find_map(|name| tensors.remove_entry(name));
        let Some((name, (found_shape, values))) = found else {
            return Err(Fault::usage(format!("{}: there is no tensor `{}`", path.display(), names.join("` or `")))
                .hint("check that --config describes this model: layers, depth, paper or modern options"));
        };
        let stored: Vec<usize> = match layout {
            Layout::Same => shape.to_vec(),
            Layout::Transposed => shape.iter().rev().copied().collect(),
        };
        if found_shape != stored {
            return Err(Fault::usage(format!(
                "{}: tensor `{name}` has shape {found_shape:?}; the configuration needs {stored:?}",
                path.display()
            ))
            .hint("check vocab, dim, heads, latents and compressed in --config"));
        }
        match (layout, shape) {
            (Layout::Transposed, [inputs, outputs]) => Ok(paper::transpose(&values, *outputs, *inputs)),
            _ => Ok(values),
        }
    })?;
    Ok(Imported { model, ignored: tensors.into_keys().collect() })
}

/// Writes the weights to a safetensors file under the chosen names. The authors' names exist for the paper
/// options only.
pub fn export(model: &LanguageModel, path: &Path, names: Names) -> Result<()> {
    if names == Names::Percept {
        return native::save(model, path, HashMap::new());
    }
    let mut tensors = Vec::new();
    for (ours, tensor) in parameters::collect(model) {
        let Some((theirs, layout)) = paper::names(&ours) else {
            return Err(Fault::usage(format!("`{ours}` has no name in the authors' code"))
                .hint("only models of the paper preset can be exported under the authors' names"));
        };
        let values: Vec<f32> = tensor.data.into_data().iter::<f32>().collect();
        let (shape, values) = match (layout, &tensor.shape[..]) {
            (Layout::Transposed, [inputs, outputs]) => {
                (vec![*outputs, *inputs], paper::transpose(&values, *inputs, *outputs))
            }
            _ => (tensor.shape, values),
        };
        // The Perceiver models call it w_out, LLP and V1 to_out.
        let w_out = ["perceiver-ar", "perceiver-v2", "perceiver-v3"].contains(&model.config().layers.as_str());
        let name = if w_out { theirs.last() } else { theirs.first() };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((name.cloned().unwrap_or(ours), shape, bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
    let bytes = views
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(|error| Fault::internal("weights can't be serialised").because(error))?;
    std::fs::write(path, bytes).at("write", path)
}

fn read_safetensors(path: &Path) -> Result<Foreign> {
    let bytes = std::fs::read(path).at("read", path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(path).because(error))?;
    let floats = file.tensors().into_iter().filter_map(|(name, view)| {
        let values = match view.dtype() {
            Dtype::F32 => floats(view.data()),
            Dtype::F64 => doubles(view.data()),
            _ => return None,
        };
        Some((bare(&name), (view.shape().to_vec(), values)))
    });
    Ok(floats.collect())
}

fn read_pytorch(path: &Path) -> Result<Foreign> {
    std::fs::metadata(path).at("read", path)?;
    let reader = PytorchReader::with_top_level_key(path, "state_dict").or_else(|_| PytorchReader::new(path));
    let reader = reader.map_err(|error| damaged(path).because(error.to_string()))?;
    let mut tensors = Foreign::new();
    for (name, tensor) in reader.into_tensors() {
        let bytes = tensor.read().at("read", path)?;
        let values = match tensor.dtype() {
            pytorch_reader::DType::F32 => floats(&bytes),
            pytorch_reader::DType::F64 => doubles(&bytes),
            _ => continue,
        };
        tensors.insert(bare(&name), (tensor.shape().to_vec(), values));
    }
    Ok(tensors)
}

fn bare(name: &str) -> String {
    ["model.", "param."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name).to_string()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn doubles(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(8).map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32).collect()
}

fn damaged(path: &Path) -> Fault {
    Fault::environment(format!("{} can't be read as weights", path.display())).hint("check that the file is complete")
}
