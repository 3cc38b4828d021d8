//! `percept suite`: what is shown and kept, an interruption, and what wrong input gets.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Work;

/// A suite that takes a second.
const SMALL: [&str; 20] = [
    "suite",
    "--models",
    "transformer",
    "--tasks",
    "parity",
    "--length",
    "2",
    "--exercises",
    "4",
    "--budget",
    "2k tokens",
    "--out",
    "out",
    "--set",
    "model.dim=16",
    "--set",
    "model.depth=1",
    "--set",
    "train.batch=8",
    "--as-given",
];

#[test]
fn a_suite_is_shown_and_kept() {
    let work = Work::new();
    let first = work.run(&SMALL).succeeds();
    assert!(first.stdout.starts_with("suite\n"), "{}", first.stdout);
    for part in
        ["problem  model", "parity", "cot shown*", "by teacher forcing", "transformer reaches 0 of 1 regular problems"]
    {
        assert!(first.stdout.contains(part), "{part}: {}", first.stdout);
    }
    for part in
        ["[1/2] parity direct", "[2/2] parity cot", "examining parity cot transformer seed 1", "report: out/suite.html"]
    {
        assert!(first.stderr.contains(part), "{part}: {}", first.stderr);
    }
    let json = work.run(&[&SMALL[..], &["--json"]].concat()).succeeds();
    assert!(!json.stderr.contains("begins"), "both runs are reused: {}", json.stderr);
    let report = json.json();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(work.path("out/suite.json")).unwrap()).unwrap();
    assert_eq!((&report, &report["state"]), (&written, &"finished".into()));
    let cot = &report["tasks"][0]["modes"][1];
    assert_eq!((&cot["mode"], cot["models"][0]["runs"][0]["lengths"].as_array().unwrap().len()), (&"cot".into(), 4));
    for page in ["suite.html", "parity-direct/report.html", "parity-cot/report.json"] {
        assert!(work.path("out").join(page).is_file(), "{page}");
    }
}

#[test]
fn a_file_says_what_is_asked_and_flags_change_it() {
    let work = Work::new();
    let small = "models = [\"transformer\", \"rwkv7\"]\nbudget = \"600 tokens\"\npoints = 2\nparameters = \"as-given\"\n\
                 base.model.dim = 16\nbase.model.depth = 1\nbase.train.batch = 8\n\
                 [suite]\ntasks = [\"parity\"]\nlength = 3\nbeyond = 4\nexercises = 2\n";
    work.write("small.toml", small);
    let report = work.run(&["suite", "small.toml", "--exercises", "3", "--json"]).succeeds().json();
    let of = |key: &str| report[key].clone();
    assert_eq!(
        (of("name"), of("length"), of("beyond"), of("exercises")),
        ("small".into(), 3.into(), 4.into(), 3.into())
    );
    // Each model is trained by its own preset's optimizer settings.
    let run =
        |at: usize| report["tasks"][0]["modes"][0]["models"][at]["runs"][0]["folder"].as_str().unwrap().to_owned();
    let config =
        |at: usize| std::fs::read_to_string(work.path("suites/small").join(run(at)).join("config.toml")).unwrap();
    assert!(config(0).contains("\nbeta2 = 0.95\n") && config(1).contains("\nbeta2 = 0.99\n"), "{}", config(1));
}

#[test]
fn an_interrupted_suite_says_how_it_goes_on() {
    let work = Work::new();
    let long: Vec<&str> =
        SMALL.iter().map(|&argument| if argument == "2k tokens" { "20M tokens" } else { argument }).collect();
    let mut child = work.command(&long).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (begin, runs) = (Instant::now(), work.path("out/parity-direct/runs"));
    let begun = || {
        let folders = std::fs::read_dir(&runs).into_iter().flatten().flatten();
        folders
            .into_iter()
            .any(|run| std::fs::metadata(run.path().join("metrics.jsonl")).is_ok_and(|file| file.len() > 0))
    };
    while !begun() {
        assert!(
            begin.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none(),
            "it ended too early"
        );
        std::thread::yield_now();
    }
    // SAFETY: kill only sends a signal, to a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    let output = child.wait_with_output().unwrap();
    let stderr = work.without_paths(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("hint: the same `percept suite` command goes on from there"), "{stderr}");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(work.path("out/suite.json")).unwrap()).unwrap();
    assert_eq!((&written["state"], written["tasks"].as_array().unwrap().len()), (&"unfinished".into(), 0));
}

#[test]
fn where_every_model_diverges_the_exit_code_says_so() {
    let work = Work::new();
    let wild = work.run(&[&SMALL[..], &["--set", "train.learning_rate=1e35"]].concat());
    assert_eq!(wild.code, 1, "{}{}", wild.stdout, wild.stderr);
    assert!(wild.stdout.contains("parity cot: transformer diverged at step "), "{}", wild.stdout);
    assert!(
        wild.stderr.contains("error: no model has a figure in any problem\nhint: lower train.learning_rate"),
        "{}",
        wild.stderr
    );
}

#[test]
fn mistakes_are_named_with_what_to_do() {
    let work = Work::new();
    work.write("suite.toml", "models = [\"llp\"]\nbudget = \"1k tokens\"\n[suite]\ntaks = [\"parity\"]\n");
    work.write("text.toml", "models = [\"llp\"]\nbudget = \"1k tokens\"\n[base.data]\nsources = [\"text.txt\"]\n[suite]\ntasks = [\"parity\"]\n");
    let refusal = |arguments: &str| work.run(&arguments.split(' ').collect::<Vec<_>>()).refusal();
    insta::assert_snapshot!(refusal("suite --tasks parity --budget 1tokens"), @r"
    exit 2
    error: no models to compare
    hint: for example --models llp,perceiver-ar,transformer
    ");
    insta::assert_snapshot!(refusal("suite --models llp --budget 1tokens"), @r"
    exit 2
    error: no problems to examine
    hint: for example --tasks parity,cycle-navigation
    ");
    insta::assert_snapshot!(refusal("suite --models llp --tasks parity"), @r"
    exit 2
    error: no budget given
    hint: --budget 20m, 6M tokens, 6M targets, or 1e15 flops: the same for every run
    ");
    insta::assert_snapshot!(refusal("suite --models llp --tasks parety --budget 1tokens"), @r"
    exit 2
    error: synthetic:parety?shortest=1&length=20&mode=direct: unknown problem `parety`
    hint: did you mean `parity`?
    ");
    insta::assert_snapshot!(refusal("suite --models llp --tasks parity --length 9 --beyond 9 --budget 1tokens"), @r"
    exit 2
    error: nothing can be asked beyond training: questions of 9 to 9, 64 of each length
    hint: --beyond must be above --length, and --exercises from 1 to 100000
    ");
    insta::assert_snapshot!(refusal("suite --models llp --tasks parity?length=9 --budget 1tokens"), @r"
    exit 2
    error: `parity?length=9`: the suite itself says what `length` is
    hint: leave it out; --length and --beyond hold for all problems
    ");
    insta::assert_snapshot!(refusal("suite suite.toml"), @r"
    exit 2
    error: suite.toml:4: unknown key `suite.taks`
    hint: did you mean `suite.tasks`?
    ");
    insta::assert_snapshot!(refusal("suite text.toml"), @r"
    exit 2
    error: text.toml:4: a suite makes its own text, so `data.sources` cannot be set
    hint: `percept compare` trains on a text of yours
    ");
    insta::assert_snapshot!(refusal("compare text.toml"), @r"
    exit 2
    error: the table [suite] asks problems, which is no comparison on a text
    hint: `percept suite FILE` trains and asks the models
    ");
    let both = refusal("suite text.toml --quick");
    assert!(both.starts_with("exit 2") && both.contains("cannot be used with"), "{both}");
    assert!(!work.path("suites").exists() && !work.path("out").exists());
}
