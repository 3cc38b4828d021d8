//! Weights from elsewhere: the authors' `.pt` checkpoints, and safetensors under their names or ours.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::Device;
use percept_fault::{Fault, Result};

use super::foreign::{self, Foreign, Kind, Tensors};
use super::native;
use super::paper::{self, Layout};
use super::rwkv;
use crate::config::{LayerSpec, ModelConfig};
use crate::language_model::LanguageModel;
use crate::parameters;
use crate::tensor_file::{self, Elements, Entry};

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

/// The configuration that a weight file carries, or one of the files of an index; `None` for whole files that are not ours.
///
/// # Errors
/// There is no such file, or it is damaged.
pub fn carried_config(path: &Path) -> Result<Option<ModelConfig>> {
    let parts = match Kind::of(path)? {
        Kind::Index => foreign::parts(path)?,
        Kind::Pytorch | Kind::Safetensors => vec![path.to_owned()],
    };
    for part in parts {
        if Kind::of(&part)? == Kind::Safetensors
            && let Some(config) = native::carried_config(&part)?
        {
            return Ok(Some(config));
        }
    }
    // What is wrong with a file is said before what it does not say.
    foreign::read(path).map(|_| None)
}

/// Reads weights for `config` from a `.pt`, `.pth`, `.ckpt` or `.bin` file of PyTorch (top-level `state_dict`, if there is
/// one), a safetensors file, or the `.index.json` of several files. F64, F16 and BF16 become f32.
///
/// Names may carry the prefix `model.` or `param.`; they are the authors' or ours. Heads and segments are not in
/// such files: they come from `config`. Unknown names are ignored and listed.
///
/// # Errors
/// A damaged file, a missing name, a shape that differs, or a type that is none of weights.
pub fn import(path: &Path, config: &ModelConfig, device: &Device) -> Result<Imported> {
    from_tensors(foreign::read(path)?, config, device, path)
}

fn from_tensors(mut tensors: Tensors, config: &ModelConfig, device: &Device, path: &Path) -> Result<Imported> {
    let layers = config.layer_specs()?;
    let theirs = match tensors.contains_key(rwkv::MARK) {
        true => |ours: &str, layers: &[LayerSpec]| rwkv::name(ours, layers).map(|(name, layout)| (vec![name], layout)),
        false => paper::names,
    };
    let model = native::fill(LanguageModel::zeros(config, device)?, |ours, shape| {
        let (mut names, mut layout) = (vec![ours.to_string()], Layout::Same);
        if !tensors.contains_key(ours)
            && let Some(theirs) = theirs(ours, &layers)
        {
            (names, layout) = theirs;
        }
        let found = names.iter().find_map(|name| tensors.remove_entry(name));
        let Some((name, Foreign { shape: found_shape, values })) = found else {
            let what = format!("{}: there is no tensor `{}`", path.display(), names.join("` or `"));
            return Err(Fault::usage(what).hint(hint_where_missing(path)));
        };
        let stored: Vec<usize> = match layout {
            Layout::Same => shape.to_vec(),
            Layout::Transposed => shape.iter().rev().copied().collect(),
        };
        if without_ones(&found_shape, stored.len()) != stored {
            return Err(Fault::usage(format!(
                "{}: tensor `{name}` has shape {found_shape:?}; the configuration needs {stored:?}",
                path.display()
            ))
            .hint("check --tokenizer, and vocab, dim, heads and the lengths in the mixer's table in --config"));
        }
        let values = values.map_err(|dtype| {
            Fault::usage(format!("{}: tensor `{name}` is {dtype}", path.display()))
                .hint("weights are F32, F16, BF16 or F64: convert the file")
        })?;
        match (layout, shape) {
            (Layout::Transposed, [inputs, outputs]) => Ok(paper::transpose(&values, *outputs, *inputs)),
            _ => Ok(values),
        }
    })?;
    Ok(Imported { model, ignored: tensors.into_keys().collect() })
}

/// A shape of at most `rank` dimensions, where those before are one: RWKV's vectors are `[1, 1, d]`.
fn without_ones(mut shape: &[usize], rank: usize) -> &[usize] {
    while let [1, rest @ ..] = shape
        && shape.len() > rank
    {
        shape = rest;
    }
    shape
}

fn hint_where_missing(path: &Path) -> &'static str {
    match path.file_name().is_some_and(|name| name.to_string_lossy().contains("-of-")) {
        true => "this is one of several files of a model: import the .index.json beside it",
        false => "check that --config describes this model: layers, depth, paper or modern options",
    }
}

/// Writes the weights to a safetensors file under the chosen names. The authors' names exist for the paper
/// options only.
pub fn export(model: &LanguageModel, path: &Path, names: Names) -> Result<()> {
    if names == Names::Percept {
        return native::save(model, path, HashMap::new());
    }
    let mut entries = Vec::new();
    for (ours, tensor) in parameters::collect(model) {
        let Some((theirs, layout)) = paper::names(&ours, model.layers()) else {
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
        let name = theirs.into_iter().next().unwrap_or(ours);
        entries.push(Entry::new(name, shape, Elements::Floats(values)));
    }
    tensor_file::write(path, &entries, None)
}
