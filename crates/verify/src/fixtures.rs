//! Parity with recorded outputs of a reference implementation: a folder of safetensors files.
//!
//! Each file holds `input_ids` `[B, n]`, `targets` `[B, scored]` (i64), `logits` `[B, scored, V]`, `loss` `[1]`, the weights as
//! `param.NAME` and their gradients as `grad.NAME` (f32, the authors' names); its metadata gives the
//! configuration (model, vocab, dim, heads, layers, sequence, latents, segments, compressed). Compared in f32, by the
//! relative L2 distance per tensor.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use percept_fault::{Fault, IoContext, Result};
use percept_model::tensor_file::{Metadata, TensorFile};
use percept_model::weights::{self, paper};
use percept_model::{Batch, Gradients, IGNORED, Learned, Mode, ModelConfig, Recompute, Trainable, parameters};

use super::Check;

const LOGITS: f64 = 1e-5;
const LOSS: f64 = 1e-6;
const GRADIENT: f64 = 1e-4;

/// Checks `parity-logits`, `parity-loss` and `parity-gradients` over every fixture of a folder, computed on `device`.
///
/// # Errors
/// An environment fault where the folder cannot be read; a usage fault where it holds no fixture, or a damaged one.
pub fn parity(folder: &Path, device: &Device) -> Result<Vec<Check>> {
    let mut worst = [0.0f64; 3];
    let mut places = [const { String::new() }; 3];
    let files = files(folder)?;
    for path in &files {
        for (at, (error, place)) in compare(path, device)?.into_iter().enumerate() {
            if error >= worst[at] || error.is_nan() {
                (worst[at], places[at]) = (error, place);
            }
        }
    }
    let names = [("parity-logits", LOGITS), ("parity-loss", LOSS), ("parity-gradients", GRADIENT)];
    let checks = names.into_iter().zip(worst).zip(places).map(|(((name, limit), value), place)| Check {
        name,
        passed: value <= limit,
        value: Some(value),
        limit,
        detail: format!("relative distance from {} fixtures, largest {place}", files.len()),
    });
    Ok(checks.collect())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).at("read", folder)?;
    let mut files = entries.map(|entry| Ok(entry.at("read", folder)?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    files.sort();
    if files.is_empty() {
        return Err(Fault::usage(format!("{} holds no fixture", folder.display()))
            .hint("a fixture is a .safetensors file with inputs, outputs and weights; see docs/evaluation.md"));
    }
    Ok(files)
}

/// The errors of logits, loss and gradients, each with its place.
fn compare(path: &Path, device: &Device) -> Result<[(f64, String); 3]> {
    let bytes = std::fs::read(path).at("read", path)?;
    let fixture = Fixture::parse(path, &bytes)?;
    let model = weights::import(path, &fixture.config, &device.clone().autodiff())?.model;
    let batch = fixture.batch()?;
    let rows = model.window_rows(batch.length);
    let logits = model.for_inference().forward(&batch.tokens, batch.rows, rows)?;
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let by_logits = (fixture.distance("logits", &logits)?, format!("in {name}"));
    let mut by_loss = (0.0, format!("in {name}"));
    let mut by_gradient = (0.0, format!("in {name}"));
    let expected = fixture.floats("loss")?.first().copied().map_or(f64::NAN, f64::from);
    for recompute in [Recompute::Keep, Recompute::Blocks] {
        let scale = 1.0 / (batch.rows * rows.latents) as f32;
        let Learned { loss, gradients, .. } = model.loss_and_gradients(&batch, Mode::Evaluation, recompute, scale)?;
        by_loss.0 = f64::max(by_loss.0, ((loss / model.size(&batch).targets as f64 - expected) / expected).abs());
        let shapes = parameters::collect(&model).into_iter().map(|(path, tensor)| (path, tensor.shape));
        for (path, shape) in shapes {
            let error = fixture.gradient_distance(&path, &shape, &gradients)?;
            if error >= by_gradient.0 || error.is_nan() {
                by_gradient = (error, format!("in {name}, {path}"));
            }
        }
    }
    Ok([by_logits, by_loss, by_gradient])
}

struct Fixture<'a> {
    path: &'a Path,
    tensors: TensorFile<'a>,
    config: ModelConfig,
}

impl<'a> Fixture<'a> {
    fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let damaged = |error| {
            Fault::usage(format!("{} is not a safetensors file", path.display()))
                .because(error)
                .hint("copy the fixture again")
        };
        let tensors = TensorFile::parse(bytes).map_err(damaged)?;
        let config = config(path, tensors.metadata())?;
        Ok(Self { path, tensors, config })
    }

    fn lacks(&self, name: &str) -> Fault {
        lacks(self.path, name)
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        self.tensors.get(name).and_then(|stored| stored.f32s()).ok_or_else(|| self.lacks(name))
    }

    /// Tokens `[rows, columns]`, and the columns.
    fn tokens(&self, name: &str) -> Result<(usize, Vec<u32>)> {
        let stored = self.tensors.get(name).ok_or_else(|| self.lacks(name))?;
        let &[_, columns] = stored.shape() else { return Err(self.lacks(name)) };
        Ok((columns, stored.tokens().ok_or_else(|| self.lacks(name))?))
    }

    /// Targets stand under the last scored positions of each window.
    fn batch(&self) -> Result<Batch> {
        let (length, tokens) = self.tokens("input_ids")?;
        let (scored, given) = self.tokens("targets")?;
        if length == 0 || scored == 0 || scored > length || given.len() / scored != tokens.len() / length {
            return Err(self.lacks("targets"));
        }
        let unscored = std::iter::repeat_n(IGNORED, length - scored);
        let targets = given.chunks(scored).flat_map(|row| unscored.clone().chain(row.iter().copied())).collect();
        Ok(Batch { rows: tokens.len() / length, tokens, targets, length })
    }

    fn distance(&self, name: &str, ours: &[f32]) -> Result<f64> {
        Ok(relative_l2(ours, &self.floats(name)?))
    }

    fn gradient_distance(&self, path: &str, shape: &[usize], gradients: &Gradients) -> Result<f64> {
        let (names, layout) = paper::names(path, &self.config.layer_specs()?).ok_or_else(|| self.lacks(path))?;
        let theirs = names.iter().find_map(|name| self.floats(&format!("grad.{name}")).ok());
        let theirs = theirs.ok_or_else(|| self.lacks(&format!("grad.{}", names.join("` or `grad."))))?;
        let theirs = match (layout, shape) {
            (paper::Layout::Transposed, [inputs, outputs]) => paper::transpose(&theirs, *outputs, *inputs),
            _ => theirs,
        };
        let Some(ours) = gradients.0.get(path) else { return Ok(f64::INFINITY) };
        let ours: Vec<f32> = ours.clone().into_data().iter::<f32>().collect();
        Ok(relative_l2(&ours, &theirs))
    }
}

fn lacks(path: &Path, name: &str) -> Fault {
    Fault::usage(format!("{}: `{name}` is missing or not as expected", path.display()))
        .hint("docs/evaluation.md says what a fixture holds")
}

fn config(path: &Path, metadata: &Metadata) -> Result<ModelConfig> {
    let number = |key: &str| metadata.get(key).and_then(|value| value.parse::<usize>().ok());
    let required = |key: &str| number(key).ok_or_else(|| lacks(path, key));
    let context = required("sequence")?;
    let segments = number("segments").unwrap_or(1).max(1);
    let config = ModelConfig {
        layers: metadata.get("model").ok_or_else(|| lacks(path, "model"))?.clone(),
        vocab: required("vocab")?,
        dim: required("dim")?,
        depth: required("layers")?,
        heads: required("heads")?,
        context,
        ..ModelConfig::default()
    };
    let lengths = [
        ("segment", context / segments),
        ("latents", number("latents").unwrap_or(context)),
        ("history_segments", segments),
        ("compressed", number("compressed").unwrap_or(1)),
    ];
    let config = lengths.into_iter().try_fold(config, |config, (key, length)| config.with(key, length))?;
    Ok(config.with_paper_options())
}

/// ||a - b|| / ||b||.
fn relative_l2(ours: &[f32], theirs: &[f32]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let pairs = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let (apart, size) = pairs.fold((0.0, 0.0), |(apart, size), (a, b)| (apart + (a - b) * (a - b), size + b * b));
    (apart / size).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_fixtures_are_met() {
        // As in the tests of the crate `percept-model`.
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/paper");
        let folder = std::env::var_os("PERCEPT_FIXTURES").map_or_else(|| PathBuf::from(beside), PathBuf::from);
        if !folder.is_dir() {
            eprintln!("skipped: there are no fixtures at {} (set PERCEPT_FIXTURES)", folder.display());
            return;
        }
        for check in parity(&folder, &Device::flex()).unwrap() {
            assert!(check.passed, "{check:?}");
        }
    }

    #[test]
    fn another_gradient_is_seen() {
        assert_eq!(relative_l2(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(relative_l2(&[0.0, 4.0], &[3.0, 4.0]), 0.6);
        assert_eq!(relative_l2(&[1.0], &[1.0, 2.0]), f64::INFINITY);
    }

    #[test]
    fn a_folder_without_fixtures_is_refused() {
        assert!(parity(Path::new("/no/such/folder"), &Device::flex()).unwrap_err().is_environment());
        let empty = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
        assert!(parity(empty, &Device::flex()).unwrap_err().to_string().contains("holds no fixture"));
    }
}
