//! Parity with the outputs and gradients of the authors' code.
//!
//! Fixtures come from the folder in `PERCEPT_FIXTURES`, or from `shared/fixtures/paper` beside the
//! repository; without either the tests say that they were skipped. Each file's metadata gives the configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use percept_model::weights::{self, Imported, Names};
use percept_model::{
    Batch, Gradients, InferenceModel, LanguageModel, Learned, Mode, ModelConfig, Recompute, Session, Trainable,
};
use safetensors::SafeTensors;

const LOGITS: f64 = 1e-5;
const LOSS: f64 = 1e-6;
const GRADIENT: f64 = 1e-4;

fn fixture_folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("PERCEPT_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/paper")),
    };
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there are no fixtures at {} (set PERCEPT_FIXTURES)", folder.display());
    None
}

fn fixtures() -> Vec<PathBuf> {
    let Some(folder) = fixture_folder() else { return Vec::new() };
    let entries = std::fs::read_dir(&folder).expect("the fixture folder is readable");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    files.sort();
    assert!(!files.is_empty(), "{} holds no fixture", folder.display());
    files
}

fn config(metadata: &HashMap<String, String>) -> ModelConfig {
    let number = |key: &str| metadata.get(key).map(|value| value.parse::<usize>().expect("a number"));
    let required = |key: &str| number(key).unwrap_or_else(|| panic!("metadata lacks {key}"));
    let (context, model) = (required("sequence"), metadata["model"].clone());
    let segments = number("segments").unwrap_or(1);
    ModelConfig {
        layers: model.clone(),
        vocab: required("vocab"),
        dim: required("dim"),
        depth: required("layers"),
        heads: required("heads"),
        context,
        ..ModelConfig::default()
            .with("segment", context / segments)
            .unwrap()
            .with("latents", number("latents").unwrap_or(context))
            .unwrap()
            .with("history_segments", segments)
            .unwrap()
            .with("compressed", number("compressed").unwrap_or(1))
            .unwrap()
    }
    .with_paper_options()
}

struct Fixture {
    path: PathBuf,
    bytes: Vec<u8>,
    config: ModelConfig,
}

impl Fixture {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a readable fixture");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
        let config = config(header.metadata().as_ref().expect("metadata"));
        Self { path: path.to_path_buf(), bytes, config }
    }

    fn import(&self, device: &Device) -> Imported {
        weights::import(&self.path, &self.config, device).expect("an importable fixture")
    }

    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let view = file.tensor(name).ok()?;
        Some(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn integers(&self, name: &str) -> (Vec<usize>, Vec<u32>) {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let view = file.tensor(name).expect("the tensor exists");
        let read = |b: &[u8]| u32::try_from(i64::from_le_bytes(b.try_into().expect("8 bytes"))).expect("a token");
        (view.shape().to_vec(), view.data().chunks_exact(8).map(read).collect())
    }

    /// Targets stand under the last scored positions of each row.
    fn batch(&self) -> Batch {
        let (shape, tokens) = self.integers("input_ids");
        let (target_shape, scored) = self.integers("targets");
        let (rows, length) = (shape[0], shape[1]);
        let mut targets = vec![percept_model::IGNORED; rows * length];
        for (row, scored) in targets.chunks_mut(length).zip(scored.chunks(target_shape[1])) {
            row[length - scored.len()..].copy_from_slice(scored);
        }
        Batch { tokens, targets, rows, length }
    }
}

fn relative_l2(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let difference = squares(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let norm = squares(&mut theirs.iter().map(|x| f64::from(*x)));
    (difference / norm).sqrt()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn check_gradients(fixture: &Fixture, gradients: Gradients, what: &str) {
    let shapes = percept_model::parameters::collect(&fixture.import(&Device::default()).model);
    let layers = fixture.config.layer_specs().expect("a schedule");
    let mut checked = 0;
    for (path, tensor) in &shapes {
        let (names, layout) = weights::paper::names(path, &layers).expect("a paper name");
        let theirs = names.iter().find_map(|name| fixture.floats(&format!("grad.{name}")));
        let theirs = theirs.unwrap_or_else(|| panic!("{what}: no gradient for {path}"));
        let ours = values(gradients.0.get(path).unwrap_or_else(|| panic!("{what}: we have none for {path}")).clone());
        let theirs = match (layout, &tensor.shape[..]) {
            (weights::paper::Layout::Transposed, [inputs, outputs]) => {
                weights::paper::transpose(&theirs, *outputs, *inputs)
            }
            _ => theirs,
        };
        let error = relative_l2(&ours, &theirs);
        assert!(error <= GRADIENT, "{what}: gradient of {path} is off by {error:.2e}");
        checked += 1;
    }
    assert_eq!(checked, shapes.len());
}

fn fingerprint(model: &LanguageModel) -> String {
    InferenceModel::from(model).fingerprint().to_owned()
}

#[test]
fn logits_loss_and_gradients_equal_the_authors() {
    for path in fixtures() {
        let fixture = Fixture::read(&path);
        let name = path.display().to_string();
        let model = fixture.import(&Device::default().autodiff()).model;
        let batch = fixture.batch();

        let rows = model.window_rows(batch.length);
        let logits = model.for_inference().forward(&batch.tokens, batch.rows, rows).expect("logits");
        let error = relative_l2(&values(logits), &fixture.floats("logits").expect("logits"));
        eprintln!("{name}: logits off by {error:.2e}");
        assert!(error <= LOGITS, "{name}: logits off by {error:.2e}");

        let theirs = f64::from(fixture.floats("loss").expect("loss")[0]);
        for recompute in [Recompute::Keep, Recompute::Blocks] {
            let scale = 1.0 / (batch.rows * rows.latents) as f32;
            let Learned { loss, gradients, .. } =
                model.loss_and_gradients(&batch, Mode::Evaluation, recompute, scale).expect("gradients");
            let loss = loss / model.size(&batch).targets as f64;
            let error = (loss - theirs).abs() / theirs;
            assert!(error <= LOSS, "{name}: loss {loss} against {theirs}, off by {error:.2e}");
            check_gradients(&fixture, gradients, &format!("{name} ({recompute:?})"));
        }
    }
}

#[test]
fn a_stream_of_n_tokens_equals_the_authors_last_row() {
    for path in fixtures() {
        let fixture = Fixture::read(&path);
        let model = std::sync::Arc::new(fixture.import(&Device::default()).model.into());
        let batch = fixture.batch();
        let theirs = fixture.floats("logits").expect("logits");
        let (vocab, scored) = (fixture.config.vocab, theirs.len() / batch.rows / fixture.config.vocab);
        // A reset schedule leaves the authors' split after l + k s tokens only.
        if fixture.config.layers != "llp" {
            eprintln!("skipped: {} is no stream of its own", path.display());
            continue;
        }
        for (row, tokens) in batch.tokens.chunks(batch.length).enumerate() {
            let mut session = Session::new(std::sync::Arc::clone(&model));
            for (position, token) in tokens.iter().enumerate() {
                let ours = session.feed(&[*token]).expect("a fed token");
                let start = (row * scored + position) * vocab;
                let mut row: Vec<f32> = theirs[start..start + vocab].to_vec();
                let lse = row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln() as f32;
                row.iter_mut().for_each(|x| *x -= lse);
                let error = relative_l2(&ours, &row);
                assert!(error <= LOGITS, "position {position} is off by {error:.2e}");
            }
        }
    }
}

#[test]
fn the_authors_checkpoint_and_the_fixture_hold_the_same_model() {
    let Some(folder) = fixture_folder() else { return };
    let (checkpoint, fixture) = (folder.join("llp-checkpoint.pt"), folder.join("llp.safetensors"));
    for file in [&checkpoint, &fixture] {
        if !file.is_file() {
            return eprintln!("skipped: there is no {}", file.display());
        }
    }
    let fixture = Fixture::read(&fixture);
    let device = Device::default();
    let from_pt = weights::import(&checkpoint, &fixture.config, &device).expect("an importable checkpoint");
    assert_eq!(fingerprint(&from_pt.model), fingerprint(&fixture.import(&device).model));
    assert!(
        from_pt.ignored.iter().all(|name| name.contains("pos_emb") || name.contains("fn.norm")),
        "{:?}",
        from_pt.ignored
    );
}

#[test]
fn exports_read_back_under_both_names() {
    for path in fixtures() {
        let fixture = Fixture::read(&path);
        let device = Device::default();
        let model = fixture.import(&device).model;
        let folder = tempfile::tempdir().expect("a temporary folder");
        for names in [Names::Paper, Names::Percept] {
            let file = folder.path().join("model.safetensors");
            weights::export(&model, &file, names).expect("an export");
            let back = weights::import(&file, &fixture.config, &device).expect("an import");
            assert_eq!(fingerprint(&back.model), fingerprint(&model));
            assert!(back.ignored.is_empty());
        }
        let native: LanguageModel =
            weights::load(&folder.path().join("model.safetensors"), &device).expect("a native file");
        assert_eq!(native.config(), &fixture.config);
    }
}

#[test]
fn a_missing_tensor_and_a_wrong_shape_are_named() {
    for path in fixtures() {
        let fixture = Fixture::read(&path);
        let device = Device::default();
        let fault = |change: &dyn Fn(&mut ModelConfig)| {
            let mut config = fixture.config.clone();
            change(&mut config);
            weights::import(&fixture.path, &config, &device).expect_err("must not import").to_string()
        };
        let missing = format!("there is no tensor `layers.{}.", fixture.config.depth);
        let deeper = fault(&|config| config.depth += 1);
        assert!(deeper.contains(&missing), "{}: {deeper}", path.display());
        let wider = fault(&|config| config.vocab += 1);
        assert!(wider.contains("has shape"), "{}: {wider}", path.display());
        let _: LanguageModel = fixture.import(&device).model;
    }
}
