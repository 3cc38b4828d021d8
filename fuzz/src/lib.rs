//! What a stranger may hand to Percept, each as a function of bytes. Whatever they are, the answer is a value or a fault: no panic,
//! no endless loop, no memory beyond what a file of that size can need.

mod serve;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use percept_data::{Corpus, DataConfig, OnError, Tokenizer};
use percept_fault::Result;
use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
use percept_train::{Changes, Event, RunConfig, Which, load_run, resolve_preset, resume, train};
use serde_json::Value;
use tempfile::TempDir;

pub use serve::{completion, request, upload};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A small model, whose states the target reads.
pub fn model() -> Arc<InferenceModel> {
    static MODEL: LazyLock<Arc<InferenceModel>> = LazyLock::new(|| {
        let config = ModelConfig { vocab: 257, dim: 8, depth: 2, heads: 2, context: 16, ..Default::default() };
        let config = config.with("segment", 4).expect("an option");
        let model = LanguageModel::new(&config, 1, &Default::default()).expect("a valid configuration");
        Arc::new(InferenceModel::new(model))
    });
    MODEL.clone()
}

/// A state file.
///
/// # Errors
/// It is none, or another model's.
pub fn state(bytes: &[u8]) -> Result<()> {
    let folder = folder();
    let path = folder.path().join("state");
    fs::write(&path, bytes).expect("a file");
    let summary = Session::inspect(&path);
    let mut session = Session::load(&path, model())?;
    summary?;
    session.feed(&[1, 2, 3, 4, 5]).map(drop)
}

/// A run that was stopped after its first step.
fn run() -> &'static Path {
    static RUN: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = folder();
        let stop = AtomicBool::new(false);
        let mut stopper = |event| _ = stop.fetch_or(matches!(event, Event::Step(_)), Ordering::Relaxed);
        train(&run_config(folder.path()), &folder.path().join("run"), &stop, &mut stopper).expect("training works");
        folder
    });
    RUN.path()
}

fn run_config(folder: &Path) -> RunConfig {
    let mut config = resolve_preset("llp-tiny").expect("a preset");
    config.data = DataConfig::from_paths(["synthetic:copy?length=8&documents=20"]);
    config.data.cache = Some(folder.join("cache"));
    (config.model.dim, config.model.depth, config.model.heads) = (8, 1, 1);
    config.model.context = 16;
    config.model = config.model.with("segment", 8).expect("an option");
    (config.train.steps, config.train.warmup, config.train.log_every) = (4, 1, 1);
    config
}

/// The files of a checkpoint, in a fixed order.
pub fn checkpoint_files() -> Vec<PathBuf> {
    let checkpoint = run().join("run/checkpoints/step-000001");
    let mut files: Vec<_> =
        fs::read_dir(checkpoint).expect("a checkpoint").map(|entry| entry.expect("a file").path()).collect();
    // A changed configuration would read and write anywhere.
    files.retain(|file| !file.ends_with("config.toml"));
    files.sort();
    files
}

/// A checkpoint, one of whose files holds other bytes and the marks that belong to them. The first byte says which.
///
/// # Errors
/// It cannot be read, or the run cannot go on from it.
pub fn checkpoint(bytes: &[u8]) -> Result<()> {
    let Some((first, bytes)) = bytes.split_first() else { return Ok(()) };
    let (folder, files) = (folder(), checkpoint_files());
    let copy = folder.path().join("run");
    copy_folder(&run().join("run"), &copy);
    let checkpoint = copy.join("checkpoints/step-000001");
    let name = files[usize::from(*first) % files.len()].file_name().expect("a name");
    fs::write(checkpoint.join(name), bytes).expect("a file");
    mark(&checkpoint);
    let loaded = load_run(&checkpoint, Which::Latest, &Default::default()).map(drop);
    // It is stopped once all is read.
    let stop = AtomicBool::new(false);
    let mut stopper = |event| _ = stop.fetch_or(matches!(event, Event::Started(_)), Ordering::Relaxed);
    resume(&copy, &Changes::default(), &stop, &mut stopper)?;
    loaded
}

/// Makes the marks in `progress.json` those of the files, and its own checksum right.
fn mark(checkpoint: &Path) {
    let path = checkpoint.join("progress.json");
    let text = fs::read(&path).expect("a file");
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(&text) else { return };
    fields.remove("sha256");
    for (name, mark) in fields.get_mut("files").and_then(Value::as_object_mut).into_iter().flatten() {
        let file = checkpoint.join(name);
        if let (Ok(metadata), Ok(sum)) = (fs::metadata(&file), percept_files::sha256(&file)) {
            *mark = serde_json::json!({ "bytes": metadata.len(), "sha256": sum });
        }
    }
    let own = checkpoint.join("own");
    fs::write(&own, Value::Object(fields.clone()).to_string()).expect("a file");
    fields.insert("sha256".into(), percept_files::sha256(&own).expect("a file").into());
    fs::remove_file(own).expect("a file");
    fs::write(path, Value::Object(fields).to_string()).expect("a file");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let copy = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy_folder(&path, &copy),
            false => drop(fs::copy(&path, &copy).expect("a file")),
        }
    }
}

/// A `tokenizer.json`, and a text through it and back.
///
/// # Errors
/// It is none, or it cannot encode the text.
pub fn tokenizer(bytes: &[u8]) -> Result<()> {
    let folder = folder();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, bytes).expect("a file");
    let tokenizer = Tokenizer::from_file(&path)?;
    let tokens = tokenizer.encode("The  cat naïve 日本 1,234\n".as_bytes())?;
    tokenizer.decode(&tokens);
    tokenizer.decode_after(&tokens, &[0, 1, u32::MAX]);
    tokenizer.save(&path)?;
    Tokenizer::from_file(&path).map(drop)
}

/// Records, one a line, as text to be trained on.
///
/// # Errors
/// A record is broken, or there is no text.
pub fn jsonl(bytes: &[u8]) -> Result<()> {
    let folder = folder();
    let path = folder.path().join("records.jsonl");
    fs::write(&path, bytes).expect("a file");
    let mut config = DataConfig::from_paths([path.display().to_string()]);
    config.cache = Some(folder.path().join("cache"));
    let strict = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| ()).map(drop);
    config.on_error = OnError::Skip;
    let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| ())?;
    (0..corpus.documents()).for_each(|index| drop(corpus.document(index).tokens.to_vec()));
    strict
}
