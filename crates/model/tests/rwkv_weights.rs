//! Published weights of RWKV: read without a configuration, written back, and refused by name where they do not match.
//!
//! Checkpoints come from `shared/fixtures/rwkv` beside the repository and from the folders in `PERCEPT_RIVAL_FIXTURES`: files whose metadata
//! names them (`checkpoint`), and in `NAME-bf16.safetensors` what their bf16 kinds give. Without either that test says that it was skipped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use percept_model::tensor_file::{Elements, Entry, TensorFile, write};
use percept_model::weights::{self, Names, WeightFile};
use percept_model::{InferenceModel, LanguageModel, ModelConfig, Rows};
use safetensors::SafeTensors;

/// The models whose checkpoints are read here.
const MODELS: [&str; 2] = ["rwkv4", "rwkv7"];

fn folders() -> Vec<PathBuf> {
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/rwkv"));
    let further = std::env::var_os("PERCEPT_RIVAL_FIXTURES").map(PathBuf::from);
    let below = further.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let folders = [own].into_iter().chain(below.map(|entry| entry.expect("a readable entry").path()));
    folders.chain(further.clone()).filter(|folder| folder.is_dir()).collect()
}

/// Fixtures whose metadata names checkpoints, and that metadata.
fn fixtures() -> Vec<(PathBuf, HashMap<String, String>)> {
    let files = folders().into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(folder).expect("a readable folder");
        entries.map(|entry| entry.expect("a readable entry").path())
    });
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    let all = files.map(|path| {
        let bytes = std::fs::read(&path).expect("a readable fixture");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
        (path, header.metadata().clone().unwrap_or_default())
    });
    let says = |metadata: &HashMap<String, String>, key: &str| metadata.get(key).cloned().unwrap_or_default();
    all.filter(|(_, metadata)| {
        MODELS.contains(&says(metadata, "model").as_str()) && metadata.contains_key("checkpoint")
    })
    .collect()
}

fn relative_l2(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let square = |x: f64| x * x;
    let difference: f64 = ours.iter().zip(theirs).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (difference / theirs.iter().map(|x| square(f64::from(*x))).sum::<f64>()).sqrt()
}

/// How far a model's logits are off those of a fixture.
fn off(model: &LanguageModel, fixture: &Path) -> f64 {
    let bytes = std::fs::read(fixture).expect("a readable fixture");
    let file = TensorFile::parse(&bytes).expect("a safetensors file");
    let raw = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let ids = raw.tensor("input_ids").expect("tokens");
    let token = |bytes: &[u8]| u32::try_from(i64::from_le_bytes(bytes.try_into().expect("8 bytes"))).expect("a token");
    let (tokens, shape): (Vec<u32>, _) = (ids.data().chunks_exact(8).map(token).collect(), ids.shape());
    let logits = model.forward(&tokens, shape[0], Rows::plain(shape[1], 0)).expect("logits");
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    relative_l2(&logits, &file.get("logits").and_then(|logits| logits.floats()).expect("logits"))
}

/// A file without a word about its model.
fn read(path: &Path) -> percept_fault::Result<LanguageModel> {
    let file = WeightFile::read(path)?;
    let config = file.config()?.expect("shapes that tell the model");
    let imported = file.into_model(&config, &Device::default())?;
    assert!(imported.ignored.iter().all(|name| name.contains("blocks.0.att.v")), "{:?}", imported.ignored);
    Ok(imported.model)
}

#[test]
fn checkpoints_give_the_logits_of_the_authors() {
    let fixtures = fixtures();
    if fixtures.is_empty() {
        eprintln!("skipped: there are no checkpoints of RWKV (set PERCEPT_RIVAL_FIXTURES)");
    }
    for (fixture, metadata) in fixtures {
        for checkpoint in metadata["checkpoint"].split(',') {
            let path = fixture.with_file_name(checkpoint);
            let model = read(&path).unwrap_or_else(|fault| panic!("{fault}"));
            let number = |key: &str| metadata[key].parse::<usize>().expect("a number");
            let config = model.config();
            let sizes = [config.vocab, config.dim, config.depth, config.hidden_dim()];
            assert_eq!(sizes, ["vocab", "dim", "layers", "ffn"].map(number), "{checkpoint}");
            let error = off(&model, &fixture);
            eprintln!("{checkpoint}: logits off by {error:.2e}");
            assert!(error <= 1e-5, "{checkpoint}: logits are off by {error:.2e}");
            written_back(&model, &path, &fixture);
        }
    }
}

fn written_back(model: &LanguageModel, path: &Path, fixture: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let again = folder.path().join("again.safetensors");
    let print = |model: LanguageModel| InferenceModel::from(model).fingerprint().to_string();
    for names in [Names::Rwkv, Names::HuggingFace] {
        weights::export(model, &again, names).expect("an export");
        if names == Names::Rwkv {
            same_shapes(&again, fixture);
        }
        let model = model.clone();
        assert_eq!(print(read(&again).expect("an import")), print(model), "{}: {names:?}", path.display());
    }
}

/// The tensors of a file have the shapes of the authors' parameters, as far as a fixture holds those.
fn same_shapes(file: &Path, fixture: &Path) {
    let [ours, theirs] = [file, fixture].map(|path| std::fs::read(path).expect("a readable file"));
    let theirs = TensorFile::parse(&theirs).expect("a safetensors file");
    for (name, stored) in TensorFile::parse(&ours).expect("a safetensors file").all() {
        if let Some(parameter) = theirs.get(&format!("param.{name}")) {
            assert_eq!(stored.shape(), parameter.shape(), "{name}");
        }
    }
}

fn small() -> LanguageModel {
    let config = ModelConfig {
        layers: "rwkv4".into(),
        feed_forward: percept_model::channel::ChannelKind::from_name("rwkv4-channel").expect("a channel mix"),
        vocab: 19,
        dim: 6,
        depth: 3,
        heads: 1,
        norm: percept_model::config::NormKind::Layer,
        norm_eps: 1e-5,
        feed_forward_dim: 10,
        rotary: percept_model::config::RotaryLayers::None,
        initialisation: percept_model::config::Initialisation::Rwkv,
        ..ModelConfig::default()
    };
    LanguageModel::new(&config, 3, &Device::default()).expect("a model")
}

#[test]
fn a_file_tells_its_sizes_under_both_names_and_comes_back() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), small());
    let path = folder.path().join("a.safetensors");
    for (names, name, shape) in [
        (Names::Rwkv, "blocks.2.att.time_mix_k", vec![1, 1, 6]),
        (Names::Rwkv, "blocks.0.ffn.key.weight", vec![10, 6]),
        (Names::Rwkv, "blocks.1.att.time_decay", vec![6]),
        (Names::HuggingFace, "rwkv.blocks.2.attention.time_mix_key", vec![1, 1, 6]),
        (Names::HuggingFace, "rwkv.blocks.0.pre_ln.bias", vec![6]),
        (Names::HuggingFace, "head.weight", vec![19, 6]),
    ] {
        weights::export(&model, &path, names).expect("an export");
        let bytes = std::fs::read(&path).expect("a file");
        let file = TensorFile::parse(&bytes).expect("a safetensors file");
        assert_eq!(file.get(name).unwrap_or_else(|| panic!("no {name}")).shape(), shape, "{name}");
        let again = read(&path).expect("an import");
        assert_eq!(again.config(), model.config());
        let [again, model] = [again, model.clone()].map(|model| InferenceModel::from(model).fingerprint().to_string());
        assert_eq!(again, model);
    }
}

/// The small model under the authors' names, with its tensors changed; what the import says.
fn refusal(change: impl Fn(&mut Vec<(String, Vec<usize>)>)) -> String {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), small());
    let path = folder.path().join("a.pth.safetensors");
    weights::export(&model, &path, Names::Rwkv).expect("an export");
    let bytes = std::fs::read(&path).expect("a file");
    let file = TensorFile::parse(&bytes).expect("a safetensors file");
    let mut tensors: Vec<_> = file.all().into_iter().map(|(name, stored)| (name, stored.shape().to_vec())).collect();
    change(&mut tensors);
    let entry = |(name, shape): (String, Vec<usize>)| {
        let size = shape.iter().product();
        Entry::new(name, shape, Elements::Floats(vec![0.5; size]))
    };
    write(&path, &tensors.into_iter().map(entry).collect::<Vec<_>>(), None).expect("a file");
    let fault = read(&path).expect_err("a refusal");
    assert!(fault.is_usage() && fault.hint_text().is_some());
    fault.to_string().replace(&format!("{}: ", path.display()), "")
}

#[test]
fn what_does_not_match_is_named_all_of_it() {
    let said = refusal(|tensors| {
        tensors.retain(|(name, _)| name != "blocks.1.att.time_mix_v" && name != "head.weight");
        tensors.push(("blocks.2.att.extra".into(), vec![3]));
        tensors.push(("other".into(), vec![3]));
        let (_, shape) = tensors.iter_mut().find(|(name, _)| name == "blocks.2.ffn.value.weight").expect("a tensor");
        *shape = vec![6, 11];
    });
    assert_eq!(
        said,
        "the tensors are not those of the model: missing: `blocks.1.att.time_mix_v`, `head.weight`; unexpected: \
         `blocks.2.att.extra`; shape: `blocks.2.ffn.value.weight` [6, 11] in place of [6, 10]"
    );
    let many = refusal(|tensors| tensors.retain(|(name, _)| !name.starts_with("blocks.1.")));
    assert!(many.ends_with("`blocks.1.att.receptance.weight`, `blocks.1.att.time_decay` and 14 more"), "{many}");
}

#[test]
fn what_is_outside_the_blocks_is_ignored_and_listed() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), small());
    let path = folder.path().join("a.safetensors");
    weights::export(&model, &path, Names::Rwkv).expect("an export");
    let bytes = std::fs::read(&path).expect("a file");
    let file = TensorFile::parse(&bytes).expect("a safetensors file");
    let entry = |name: String, shape: &[usize], values| Entry::new(name, shape, Elements::Floats(values));
    let tensors = file.all().into_iter().map(|(name, stored)| {
        let values = stored.floats().expect("numbers");
        entry(name, stored.shape(), values)
    });
    let other = entry("other".into(), &[1], vec![0.5]);
    write(&path, &tensors.chain([other]).collect::<Vec<_>>(), None).expect("a file");
    assert_eq!(weights::import(&path, model.config(), &Device::default()).expect("an import").ignored, ["other"]);
}

#[test]
fn two_kinds_of_rwkv_in_one_model_have_no_names() {
    let config = ModelConfig { layers: "rwkv4, rwkv7".into(), dim: 8, depth: 2, heads: 2, ..small().config().clone() };
    let model = LanguageModel::new(&config, 3, &Device::default()).expect("a model");
    let path = tempfile::tempdir().expect("a folder").path().join("a.safetensors");
    for names in [Names::Rwkv, Names::HuggingFace] {
        let fault = weights::export(&model, &path, names).expect_err("a refusal");
        assert!(fault.hint_text().is_some_and(|hint| hint.contains("all rwkv4 or all rwkv7")), "{fault}");
    }
}

#[test]
fn variants_are_refused_by_name() {
    for name in [
        "blocks.0.ffnPre.key.weight",
        "blocks.0.tiny_q.weight",
        "head_q.weight",
        "head_k.weight",
        "blocks.1.att.qq.weight",
        "blocks.1.att.kk.weight",
        "blocks.1.att.vv.weight",
        "blocks.1.att.oo.weight",
        "pos_emb",
        "blocks.0.att.gate.weight",
        "blocks.0.att.time_faaaa",
        "blocks.0.att.time_maa_x",
    ] {
        let said = refusal(|tensors| tensors.push((name.into(), vec![6, 6])));
        assert!(
            said.starts_with(&format!("`{name}` belongs to a variant of RWKV that Percept does not have: ")),
            "{said}"
        );
    }
}
