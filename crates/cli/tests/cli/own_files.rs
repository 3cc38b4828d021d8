//! Texts among which Percept's own files lie: runs, comparisons, exports, states, tokenizers, charts, the cache.

use serde_json::{Value, json};

use crate::support::{Finished, TINY, Work};

/// A folder with ten texts.
fn texts() -> Work {
    let work = Work::new();
    for number in 0..9 {
        work.write(&format!("more/{number}.txt"), &format!("sheep number {number} jumps. ").repeat(40));
    }
    work
}

/// Trains in the folder of the texts, on the folder of the texts.
fn train_here(work: &Work, more: &[&str]) -> Finished {
    let mut arguments = vec!["train", "llp-tiny", "--data", "."];
    arguments.extend(TINY.iter().flat_map(|set| ["--set", set]));
    arguments.extend(more);
    work.run(&arguments)
}

/// Documents and bytes of the texts, and what lies among them that Percept wrote.
fn counted(work: &Work) -> (u64, u64, Value) {
    let stats = work.run(&["data", "stats", ".", "--json"]).succeeds().json();
    (stats["documents"].as_u64().unwrap(), stats["bytes"].as_u64().unwrap(), stats["passed_over"]["percept"].clone())
}

/// Step and hash of the order of all windows so far, by the last line of metrics.
fn order(work: &Work, run: &str) -> (Option<u64>, Value) {
    let metrics = std::fs::read_to_string(work.path(run).join("metrics.jsonl")).unwrap();
    let last = metrics.lines().rfind(|line| line.contains("order_hash")).unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    (last["step"].as_u64(), last["order_hash"].clone())
}

#[test]
fn a_run_lies_in_its_own_text() {
    let work = texts();
    let (documents, bytes, _) = counted(&work);
    assert_eq!(documents, 10);
    train_here(&work, &["--steps", "4"]).succeeds();

    let resumed = work.run(&["resume", "runs/llp-tiny", "--steps", "8"]).succeeds();
    assert!(resumed.stderr.contains("going on after step 4"), "{}", resumed.stderr);
    let told = "left out as written by Percept: 2, the first: [DIR]/cache/percept (a token cache)";
    assert_eq!(resumed.stderr.matches(told).count(), 1, "{}", resumed.stderr);
    // A second run lies there too, and reads the same text in the same order.
    train_here(&work, &["--steps", "8"]).succeeds();
    assert_eq!(order(&work, "runs/llp-tiny"), order(&work, "runs/llp-tiny-2"));

    let all = ["./cache/percept (a token cache)", "./runs/llp-tiny (a run)", "./runs/llp-tiny-2 (a run)"];
    assert_eq!(counted(&work), (documents, bytes, json!({ "count": 3, "first": all })));
    let shown = work.run(&["data", "stats", "."]).succeeds().stdout;
    assert!(shown.contains("left out   3, written by Percept\n  ./cache/percept (a token cache)\n"), "{shown}");
    let score = work.run(&["eval", "runs/llp-tiny", "--data", ".", "--json"]).succeeds().json();
    assert_eq!(score["targets"].as_u64(), Some(bytes));
}

/// What the command prints goes into the folder of the texts, and that is no text, now and later.
#[test]
fn the_output_of_a_command_is_no_text() {
    let work = texts();
    let logged = |log: &str, arguments: &[&str]| {
        let file = std::fs::File::create(work.path(log)).unwrap();
        let status = work.command(arguments).stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        let text = std::fs::read_to_string(work.path(log)).unwrap();
        assert!(status.success(), "{text}");
        text
    };
    let mut train = vec!["train", "llp-tiny", "--data", ".", "--steps", "4"];
    train.extend(TINY.iter().flat_map(|set| ["--set", set]));
    logged("log.txt", &train);
    logged("more/second.log", &["resume", "runs/llp-tiny", "--steps", "6"]);
    let text = logged("third", &["resume", "runs/llp-tiny", "--steps", "8"]);
    assert!(text.contains("going on after step 6"), "{text}");
    let stats = logged("stats", &["data", "stats", ".", "--json"]);
    assert!(stats.contains("./stats (the output of this command)"), "{stats}");
}

#[test]
fn a_folder_of_texts_does_not_become_weights() {
    let work = Work::trained(2);
    work.write("notes/a.txt", "a note");
    insta::assert_snapshot!(work.run(&["export", "run", "--out", "notes"]).refusal(), @r"
    exit 2
    error: notes holds other files
    hint: choose a new folder: what lies beside weights is not read as text any more
    ");
    let trained = work.train(&["--run", "notes"]).succeeds();
    assert!(
        trained.stderr.contains("notes holds other files: from now on they are not read as text"),
        "{}",
        trained.stderr
    );
}

#[test]
fn everything_that_percept_writes_may_lie_among_texts() {
    let work = texts();
    let (documents, bytes, _) = counted(&work);
    train_here(&work, &["--steps", "2", "--run", "here", "--tensorboard"]).succeeds();
    let event_file = std::fs::read_dir(work.path("here/tensorboard")).unwrap().next().unwrap().unwrap();
    std::fs::copy(event_file.path(), work.path("more").join(event_file.file_name())).unwrap();
    work.run(&["export", "here", "--out", "exported"]).succeeds();
    std::fs::copy(work.path("exported/model.safetensors"), work.path("more/model.safetensors")).unwrap();
    work.run(&["import", "exported/model.safetensors", "--out", "imported"]).succeeds();
    work.run(&["state", "save", "here", "--prompt", "The", "--out", "state"]).succeeds();
    work.run(&["tokenizer", "train", ".", "--vocab", "300"]).succeeds();
    work.run(&["plan", "--context", "1k..2k", "--models", "llp", "--svg", "plan.svg", "--quick"]).succeeds();
    work.write(".spec.toml", "models = [\"llp\"]\nbudget = \"2k tokens\"\npoints = 2\n");
    let mut compare = vec!["compare", ".spec.toml", "--data", "."];
    compare.extend(TINY.iter().filter(|set| set.starts_with("model.")).flat_map(|set| ["--set", set]));
    work.run(&compare).succeeds();
    std::fs::copy(work.path("comparisons/.spec/report.html"), work.path("more/report.html")).unwrap();

    let (documents_now, bytes_now, found) = counted(&work);
    assert_eq!((documents_now, bytes_now), (documents, bytes), "{found}");
    let found: Vec<&str> = found["first"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(found.len(), 10, "{found:?}");
    for what in ["cache/percept (a token cache)", "exported (weights)", "here (a run)", "imported (weights)"] {
        assert!(found.contains(&format!("./{what}").as_str()), "{what}: {found:?}");
    }
}

#[test]
fn tensors_may_have_any_name_among_texts() {
    let work = texts();
    let (documents, bytes, _) = counted(&work);
    train_here(&work, &["--steps", "2", "--run", "here"]).succeeds();
    work.run(&["state", "save", "here", "--prompt", "The", "--out", "book.state"]).succeeds();
    for name in ["model", "optimizer"] {
        let from = work.path("here/checkpoints/step-000002").join(format!("{name}.safetensors"));
        std::fs::copy(from, work.path(&format!("more/{name}.txt"))).unwrap();
    }
    let (documents_now, bytes_now, found) = counted(&work);
    assert_eq!((documents_now, bytes_now), (documents, bytes), "{found}");
    let found = found["first"].to_string();
    for what in ["book.state (a state)", "more/model.txt (weights)", "more/optimizer.txt (moments of an optimizer)"] {
        assert!(found.contains(&format!("\"./{what}\"")), "{what}: {found}");
    }
}

#[test]
fn a_run_is_no_text_and_no_place_for_one() {
    let work = texts();
    train_here(&work, &["--steps", "1"]).succeeds();
    insta::assert_snapshot!(work.run(&["data", "stats", "runs/llp-tiny"]).refusal(), @r"
    exit 2
    error: runs/llp-tiny is a run that Percept wrote, no text
    hint: name the folder of your texts; a single file in it may be named, too. Where it is one of texts all the same, remove its file .percept
    ");
    insta::assert_snapshot!(work.run(&["data", "stats", "runs"]).refusal(), @r"
    exit 3
    error: no file to read in folder runs
    hint: what Percept wrote is left out; put text files in it, or name another folder
    ");
    work.run(&["data", "stats", "runs/llp-tiny/config.toml"]).succeeds();
    insta::assert_snapshot!(train_here(&work, &["--run", "."]).refusal(), @r"
    exit 2
    error: . is the folder of the text: a run can't be written among its own text
    hint: choose another folder; one inside it will do
    ");
    assert!(!work.path(".percept").exists());
}

#[test]
fn a_run_that_does_not_begin_leaves_the_folder_as_it_was() {
    let work = texts();
    let failing = ["--steps", "1", "--set", "data.tokenizer=none.json", "--run"];
    assert_eq!(train_here(&work, &[&failing[..], &["new"]].concat()).code, 3);
    assert!(!work.path("new").exists());
    assert_eq!(train_here(&work, &[&failing[..], &["more"]].concat()).code, 3);
    assert_eq!(counted(&work).0, 10, "`more` is text as before");
}
