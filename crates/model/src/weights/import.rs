//! Weights from elsewhere: the authors' `.pt` checkpoints, and safetensors under their names or ours.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use percept_fault::{Fault, Result};

use super::foreign::{self, Contents, Foreign, Tensors};
use super::native;
use super::paper::{self, Layout};
use super::rwkv;
use crate::config::{LayerSpec, ModelConfig};
use crate::language_model::LanguageModel;
use crate::layer::Shapes;
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
    /// Those of RWKV's authors (see [`crate::weights::rwkv`]).
    Rwkv,
    /// Those of RWKV in Hugging Face's files: transformers' for RWKV-4, flash-linear-attention's for RWKV-7.
    HuggingFace,
}

/// A weight file from elsewhere in memory, so that it is read once: for its configuration, then for the weights.
///
/// ```
/// use percept_model::weights::{self, Names, WeightFile};
/// use percept_model::{LanguageModel, ModelConfig};
/// # let folder = tempfile::tempdir().unwrap();
/// # let config = ModelConfig { vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() }.with("segment", 8)?;
/// let (path, device) = (folder.path().join("paper.safetensors"), Default::default());
/// let model = LanguageModel::new(&config.with_paper_options(), 7, &device)?;
/// weights::export(&model, &path, Names::Paper)?;
/// let file = WeightFile::read(&path)?;
/// // Under the authors' names it says nothing of its model.
/// assert_eq!(file.config()?, None);
/// assert_eq!(file.into_model(model.config(), &device)?.ignored, [""; 0]);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub struct WeightFile {
    path: PathBuf,
    tensors: Tensors,
    /// That of our files, as text.
    config: Option<String>,
}

impl WeightFile {
    /// Reads a `.pt`, `.pth`, `.ckpt` or `.bin` file of PyTorch (top-level `state_dict`, if there is one), a safetensors file, or the
    /// `.index.json` of several files. F64, F16 and BF16 become f32.
    ///
    /// # Errors
    /// There is no such file, or it is damaged or of another kind.
    pub fn read(path: &Path) -> Result<Self> {
        let Contents { tensors, config } = foreign::read(path)?;
        Ok(Self { path: path.to_owned(), tensors: rwkv::hugging_face::rename(tensors), config })
    }

    /// The configuration that the file carries, or one of the files of an index; or that the shapes of an RWKV tell, as published or as
    /// Hugging Face names it; `None` for other files that are not ours.
    ///
    /// # Errors
    /// The configuration can't be read, or it is a variant of RWKV that Percept does not have.
    pub fn config(&self) -> Result<Option<ModelConfig>> {
        match &self.config {
            Some(config) => native::parse_config(config, &self.path).map(Some),
            None => rwkv::shapes::config(&shapes(&self.tensors)).map_err(|fault| at(&self.path, fault)),
        }
    }

    /// The model of this configuration with the weights of the file.
    ///
    /// Names may carry the prefix `model.`, `rwkv.` or `param.`; they are the authors', Hugging Face's of an RWKV, or ours. Heads and segments
    /// are not in such files: they come from `config`. Unknown names are ignored and listed, but in the blocks of an RWKV.
    ///
    /// # Errors
    /// A missing name, a shape that differs, or a type that is none of weights; of an RWKV also a name that the model has no place for.
    pub fn into_model(self, config: &ModelConfig, device: &Device) -> Result<Imported> {
        let Self { path, mut tensors, .. } = self;
        let (layers, zeros) = (config.layer_specs()?, LanguageModel::zeros(config, device)?);
        let theirs = match tensors.contains_key(rwkv::MARK) {
            true => {
                let shapes = shapes(&tensors);
                let checked =
                    rwkv::shapes::supported(&shapes).and_then(|()| rwkv::mismatch::check(&zeros, &layers, &shapes));
                checked.map_err(|fault| at(&path, fault))?;
                |ours: &str, layers: &[LayerSpec]| rwkv::name(ours, layers).map(|(name, layout)| (vec![name], layout))
            }
            false => paper::names,
        };
        let model = native::fill(zeros, |ours, shape| {
            let (mut names, mut layout) = (vec![ours.to_string()], Layout::Same);
            if !tensors.contains_key(ours)
                && let Some(theirs) = theirs(ours, &layers)
            {
                (names, layout) = theirs;
            }
            take(&mut tensors, &names, (layout, shape), &path)
        })?;
        Ok(Imported { model, ignored: tensors.into_keys().collect() })
    }
}

fn shapes(tensors: &Tensors) -> Shapes<'_> {
    tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())).collect()
}

fn at(path: &Path, fault: Fault) -> Fault {
    fault.at(&format!("{}: ", path.display()))
}

/// Reads weights for `config` from a file: [`WeightFile::read`], then [`WeightFile::into_model`].
///
/// # Errors
/// As those.
pub fn import(path: &Path, config: &ModelConfig, device: &Device) -> Result<Imported> {
    WeightFile::read(path)?.into_model(config, device)
}

/// The values of the first of some names that there is, in our layout: `shape` is that of our parameter.
fn take(tensors: &mut Tensors, names: &[String], (layout, shape): (Layout, &[usize]), path: &Path) -> Result<Vec<f32>> {
    let found = names.iter().find_map(|name| tensors.remove_entry(name));
    let Some((name, Foreign { shape: found_shape, values })) = found else {
        let what = format!("{}: there is no tensor `{}`", path.display(), names.join("` or `"));
        return Err(Fault::usage(what).hint(hint_where_missing(path)));
    };
    let stored = layout.shape(shape);
    if rwkv::without_ones(&found_shape) != rwkv::without_ones(&stored) {
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
}

fn hint_where_missing(path: &Path) -> &'static str {
    match path.file_name().is_some_and(|name| name.to_string_lossy().contains("-of-")) {
        true => "this is one of several files of a model: import the .index.json beside it",
        false => "check that --config describes this model: layers, depth, paper or modern options",
    }
}

/// Writes the weights to a safetensors file under the chosen names. The authors' names exist for the paper
/// options only, those of RWKV for models of its layers alone.
///
/// # Errors
/// A parameter has no such name; the disk.
pub fn export(model: &LanguageModel, path: &Path, names: Names) -> Result<()> {
    let (layers, parameters) = (model.layers(), parameters::collect(model));
    let mark = rwkv::mark(parameters.keys().cloned(), layers);
    let first = |(names, layout): (Vec<String>, Layout)| Some((names.into_iter().next()?, layout));
    let of_rwkv = |ours: &str| rwkv::name(ours, layers).filter(|_| mark.is_some());
    let (whose, name): (_, Naming<'_>) = match names {
        Names::Percept => return native::save(model, path, HashMap::new()),
        Names::Paper => ("models of the paper preset", &|ours| paper::names(ours, layers).and_then(first)),
        Names::Rwkv => (RWKV, &of_rwkv),
        Names::HuggingFace => (RWKV, &|ours| {
            let (name, layout) = of_rwkv(ours)?;
            rwkv::hugging_face::name(&name, layout, mark?)
        }),
    };
    let mut entries = Vec::new();
    for (ours, tensor) in parameters {
        let Some((theirs, layout)) = name(&ours) else {
            return Err(Fault::usage(format!("`{ours}` has no name in the authors' code"))
                .hint(format!("only {whose} can be exported under the authors' names")));
        };
        let values: Vec<f32> = tensor.data.into_data().iter::<f32>().collect();
        let values = match (layout, &tensor.shape[..]) {
            (Layout::Transposed, [inputs, outputs]) => paper::transpose(&values, *inputs, *outputs),
            _ => values,
        };
        entries.push(Entry::new(theirs, layout.shape(&tensor.shape), Elements::Floats(values)));
    }
    tensor_file::write(path, &entries, None)
}

/// The name of one of our parameters in a file, and how it lies there.
type Naming<'a> = &'a dyn Fn(&str) -> Option<(String, Layout)>;

/// Which models have RWKV's names.
const RWKV: &str = "models whose layers are all rwkv4 or all rwkv7, with LayerNorm and no biases,";
