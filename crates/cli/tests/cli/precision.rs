//! Which precision is taken, by speeds that stand in the cache as if they had been measured.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Finished, Work};

/// A folder in whose cache are the speeds of models of width 16; `None` where the processor has one format only.
fn work() -> Option<Work> {
    let work = Work::new();
    if work.run(&["doctor", "--json"]).succeeds().json()["bf16"] == false {
        eprintln!("SKIPPED: this processor has no bf16, so there is nothing to choose");
        return None;
    }
    work.train(&["--steps", "1", "--precision", "auto", "--run", "measured"]).succeeds();
    Some(work)
}

/// What makes the models of a comparison as small as those of [`Work::train`].
const SMALL: [&str; 6] =
    ["model.dim=16", "model.depth=1", "model.heads=2", "model.context=32", "model.segment=16", "train.batch=2"];

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The cache's file for width 16.
fn file(work: &Work) -> PathBuf {
    let files = std::fs::read_dir(work.path("cache/percept/speeds")).unwrap().map(|entry| entry.unwrap().path());
    let is_narrow = |path: &PathBuf| read(path)["key"]["width"] == 16;
    files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).find(is_narrow).unwrap()
}

/// Puts other figures into the cache.
fn pretend(work: &Work, f32: f64, bf16: f64) {
    let path = file(work);
    let mut entry = read(&path);
    for format in entry["speeds"]["formats"].as_array_mut().unwrap() {
        format["gflop_per_s"] = if format["precision"] == "f32" { f32 } else { bf16 }.into();
    }
    std::fs::write(path, entry.to_string()).unwrap();
}

fn trained(work: &Work, run: &str, precision: &str) -> (Value, Finished) {
    let done = work.train(&["--steps", "1", "--run", run, "--precision", precision]).succeeds();
    (environment(work, run), done)
}

fn environment(work: &Work, run: &str) -> Value {
    read(&work.path(run).join("environment.json"))
}

#[test]
fn auto_takes_what_is_faster_and_resume_keeps_it() {
    let Some(work) = work() else { return };
    pretend(&work, 100.0, 300.0);
    let (fast, done) = trained(&work, "fast", "auto");
    assert_eq!((&fast["precision"], &fast["speeds"]["formats"][1]["gflop_per_s"]), (&"bf16".into(), &300.0.into()));
    assert!(done.stderr.contains("on cpu in bf16") && !done.stderr.contains("slower"), "{}", done.stderr);
    pretend(&work, 300.0, 100.0);
    let (exact, done) = trained(&work, "exact", "auto");
    assert_eq!((&exact["precision"], &exact["speeds"]["width"]), (&"f32".into(), &16.into()));
    assert!(!done.stderr.contains("slower"), "{}", done.stderr);
    // A run goes on in its precision, whatever is faster now, and keeps the figures that it was chosen by.
    let resumed = work.run(&["resume", "fast", "--steps", "2"]).succeeds();
    assert!(resumed.stderr.contains("on cpu in bf16") && !resumed.stderr.contains("instead of"), "{}", resumed.stderr);
    assert_eq!(environment(&work, "fast"), fast);
    // Only who asks for it gets what is faster now.
    let changed = work.run(&["resume", "fast", "--steps", "3", "--set", "train.precision=auto"]).succeeds();
    assert!(changed.stderr.contains("on cpu in f32"), "{}", changed.stderr);
    assert_eq!(environment(&work, "fast")["speeds"], exact["speeds"]);
}

#[test]
fn a_format_that_is_slower_here_works_and_is_told_once() {
    let Some(work) = work() else { return };
    pretend(&work, 300.0, 100.0);
    let note = "bf16 is slower than f32 on this processor (100 against 300 GFLOP/s at width 16); --precision auto takes the faster one\n";
    let (slow, done) = trained(&work, "slow", "bf16");
    assert_eq!((&slow["precision"], done.stderr.matches(note).count()), (&"bf16".into(), 1), "{}", done.stderr);
    let resumed = work.run(&["resume", "slow", "--steps", "2"]).succeeds();
    assert!(!resumed.stderr.contains("slower"), "{}", resumed.stderr);
    let (exact, done) = trained(&work, "exact", "f32");
    assert!(exact.get("speeds").is_none() && !done.stderr.contains("slower"), "{exact} {}", done.stderr);
    // The other commands that train decide and tell alike.
    let model = ["--set", "model.dim=16", "--set", "model.heads=2", "--set", "model.depth=1", "--steps", "1"];
    let bench = |precision| {
        work.run(&[&["bench", "train", "--json", "--precision", precision][..], &model].concat()).succeeds()
    };
    let slow = bench("bf16");
    assert_eq!((&slow.json()["precision"], slow.stderr.matches(note).count()), (&"bf16".into(), 1), "{}", slow.stderr);
    let auto = bench("auto");
    assert_eq!((&auto.json()["machine"]["precision"], auto.stderr.contains("slower")), (&"f32".into(), false));
    let compare =
        ["compare", "--models", "llp,transformer", "--as-given", "--budget", "600 tokens", "--data", "text.txt"];
    let small = SMALL.iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>();
    let notes = |precision| {
        let preview = work.run(&[&compare[..], &small, &["--dry-run", "--json", "--precision", precision]].concat());
        preview.succeeds().json()["notes"].to_string()
    };
    assert_eq!((notes("bf16").matches("slower").count(), notes("auto").contains("slower")), (1, false));
}

#[test]
fn a_comparison_goes_on_in_the_precision_that_it_was_begun_in() {
    let Some(work) = work() else { return };
    let compare = || {
        let flags =
            ["compare", "--models", "llp,transformer", "--as-given", "--budget", "600 tokens", "--precision", "auto"];
        let text = ["--data", "text.txt", "--out", "out"];
        let model = SMALL.iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>();
        work.run(&[&flags[..], &text, &model].concat()).succeeds();
        read(&work.path("out/report.json"))
    };
    pretend(&work, 100.0, 300.0);
    let begun = compare();
    assert_eq!(begun["environment"]["precision"], "bf16");
    pretend(&work, 300.0, 100.0);
    let gone_on = compare();
    assert_eq!(gone_on["environment"], begun["environment"]);
    assert!(gone_on["models"] == begun["models"], "something was trained again");
}

#[test]
fn a_damaged_cache_is_measured_again() {
    let Some(work) = work() else { return };
    std::fs::write(file(&work), "{\"width\": 16, \0").unwrap();
    let (environment, done) = trained(&work, "again", "auto");
    assert!(environment["speeds"]["formats"][0]["gflop_per_s"].as_f64().unwrap() > 0.0, "{}", done.stderr);
    assert_eq!(read(&file(&work))["speeds"], environment["speeds"]);
}
