//! Weights from elsewhere: number formats, vocabularies, files that are cut short; and folders that are whole or absent.

use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::support::Work;

const WEIGHTS: &str = "out/model.safetensors";

/// A trained model, exported to `out`.
fn exported(more: &[&str]) -> Work {
    let work = Work::new();
    work.run(&["tokenizer", "train", "text.txt", "--vocab", "270"]).succeeds();
    work.train(&[&["--steps", "30"], more].concat()).succeeds();
    work.run(&["export", "run", "--out", "out"]).succeeds();
    work
}

fn bits(work: &Work, run: &str) -> f64 {
    let score = work.run(&["eval", run, "--data", "text.txt", "--json"]).succeeds().json();
    score["bits_per_byte"].as_f64().unwrap()
}

/// The exported weights with each tensor's type and bytes changed, and no word about the model.
fn rewrite(work: &Work, to: &str, change: impl Fn(&str, &[u8]) -> (Dtype, Vec<u8>)) {
    let bytes = std::fs::read(work.path(WEIGHTS)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors =
        file.tensors().into_iter().map(|(name, view)| (change(&name, view.data()), name, view.shape().to_vec()));
    let tensors: Vec<_> = tensors.collect();
    let views = tensors
        .iter()
        .map(|((dtype, bytes), name, shape)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views.collect::<Vec<_>>(), None, &work.path(to)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn bfloat16_is_read_and_other_types_are_named() {
    let work = exported(&[]);
    // The upper half of an f32 is a bfloat16.
    let half = |bytes: &[u8]| bytes.chunks(4).flat_map(|bytes| [bytes[2], bytes[3]]).collect();
    rewrite(&work, "bf16.safetensors", |_, bytes| (Dtype::BF16, half(bytes)));
    work.run(&["import", "bf16.safetensors", "--config", "out/config.toml", "--out", "bf16"]).succeeds();
    let (exact, rounded) = (bits(&work, "out"), bits(&work, "bf16"));
    assert!(exact != rounded && (exact - rounded).abs() < 0.1, "{exact} {rounded}");
    rewrite(&work, "int.safetensors", |name, bytes| match name {
        "embedding.weight" => (Dtype::I32, bytes.to_vec()),
        _ => (Dtype::F32, bytes.to_vec()),
    });
    let import = ["import", "int.safetensors", "--config", "out/config.toml", "--out", "int"];
    insta::assert_snapshot!(work.run(&import).refusal(), @r"
    exit 2
    error: int.safetensors: tensor `embedding.weight` is I32
    hint: weights are F32, F16, BF16 or F64: convert the file
    ");
    assert!(!work.path("int").exists());
}

#[test]
fn a_forgotten_tokenizer_is_asked_for() {
    let work = exported(&["--tokenizer", "tokenizer.json"]);
    insta::assert_snapshot!(work.run(&["import", WEIGHTS, "--out", "again"]).refusal(), @r"
    exit 2
    error: tokenizer mismatch: bytes has 257 tokens, the model 270
    hint: --tokenizer names the tokenizer.json that the model was trained with: out/tokenizer.json lies beside the weights
    ");
    let named = ["import", WEIGHTS, "--out", "again", "--tokenizer", "out/tokenizer.json"];
    work.run(&named).succeeds();
    assert_eq!(bits(&work, "again"), bits(&work, "out"));
    work.run(&["tokenizer", "train", "text.txt", "--vocab", "262", "--out", "small.json"]).succeeds();
    insta::assert_snapshot!(work.run(&["import", WEIGHTS, "--out", "b", "--tokenizer", "small.json"]).refusal(), @r"
    exit 2
    error: tokenizer mismatch: small.json has 262 tokens, the model 270
    hint: --tokenizer names the tokenizer.json that the model was trained with
    ");
    // A folder that such an import wrote once is still used, with a warning.
    std::fs::copy(work.path("small.json"), work.path("out/tokenizer.json")).unwrap();
    let warned = work.run(&["eval", "out", "--data", "text.txt"]).succeeds().stderr;
    assert!(warned.contains("warning: model.vocab is 270, out/tokenizer.json has 262 tokens"), "{warned}");
}

#[test]
fn a_padded_vocabulary_is_no_mismatch() {
    let work = exported(&["--set", "model.vocab=320"]);
    let imported = work.run(&["import", WEIGHTS, "--out", "again"]).succeeds();
    assert!(imported.stderr.contains("320 tokens") && imported.stderr.contains("padding"), "{}", imported.stderr);
    assert_eq!(bits(&work, "again"), bits(&work, "out"));
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let work = exported(&[]);
    let whole = std::fs::read(work.path(WEIGHTS)).unwrap();
    for length in [0, 5, 100, whole.len() - 1] {
        std::fs::write(work.path("cut.safetensors"), &whole[..length]).unwrap();
        let refusal = work.run(&["import", "cut.safetensors", "--out", "again"]).refusal();
        assert!(
            refusal.starts_with("exit 3\nerror: cut.safetensors can't be read as weights: "),
            "{length}: {refusal}"
        );
        assert!(refusal.contains("hint: check that the file is complete"), "{length}: {refusal}");
    }
    let missing = work.run(&["import", "missing.safetensors", "--out", "again"]).refusal();
    assert!(missing.starts_with("exit 3\nerror: cannot read missing.safetensors: "), "{missing}");
    // What the weights say of their model can be changed, and is checked.
    let set = |key: &str| work.run(&["import", WEIGHTS, "--set", key, "--out", "again"]);
    let shape = set("model.dim=32").refusal();
    assert!(shape.contains("has shape [257, 16]; the configuration needs [257, 32]"), "{shape}");
    assert!(set("model.dims=32").refusal().contains("did you mean `model.dim`?"));
    set("model.attention_dropout=0.5").succeeds();
    let config = std::fs::read_to_string(work.path("again/config.toml")).unwrap();
    assert!(config.contains("attention_dropout = 0.5"), "{config}");
    assert_eq!(bits(&work, "again"), bits(&work, "out"));
    rewrite(&work, "bare.safetensors", |_, bytes| (Dtype::F32, bytes.to_vec()));
    insta::assert_snapshot!(work.run(&["import", "bare.safetensors", "--set", "model.dim=16", "--out", "b"]).refusal(), @r"
    exit 2
    error: bare.safetensors does not say what its model is
    hint: --set changes single keys: --config PRESET or FILE describes the model
    ");
}

#[test]
fn weights_in_several_files_are_read_by_their_index() {
    let work = exported(&[]);
    let part = |embedding: bool| {
        let bytes = std::fs::read(work.path(WEIGHTS)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors = file.tensors();
        tensors.retain(|(name, _)| name.starts_with("embedding") == embedding);
        let name = if embedding { "model-1-of-2.safetensors" } else { "model-2-of-2.safetensors" };
        let names = tensors.iter().map(|(tensor, _)| (tensor.clone(), serde_json::json!(name))).collect::<Vec<_>>();
        safetensors::serialize_to_file(tensors, None, &work.path(name)).unwrap();
        names
    };
    let map: serde_json::Map<_, _> = [part(true), part(false)].concat().into_iter().collect();
    work.write("model.safetensors.index.json", &serde_json::json!({ "weight_map": map }).to_string());
    let import = |file: &str| work.run(&["import", file, "--config", "out/config.toml", "--out", "again"]);
    let one = import("model-1-of-2.safetensors").refusal();
    assert!(one.contains("this is one of several files of a model: import the .index.json beside it"), "{one}");
    import("model.safetensors.index.json").succeeds();
    assert_eq!(bits(&work, "again"), bits(&work, "out"));
}

#[test]
#[cfg(unix)]
fn a_file_is_read_once() {
    let work = exported(&[]);
    let (weights, pipe) = (std::fs::read(work.path(WEIGHTS)).unwrap(), work.path("pipe.safetensors"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // What came out of a pipe does not come a second time.
    let writer = std::thread::spawn(move || std::fs::write(pipe, weights));
    work.run(&["import", "pipe.safetensors", "--out", "again"]).succeeds();
    writer.join().unwrap().unwrap();
    assert_eq!(bits(&work, "again"), bits(&work, "out"));
}

#[test]
fn a_damaged_file_is_named_before_a_configuration_is_asked_for() {
    let work = exported(&[]);
    let whole = std::fs::read(work.path(WEIGHTS)).unwrap();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
    let files: [(&str, &[u8]); 8] = [
        ("junk.pt", b"junk"),
        ("empty.pt", b""),
        ("cut.pt", b"PK\x03\x04 and no more"),
        ("half.pt", &whole[..whole.len() / 2]),
        ("page.bin", b"<!DOCTYPE html><html>"),
        ("pointer.bin", pointer),
        ("cut.index.json", b"{\"weight_map\": {"),
        ("empty.index.json", b"{}"),
    ];
    for (name, content) in files {
        std::fs::write(work.path(name), content).unwrap();
        let refusal = work.run(&["import", name, "--out", "again"]).refusal();
        assert!(refusal.starts_with(&format!("exit 3\nerror: {name} can't be read as weights: ")), "{refusal}");
        let hint = if name == "pointer.bin" { "git lfs pull" } else { "hint: check that the file is complete" };
        assert!(refusal.contains(hint), "{refusal}");
    }
    work.write("lost.index.json", "{\"weight_map\": {\"a\": \"lost-1-of-1.safetensors\"}}");
    let lost = work.run(&["import", "lost.index.json", "--out", "again"]).refusal();
    assert!(lost.starts_with("exit 3\nerror: cannot read lost-1-of-1.safetensors: "), "{lost}");
    // Cut in the tensors, behind a header that is whole but says nothing of the model.
    rewrite(&work, "bare.safetensors", |_, bytes| (Dtype::F32, bytes.to_vec()));
    let bare = std::fs::read(work.path("bare.safetensors")).unwrap();
    std::fs::write(work.path("bare.safetensors"), &bare[..bare.len() - 1]).unwrap();
    let cut = work.run(&["import", "bare.safetensors", "--out", "again"]).refusal();
    assert!(cut.starts_with("exit 3\nerror: bare.safetensors can't be read as weights: "), "{cut}");
    // An index, too, says what its files carry.
    let names: serde_json::Map<_, _> = {
        let file = SafeTensors::deserialize(&whole).unwrap();
        file.names().into_iter().map(|name| (name.to_string(), "model.safetensors".into())).collect()
    };
    work.write("out/model.safetensors.index.json", &serde_json::json!({ "weight_map": names }).to_string());
    work.run(&["import", "out/model.safetensors.index.json", "--out", "again"]).succeeds();
    assert_eq!(bits(&work, "again"), bits(&work, "out"));
}

#[test]
fn a_failed_export_leaves_nothing() {
    let work = Work::trained(1);
    let before = names(&work.path("."));
    // The authors have no names for these layers.
    let paper = |out: &str| work.run(&["export", "run", "--names", "paper", "--out", out]);
    assert_eq!(paper("out").code, 2);
    assert_eq!(names(&work.path(".")), before);
    // What is in a folder stays, and stays text.
    work.write("mine/notes.txt", "mine");
    assert_eq!(paper("mine").code, 2);
    assert_eq!(names(&work.path("mine")), ["notes.txt"]);
    work.write("taken/model.safetensors", "mine");
    let taken = work.run(&["export", "run", "--out", "taken"]).refusal();
    assert!(taken.contains("taken holds other files"), "{taken}");
    assert_eq!(names(&work.path("taken")), ["model.safetensors"]);
    assert_eq!(work.run(&["export", "run", "--out", "mine"]).code, 2);
    assert_eq!(names(&work.path("mine")), ["notes.txt"]);
    std::fs::create_dir(work.path("empty")).unwrap();
    work.run(&["export", "run", "--out", "empty"]).succeeds();
    work.run(&["generate", "empty", "--prompt", "The", "--tokens", "3"]).succeeds();
    work.write("file", "");
    assert_eq!(work.run(&["export", "run", "--out", "file/out"]).code, 3);
    assert_eq!(work.run(&["export", "run", "--out", "file"]).code, 3);
}

#[test]
fn an_rwkv_needs_no_configuration_and_is_written_back() {
    let work = Work::new();
    let sets = ["layers=rwkv4", "feed_forward=rwkv4-channel", "norm=layer", "norm_eps=1e-5", "rotary=none"];
    let sets = sets.map(|set| format!("model.{set}"));
    let more: Vec<&str> = sets.iter().flat_map(|set| ["--set", set.as_str()]).collect();
    work.train(&[&["--steps", "5"], &more[..]].concat()).succeeds();
    for names in ["--names", "--format"] {
        for whose in ["rwkv", "hf"] {
            let (out, again) = (format!("{names}-{whose}"), format!("{names}-{whose}-again"));
            let (out, again) = (out.trim_start_matches('-'), again.trim_start_matches('-'));
            work.run(&["export", "run", names, whose, "--out", out]).succeeds();
            let weights = format!("{out}/model.safetensors");
            work.run(&["import", &weights, "--set", "model.context=64", "--out", again]).succeeds();
            assert_eq!(bits(&work, again), bits(&work, "run"));
        }
    }
    work.train(&["--steps", "1", "--run", "llp"]).succeeds();
    insta::assert_snapshot!(work.run(&["export", "llp", "--names", "hf", "--out", "no"]).refusal(), @r"
    exit 2
    error: `blocks.0.feed_forward.down.weight` has no name in the authors' code
    hint: only models whose layers are all rwkv4 or all rwkv7, with LayerNorm and no biases, can be exported under the authors' names
    ");
}

/// The folder of the authors' fixtures, and what its model is called by them; see `crates/model/tests/paper_parity.rs`.
fn authors() -> Option<(PathBuf, serde_json::Value)> {
    let folder = match std::env::var_os("PERCEPT_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/paper")),
    };
    let (checkpoint, fixture) = (folder.join("llp-checkpoint.pt"), folder.join("llp.safetensors"));
    if !checkpoint.is_file() || !fixture.is_file() {
        eprintln!("skipped: no llp-checkpoint.pt and llp.safetensors in {} (set PERCEPT_FIXTURES)", folder.display());
        return None;
    }
    let bytes = std::fs::read(fixture).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    Some((checkpoint, serde_json::json!(header.metadata().as_ref().unwrap())))
}

#[test]
fn a_checkpoint_of_the_authors_is_imported() {
    let Some((checkpoint, told)) = authors() else { return };
    let work = Work::new();
    let number = |key: &str| told[key].as_str().unwrap().parse::<usize>().unwrap();
    let segment = number("sequence") / number("segments");
    let sizes = [
        ("vocab", number("vocab")),
        ("dim", number("dim")),
        ("heads", number("heads")),
        ("depth", number("layers")),
        ("context", number("sequence")),
        ("segment", segment),
    ]
    .map(|(key, value)| format!("model.{key}={value}"));
    let import = |file: &str, out: &str| {
        let mut import = vec!["import", file, "--config", "llp-paper", "--out", out, "--json"];
        import.extend(sizes.iter().flat_map(|set| ["--set", set.as_str()]));
        work.run(&import)
    };
    let imported = import(&checkpoint.to_string_lossy(), "run").succeeds();
    assert!(imported.json()["ignored"].as_array().unwrap().iter().all(|name| name.as_str().unwrap().contains(".fn.")));
    assert!(imported.stderr.contains("warning: tokenizer mismatch"), "{}", imported.stderr);
    assert_eq!(work.run(&["verify", "run", "--json"]).succeeds().json()["passed"].as_bool(), Some(true));
    let whole = std::fs::read(&checkpoint).unwrap();
    for length in [0, 10, whole.len() / 3, whole.len() - 1] {
        std::fs::write(work.path("cut.bin"), &whole[..length]).unwrap();
        let refusal = import("cut.bin", "cut").refusal();
        assert!(
            refusal.starts_with("exit 3") && refusal.contains("error: cut.bin can't be read as weights: "),
            "{length}: {refusal}"
        );
        assert!(!work.path("cut").exists());
    }
}
