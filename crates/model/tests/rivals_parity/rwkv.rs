//! Parity with RWKV's own code: logits, loss, gradients, states, the token after.
//!
//! Fixtures come from `shared/fixtures/rwkv` beside the repository and from the folders in `PERCEPT_RIVAL_FIXTURES`; without either the
//! tests say that they were skipped. Each file's metadata gives the model, its kind and its sizes; its name says nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};
use percept_model::channel::ChannelKind;
use percept_model::config::{NormKind, RotaryLayers};
use percept_model::layer::BlockState;
use percept_model::weights::{self, paper::Layout};
use percept_model::{Batch, Gradients, LanguageModel, Learned, Mode, ModelConfig, Recompute, Rows, Session, Trainable};
use safetensors::SafeTensors;

/// What is checked here: every model of these names whose metadata says `kind` = `lm`.
const MODELS: [&str; 2] = ["rwkv4", "rwkv7"];

const LOSS: f64 = 1e-6;

/// How far off f32 may be.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    logits: f64,
    gradients: f64,
}

fn folders() -> Vec<PathBuf> {
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/rwkv"));
    let mut folders = vec![own];
    if let Some(further) = std::env::var_os("PERCEPT_RIVAL_FIXTURES").map(PathBuf::from) {
        let entries = std::fs::read_dir(&further).expect("PERCEPT_RIVAL_FIXTURES is a folder");
        folders.extend(entries.map(|entry| entry.expect("a readable entry").path()));
        folders.push(further);
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

fn fixtures() -> Vec<Fixture> {
    let files = folders().into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(folder).expect("a readable folder");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
        files.sort();
        files
    });
    let fixtures: Vec<Fixture> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .filter_map(|path| Fixture::read(&path))
        .collect();
    if fixtures.is_empty() {
        eprintln!("skipped: there are no fixtures of RWKV (set PERCEPT_RIVAL_FIXTURES)");
    }
    fixtures
}

struct Fixture {
    path: PathBuf,
    bytes: Vec<u8>,
    config: ModelConfig,
}

fn config(metadata: &HashMap<String, String>) -> ModelConfig {
    let number = |key: &str| metadata.get(key).map(|value| value.parse::<usize>().expect("a number"));
    let required = |key: &str| number(key).unwrap_or_else(|| panic!("metadata lacks {key}"));
    let model = metadata["model"].clone();
    let ranks = [("decay", "w"), ("rate", "a"), ("value", "v"), ("gate", "g")];
    let config = ModelConfig {
        feed_forward: ChannelKind::from_name(&format!("{model}-channel")).expect("a channel mix"),
        layers: model,
        vocab: required("vocab"),
        dim: required("dim"),
        depth: required("layers"),
        heads: number("heads").unwrap_or(1),
        context: required("sequence"),
        norm: NormKind::Layer,
        norm_eps: metadata["layer_norm_eps"].parse().expect("a number"),
        feed_forward_dim: required("ffn"),
        rotary: RotaryLayers::None,
        ..ModelConfig::default()
    };
    let given = ranks.into_iter().filter_map(|(ours, theirs)| Some((ours, number(&format!("rank_{theirs}"))?)));
    given
        .fold(config, |config, (ours, rank)| config.with(&format!("rwkv7.{ours}_rank"), rank).expect("a key of RWKV-7"))
}

impl Fixture {
    /// `None` for files of other models or kinds, and for those without weights.
    fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).expect("a readable fixture");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
        let metadata = header.metadata().clone().unwrap_or_default();
        let says = |key: &str| metadata.get(key).map_or("", String::as_str);
        let ours = MODELS.contains(&says("model")) && says("kind") == "lm";
        let whole = header.tensors().keys().any(|name| name.starts_with("param."));
        (ours && whole).then(|| Self { path: path.to_path_buf(), config: config(&metadata), bytes })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn model(&self, device: &Device) -> LanguageModel {
        weights::import(&self.path, &self.config, device).unwrap_or_else(|fault| panic!("{fault}")).model
    }

    /// Where keys are large, they carry more than the bounds in f32 already.
    fn bounds(&self) -> Bounds {
        let largest = |name: &str| self.floats(name).map_or(0.0, |all| all.iter().fold(0f32, |m, x| m.max(x.abs())));
        match (0..self.config.depth).any(|layer| largest(&format!("state.{layer}.p")) > 30.0) {
            true => Bounds { logits: 1e-4, gradients: 5e-4 },
            false => Bounds { logits: 1e-5, gradients: 1e-4 },
        }
    }

    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let view = file.tensor(name).ok()?;
        Some(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn required(&self, name: &str) -> Vec<f32> {
        self.floats(name).unwrap_or_else(|| panic!("{}: there is no {name}", self.name()))
    }

    fn batch(&self) -> Batch {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let read = |b: &[u8]| u32::try_from(i64::from_le_bytes(b.try_into().expect("8 bytes"))).expect("a token");
        let integers = |name: &str| -> Vec<u32> {
            file.tensor(name).expect("the tensor exists").data().chunks_exact(8).map(read).collect()
        };
        let shape = file.tensor("input_ids").expect("tokens").shape().to_vec();
        Batch { tokens: integers("input_ids"), targets: integers("targets"), rows: shape[0], length: shape[1] }
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

fn log_softmax(row: &[f32]) -> Vec<f32> {
    let lse = row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln() as f32;
    row.iter().map(|x| x - lse).collect()
}

/// Every parameter has its gradient, and each is theirs.
fn check_gradients(fixture: &Fixture, gradients: &Gradients, what: &str) {
    let layers = fixture.config.layer_specs().expect("a schedule");
    let mut worst: f64 = 0.0;
    for (path, tensor) in percept_model::parameters::collect(&fixture.model(&Device::default())) {
        let (name, layout) = weights::rwkv::name(&path, &layers).unwrap_or_else(|| panic!("{path} has no name"));
        let theirs = fixture.required(&format!("grad.{name}"));
        let ours = gradients.0.get(&path).unwrap_or_else(|| panic!("{what}: we have no gradient of {path}"));
        let theirs = match (layout, &tensor.shape[..]) {
            (Layout::Transposed, [inputs, outputs]) => weights::paper::transpose(&theirs, *outputs, *inputs),
            _ => theirs,
        };
        let error = relative_l2(&values(ours.clone()), &theirs);
        assert!(error <= fixture.bounds().gradients, "{what}: gradient of {path} is off by {error:.2e}");
        worst = worst.max(error);
    }
    eprintln!("{what}: gradients off by {worst:.2e}");
}

#[test]
fn logits_loss_and_gradients_equal_the_authors() {
    for fixture in fixtures() {
        let (name, batch, bounds) = (fixture.name(), fixture.batch(), fixture.bounds());
        let model = fixture.model(&Device::default().autodiff());
        let logits = model.for_inference().forward(&batch.tokens, batch.rows, Rows::plain(batch.length, 0));
        let error = relative_l2(&values(logits.expect("logits")), &fixture.required("logits"));
        eprintln!("{name}: logits off by {error:.2e}");
        assert!(error <= bounds.logits, "{name}: logits off by {error:.2e}");
        let theirs = f64::from(fixture.required("loss")[0]);
        for recompute in [Recompute::Keep, Recompute::Blocks] {
            let scale = 1.0 / (batch.rows * batch.length) as f32;
            let Learned { loss, gradients, .. } =
                model.loss_and_gradients(&batch, Mode::Evaluation, recompute, scale).expect("gradients");
            let error = (loss / model.size(&batch).targets as f64 - theirs).abs() / theirs;
            assert!(error <= LOSS.max(bounds.logits / 10.0), "{name}: the loss is off by {error:.2e}");
            check_gradients(&fixture, &gradients, &format!("{name} ({recompute:?})"));
        }
    }
}

/// In f64 nothing is coarse: what is off is a mistake.
#[test]
fn in_double_precision_the_composed_operations_equal_the_authors() {
    for fixture in fixtures() {
        let batch = fixture.batch();
        let model = fixture.model(&Device::default()).with_dtype(DType::F64);
        let logits = model.forward(&batch.tokens, batch.rows, Rows::plain(batch.length, 0)).expect("logits");
        let error = relative_l2(&values(logits), &fixture.required("logits"));
        eprintln!("{}: logits off by {error:.2e} in f64", fixture.name());
        assert!(error <= 2e-7, "{}: logits off by {error:.2e}", fixture.name());
    }
}

/// The state that a file holds of a sublayer: theirs, in our order, beside ours.
fn states(fixture: &Fixture, states: &[BlockState], sequence: usize) -> Vec<(String, Vec<f32>, Vec<f32>)> {
    let mut pairs = Vec::new();
    for (layer, state) in states.iter().enumerate() {
        let theirs = |name: &str| {
            let all = fixture.required(&format!("state.{layer}.{name}"));
            let size = all.len() / fixture.batch().rows;
            all[sequence * size..(sequence + 1) * size].to_vec()
        };
        let mut add = |name: &str, ours: Vec<f32>, theirs: Vec<f32>| {
            pairs.push((format!("{name} of layer {layer}"), ours, theirs));
        };
        for (name, state) in [("att_shift", &state.mixer), ("ffn_shift", &state.channel)] {
            add(name, values(state.get::<2>("shift").expect("a row")), theirs(name));
        }
        if let Some(sums) = state.mixer.get::<3>("sums") {
            let ours = values(sums);
            let (dim, [a, b, p]) = (fixture.config.dim, [0, 1, 2].map(|part| part * fixture.config.dim));
            // Which exponent is taken out is a choice: a / b and p + ln b are not.
            let mean = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>();
            let weight = |p: &[f32], b: &[f32]| p.iter().zip(b).map(|(p, b)| p + b.ln()).collect::<Vec<_>>();
            let [a, b, p] = [a, b, p].map(|at| &ours[at..at + dim]);
            add("a / b", mean(a, b), mean(&theirs("a"), &theirs("b")));
            add("p + ln b", weight(p, b), weight(&theirs("p"), &theirs("b")));
        }
        if let Some(matrices) = state.mixer.get::<4>("state") {
            add("s", values(matrices), theirs("s"));
        }
    }
    pairs
}

#[test]
fn states_and_the_token_after_equal_the_authors_however_a_text_is_cut() {
    for fixture in fixtures() {
        let (batch, bound) = (fixture.batch(), fixture.bounds().logits);
        let model = fixture.model(&Device::default());
        let next = fixture.required("next_logits");
        let vocab = fixture.config.vocab;
        for (sequence, tokens) in batch.tokens.chunks(batch.length).enumerate() {
            for cut in [batch.length, 1, 17] {
                let mut kept = vec![BlockState::default(); fixture.config.depth];
                let mut run = |tokens: &[u32], start: usize| {
                    let rows = Rows::plain(tokens.len(), start);
                    model.run_blocks(model.embed(tokens, 1), Some(&mut kept), rows, Mode::Evaluation)
                };
                for (index, part) in tokens.chunks(cut).enumerate() {
                    run(part, index * cut);
                }
                let what = format!("{}, sequence {sequence} in parts of {cut}", fixture.name());
                for (name, ours, theirs) in states(&fixture, &kept, sequence) {
                    let error = relative_l2(&ours, &theirs);
                    assert!(error <= bound, "{what}: {name} is off by {error:.2e}");
                }
                let mut run = |tokens: &[u32], start: usize| {
                    let rows = Rows::plain(tokens.len(), start);
                    model.run_blocks(model.embed(tokens, 1), Some(&mut kept), rows, Mode::Evaluation)
                };
                let last = *batch.targets.chunks(batch.length).nth(sequence).and_then(<[u32]>::last).expect("a target");
                let logits = values(model.logits(model.norm.forward(run(&[last], batch.length))));
                let error = relative_l2(&logits, &next[sequence * vocab..][..vocab]);
                assert!(error <= bound, "{what}: the logits after are off by {error:.2e}");
            }
        }
    }
}

#[test]
fn the_decoder_equals_the_authors_at_every_position() {
    for fixture in fixtures() {
        let (batch, bound) = (fixture.batch(), fixture.bounds().logits);
        let model: Arc<_> = Arc::new(fixture.model(&Device::default()).into());
        let (logits, vocab) = (fixture.required("logits"), fixture.config.vocab);
        for (row, tokens) in batch.tokens.chunks(batch.length).enumerate() {
            let mut session = Session::new(Arc::clone(&model));
            for (position, token) in tokens.iter().enumerate() {
                let ours = session.feed(&[*token]).expect("a fed token");
                let theirs = log_softmax(&logits[(row * batch.length + position) * vocab..][..vocab]);
                let error = relative_l2(&ours, &theirs);
                assert!(error <= bound, "{}: position {position} is off by {error:.2e}", fixture.name());
            }
        }
    }
}
