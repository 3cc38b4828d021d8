//! Every published configuration is the model that it was before mixers had tables of their own: the same key values, the same
//! weights at the same seed, the same fingerprint, the same promises. `published.json` was written by the code of before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use percept_model::properties::Properties;
use percept_model::{InferenceModel, LanguageModel, ModelConfig};
use percept_train::{Override, RunConfig, Sources, presets, resolve};
use serde::{Deserialize, Serialize};

/// Models of more weights are compared by their keys and promises only.
const SMALL: u64 = 3_500_000;

/// What a configuration comes to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Resolved {
    /// What is hashed and carried by weight files.
    json: String,
    /// The table `[model]` of a run folder.
    toml: String,
    /// Weights, scores of a window, products of a forward pass, state, reach, targets.
    promises: (u64, u64, u64, usize, Option<usize>, usize),
    fingerprint: Option<String>,
}

fn resolved(config: &ModelConfig) -> Resolved {
    let vocab = if config.vocab == 0 { 257 } else { config.vocab };
    let config = ModelConfig { vocab, ..config.clone() };
    let properties = Properties::of(&config).unwrap();
    let context = config.context;
    let macs = properties.forward_cost(context, 1).macs;
    let state = properties.state_bytes(3 * context / 2, 4);
    let promises = (
        properties.parameters(),
        properties.score_entries(context),
        macs,
        state,
        properties.reach(),
        properties.scored(context),
    );
    let fingerprint = (properties.parameters() < SMALL).then(|| {
        let model = LanguageModel::new(&config, 7, &Default::default()).unwrap();
        InferenceModel::new(model).fingerprint().to_owned()
    });
    Resolved {
        json: serde_json::to_string(&config).unwrap(),
        toml: toml::to_string(&config).unwrap(),
        promises,
        fingerprint,
    }
}

fn run(preset: Option<&str>, file: Option<PathBuf>, sets: &[&str]) -> RunConfig {
    let overrides = sets.iter().map(|set| Override::set(set).unwrap()).collect();
    resolve(&Sources { preset: preset.map(str::to_owned), file, overrides }).unwrap()
}

/// The configurations of the published comparisons.
fn files() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/comparisons");
    let mut files = Vec::new();
    for comparison in ["books", "books-4096"] {
        for run in std::fs::read_dir(root.join(comparison).join("runs")).unwrap() {
            let run = run.unwrap();
            files.push((format!("{comparison}/{}", run.file_name().to_string_lossy()), run.path().join("config.toml")));
        }
    }
    files
}

/// Keys that flags, variables and the library set, as documents show them.
const SETS: [(&str, &[&str]); 10] = [
    (
        "llp-paper",
        &[
            "model.dim=256",
            "model.heads=4",
            "model.depth=2",
            "model.context=1024",
            "model.segment=128",
            "model.vocab=512",
        ],
    ),
    (
        "transformer-paper",
        &["model.dim=64", "model.heads=4", "model.depth=2", "model.context=128", "model.segment=16", "model.vocab=512"],
    ),
    ("none", &["model.dim=32", "model.depth=2", "model.segment=16", "model.context=64"]),
    ("llp-tiny", &["model.layers=llp(segment=64)*2, llp(segment=256)"]),
    ("llp-tiny", &["model.layers=transformer(segment=8), longlora(segment=32)"]),
    ("perceiver-ar-tiny", &["model.latents=128", "model.fill=100", "model.cross_attend_dropout=0.3"]),
    ("perceiver-v2-tiny", &["model.history_segments=3"]),
    ("perceiver-v3-tiny", &["model.compressed=100", "model.compression_residual=first-rows"]),
    ("llp-tiny", &["model.first_segment_output=true", "model.biases=paper", "model.initialisation=pytorch"]),
    ("conv-tiny", &["model.conv.width=5"]),
];

/// The authors' options on top of a small configuration.
const PAPER: [&str; 8] = [
    "llp",
    "transformer",
    "perceiver-ar",
    "perceiver-v1",
    "perceiver-v2",
    "perceiver-v3",
    "longlora",
    "llp*2, transformer",
];

/// `is_of_before`: whether a name is in the file; later presets are not.
fn all(is_of_before: impl Fn(&str) -> bool) -> BTreeMap<String, Resolved> {
    let mut all = BTreeMap::new();
    for preset in presets() {
        let name = format!("preset {}", preset.name);
        if is_of_before(&name) {
            all.insert(name, resolved(&run(Some(preset.name), None, &[]).model));
        }
    }
    for (name, file) in files() {
        all.insert(format!("comparison {name}"), resolved(&run(None, Some(file), &[]).model));
    }
    for (preset, sets) in SETS {
        all.insert(format!("{preset} {}", sets.join(" ")), resolved(&run(Some(preset), None, sets).model));
    }
    let sizes = [
        "model.dim=32",
        "model.depth=2",
        "model.segment=16",
        "model.context=64",
        "model.latents=24",
        "model.compressed=8",
    ];
    for layers in PAPER {
        let config = run(Some("none"), None, &sizes).model;
        let config = ModelConfig { layers: layers.into(), ..config }.with_paper_options();
        all.insert(format!("paper {layers}"), resolved(&config));
    }
    all
}

#[test]
fn published_configurations_are_the_models_of_before() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published.json");
    let before: BTreeMap<String, Resolved> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let now = all(|name| before.contains_key(name));
    assert_eq!(now.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (name, now) in &now {
        assert_eq!(*now, before[name], "{name}");
    }
}
