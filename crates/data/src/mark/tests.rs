use std::path::Path;

use super::*;
use crate::Tokenizer;
use crate::testing::{Folder, words};

/// What a folder with these files is.
fn of(files: &[&str]) -> Option<Mark> {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join("it").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    of_folder(&folder.path().join("it"))
}

fn percept(what: &'static str) -> Option<Mark> {
    Some(Mark::Percept(what.into()))
}

#[test]
fn a_marked_folder_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (made, what) in
        [(Made::Run, "a run"), (Made::Comparison, "a comparison"), (Made::Weights, "weights"), (Made::States, "states")]
    {
        let path = folder.path().join(what);
        let marked = mark_folder(&path, made).unwrap();
        assert!(marked.is_new);
        assert_eq!(of_folder(&path), percept(what));
        assert_eq!(fs::read_to_string(path.join(".percept")).unwrap().lines().count(), 1);
        marked.unmark().unwrap();
        assert_eq!(of_folder(&path), percept(what), "a folder that is new stays as it is");
    }
    assert_eq!(of_folder(folder.path()), None, "what holds runs is no run");
}

#[test]
fn a_folder_that_was_there_can_be_unmarked() {
    let folder = tempfile::tempdir().unwrap();
    mark_folder(folder.path(), Made::Run).unwrap().unmark().unwrap();
    assert_eq!(of_folder(folder.path()), None);
    mark_folder(folder.path(), Made::Run).unwrap();
    mark_folder(folder.path(), Made::Run).unwrap().unmark().unwrap();
    assert_eq!(of_folder(folder.path()), percept("a run"), "who did not set the mark does not take it");
}

#[test]
fn folders_of_older_versions_are_known_by_their_shape() {
    assert_eq!(of(&["config.toml", "environment.json", "tokenizer.json"]), percept("a run"));
    assert_eq!(of(&["metrics.jsonl", "checkpoints/step-000001/progress.json"]), percept("a run"));
    assert_eq!(of(&["lock", "samples/step-000001.txt"]), percept("a run"));
    assert_eq!(of(&["config.toml", "model.safetensors", "tokenizer.json"]), percept("weights"));
    assert_eq!(of(&["progress.json", "model.safetensors", "optimizer.safetensors"]), percept("a checkpoint"));
    assert_eq!(of(&["report.json", "report.html", "runs/llp-1/done.json"]), percept("a comparison"));
    assert_eq!(of(&["report.json", "sweep/llp-1/done.json"]), percept("a comparison"));
    assert_eq!(of(&["index/1.json", "tokens/1.tokens"]), percept("a token cache"));
}

#[test]
fn folders_of_texts_stay_texts() {
    for files in [
        &["a.txt"][..],
        &["config.toml", "a.txt"],
        &["metrics.jsonl", "a.txt"],
        &["report.json", "runs/llp-tiny/config.toml"],
        &["runs/llp-tiny/config.toml", "runs/llp-tiny/environment.json", "a.txt"],
        &["samples/a.txt", "tokens/a.txt", "index/b.txt"],
        &[".percept/a.txt"],
    ] {
        assert_eq!(of(files), None, "{files:?}");
    }
    let folder = Folder::with(&[(".percept", b"settings of mine"), ("CACHEDIR.TAG", b"no signature")]);
    assert_eq!(of_folder(Path::new(&folder.path(""))), None);
}

#[test]
fn a_new_cache_is_tagged_and_an_old_folder_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    tagged_folder(&cache, "tokens").unwrap();
    tagged_folder(&cache, "index").unwrap();
    assert!(fs::read(cache.join("CACHEDIR.TAG")).unwrap().starts_with(SIGNATURE));
    assert!(!cache.join("index/CACHEDIR.TAG").exists(), "the cache is tagged as a whole");
    assert_eq!(of_folder(&cache), percept("a token cache"));
    // Programs that make backups leave tagged folders out, and here may be more than the cache.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    tagged_folder(&other, "tokens").unwrap();
    assert!(!other.join("CACHEDIR.TAG").exists());
    assert_eq!(of_folder(&other.join("tokens")), percept("a token cache"));
}

#[test]
fn caches_of_other_programs_are_known_by_their_tag() {
    let folder = Folder::with(&[("CACHEDIR.TAG", &[SIGNATURE, b"\n# made by cargo"].concat())]);
    let path = folder.path("");
    assert_eq!(of_folder(Path::new(&path)), Some(Mark::Cache));
    check_named(Path::new(&path)).unwrap();
}

#[test]
fn a_folder_of_ours_that_is_named_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    mark_folder(folder.path(), Made::Run).unwrap();
    let fault = check_named(folder.path()).unwrap_err();
    assert!(fault.is_usage(), "{fault}");
    let words = words(fault);
    assert!(words.contains("is a run that Percept wrote, no text (name the folder of your texts"), "{words}");
}

#[test]
fn a_run_keeps_apart_from_its_text() {
    let folder = Folder::with(&[("a.txt", b"a")]);
    let check = |name: &str| check_apart(Path::new(&folder.path(name)), &folder.config());
    let fault = check("").unwrap_err();
    assert!(fault.is_usage() && fault.to_string().contains("the folder of the text"), "{fault}");
    check("runs").unwrap();
    check("..").unwrap();
}

/// A safetensors file that begins with these metadata.
fn tensors(metadata: &str) -> Vec<u8> {
    let header = format!("{{\"__metadata__\":{metadata}}}");
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

#[test]
fn single_files_are_known_by_what_they_begin_with() {
    let folder = Folder::new();
    let of = |name: &str, content: &[u8]| of_file(Path::new(&folder.write(name, content)));
    let state = tensors(r#"{"position":"3","format":"percept-session-1"}"#);
    assert_eq!(of("state.safetensors", &state), Some("a state"));
    assert_eq!(of("s", &state), Some("a state"));
    assert_eq!(of("model.safetensors", &tensors(r#"{"percept.config":"{}"}"#)), Some("weights"));
    assert_eq!(of("other.safetensors", &tensors(r#"{"format":"pt"}"#)), None);
    assert_eq!(of("events.out.tfevents.1.percept.2", b""), Some("TensorBoard events"));
    assert_eq!(of("page.html", format!("<html><head>{}", percept_files::PAGE_MARK).as_bytes()), Some("a report"));
    assert_eq!(of("chart.svg", format!("<?xml?>\n{}\n<svg>", percept_files::CHART_MARK).as_bytes()), Some("a chart"));
    assert_eq!(of("page2.html", b"<html>written by Percept"), None);
    for (name, content) in
        [("README", &b"text"[..]), ("a.json", b"{\"text\": \"a\"}"), ("e", b""), ("12.txt", b"12345678{\"")]
    {
        assert_eq!(of(name, content), None, "{name}");
    }
}

#[test]
fn tensors_are_known_under_any_name() {
    let folder = Folder::new();
    let of = |name: &str, content: &[u8]| of_file(Path::new(&folder.write(name, content)));
    let state = tensors(r#"{"position":"3","format":"percept-session-1"}"#);
    let weights = tensors(r#"{"percept.config":"{}"}"#);
    for name in ["book.state", "a.txt", "a.json", "a.html", "a.jsonl.bak", "b"] {
        assert_eq!(of(name, &state), Some("a state"), "{name}");
        assert_eq!(of(name, &weights), Some("weights"), "{name}");
    }
}

#[test]
fn moments_of_the_optimizer_are_known_by_their_pairs() {
    let folder = Folder::new();
    let of = |names: &[&str]| {
        let entries =
            names.iter().map(|name| format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#));
        let header = format!("{{{}}}  ", entries.collect::<Vec<_>>().join(","));
        let content = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
        of_file(Path::new(&folder.write("moments.bak", &content)))
    };
    let many: Vec<String> = (0..2000).map(|number| format!("layers.{number}.feed_forward.weight")).collect();
    let under = |prefix: &'static str| many.iter().map(move |path| format!("{prefix}{path}"));
    let all: Vec<String> = under("first.").chain(under("second.")).chain(under("weight.")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(of(&all), Some("moments of an optimizer"));
    assert_eq!(of(&["first.a", "second.a"]), Some("moments of an optimizer"));
    for others in [&["first.a"][..], &["first.a", "second.b"], &["first.a", "second.a", "third.a"], &["weight.a"], &[]]
    {
        assert_eq!(of(others), None, "{others:?}");
    }
}

#[test]
fn tokenizers_are_known() {
    let folder = Folder::new();
    folder.write("a.txt", b"");
    let path = |name: &str| std::path::PathBuf::from(folder.path(name));
    for (name, tokenizer) in [
        ("bytes.json", Tokenizer::bytes()),
        ("bpe.json", Tokenizer::train_bpe(["some words of text"; 9].into_iter(), 270).unwrap()),
    ] {
        tokenizer.save(path(name)).unwrap();
        assert_eq!(of_file(&path(name)), Some("a tokenizer"), "{name}");
    }
}
