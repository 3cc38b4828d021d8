//! `percept tune`: what is found and kept, going on after a kill, halving, trials without a figure, tables, and what wrong input gets.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Work;

/// Four configurations that train in a blink, from a preset made as small.
const SPEC: &str = r#"
preset = "llp-tiny"
budget = "4k tokens"
trials = 5
algorithm = "random"

[base.model]
dim = 16
depth = 1
heads = 2
context = 64
segment = 16

[base.train]
batch = 2
warmup = 1
validation_targets = 256
device = "cpu"

[space]
model.dim = [16, 24]
train.learning_rate = { log = [1e-3, 1e-2], points = 2 }
"#;

const TUNE: [&str; 6] = ["tune", "small.toml", "--data", "text.txt", "--out", "out"];

fn work(spec: &str) -> Work {
    let work = Work::new();
    work.write("small.toml", spec);
    work
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&TUNE[..], more].concat()
}

fn trials(report: &Value) -> &Vec<Value> {
    report["trials"].as_array().unwrap()
}

/// What is kept in a folder, without what the clock says.
fn timeless(path: &Path) -> Value {
    let mut report: Value = serde_json::from_str(&std::fs::read_to_string(path.join("tune.json")).unwrap()).unwrap();
    report["start"]["seconds"] = Value::Null;
    for trial in report["trials"].as_array_mut().unwrap() {
        trial["seconds"] = Value::Null;
    }
    report
}

fn runs(work: &Work, out: &str) -> BTreeSet<String> {
    let folders = std::fs::read_dir(work.path(out).join("runs")).into_iter().flatten().flatten();
    folders.map(|run| run.file_name().to_string_lossy().into_owned()).collect()
}

/// The runs whose weights are kept.
fn with_weights(work: &Work) -> Vec<String> {
    runs(work, "out").into_iter().filter(|run| work.path("out/runs").join(run).join("latest").exists()).collect()
}

#[test]
fn a_search_is_shown_and_kept_and_its_runs_are_used_again() {
    let work = work(SPEC);
    let first = work.run(&TUNE).succeeds();
    assert!(first.stdout.starts_with("small\n"), "{}", first.stdout);
    for part in ["learning_rate", "The best is trial ", "5 trials in ", "The configuration that it starts from has "] {
        assert!(first.stdout.contains(part), "{part}: {}", first.stdout);
    }
    for part in [
        "[1/6] start begins",
        "[2/6] trial 0: dim=",
        "report: out/report.html",
        "the best configuration: out/runs/point-",
    ] {
        assert!(first.stderr.contains(part), "{part}: {}", first.stderr);
    }
    let json = work.run(&with(&["--json"])).succeeds();
    assert!(!json.stderr.contains("begins"), "all runs are reused: {}", json.stderr);
    let report = json.json();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(work.path("out/tune.json")).unwrap()).unwrap();
    assert_eq!((&report, &report["state"], trials(&report).len()), (&written, &"finished".into(), 5));
    // The best has the lowest metric, and a folder with a configuration that trains as it did.
    let metric = |trial: &Value| trial["metric"].as_f64().unwrap();
    let best = &trials(&report)[report["best"].as_u64().unwrap() as usize];
    assert!(trials(&report).iter().all(|trial| metric(trial) >= metric(best)), "{report}");
    let run = work.path("out").join(best["folder"].as_str().unwrap());
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains(&format!("\ndim = {}\n", best["values"]["model.dim"])), "{config}");
    assert!(config.contains(&format!("\nlearning_rate = {}\n", best["values"]["train.learning_rate"])), "{config}");
    assert_eq!(with_weights(&work), [run.file_name().unwrap().to_string_lossy()], "nothing goes on from the others");
    // 31 steps of 128 tokens are the most that 4000 pay for; what was trained before costs nothing again.
    assert!(trials(&report).iter().all(|trial| trial["steps"] == 31), "{report}");
    let paid = trials(&report).iter().filter(|trial| trial["flops"].as_f64().unwrap() > 0.0).count();
    assert_eq!((paid, runs(&work, "out").len()), (runs(&work, "out").len() - 1, paid + 1));
    assert!(std::fs::read_to_string(work.path("out/report.html")).unwrap().contains("id=\"tried\""));

    // More trials are added to those that are there.
    let more = work.run(&with(&["--trials", "8", "--json"])).succeeds().json();
    assert_eq!(trials(&more)[..5], trials(&report)[..]);
    assert_eq!((trials(&more).len(), &more["start"]), (8, &report["start"]));
}

#[test]
fn a_killed_search_goes_on_and_finds_the_same() {
    let spec = SPEC.replace("trials = 5", "trials = 13\nseeds = [1, 2]\nhalving = { rungs = 2, factor = 3 }");
    let work = work(&spec.replace("[space]", "[space]\ntrain.warmup = [1, 2, 3]"));
    let tune =
        |out: &'static str| ["tune", "small.toml", "--data", "text.txt", "--algorithm", "reinforce", "--out", out];
    work.run(&tune("whole")).succeeds();
    // Killed as soon as a further run has begun, again and again.
    for round in 0..4 {
        let mut child = work.command(&tune("cut")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (begin, before) = (Instant::now(), runs(&work, "cut").len());
        while child.try_wait().unwrap().is_none() && runs(&work, "cut").len() <= before + round {
            assert!(begin.elapsed() < Duration::from_secs(120), "it does not go on");
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(runs(&work, "cut").len() > 3);
    work.run(&tune("cut")).succeeds();
    assert_eq!(timeless(&work.path("cut")), timeless(&work.path("whole")));
    assert_eq!(runs(&work, "cut"), runs(&work, "whole"));
    // A trial has one of the seeds, and keeps it where it is promoted.
    let whole = timeless(&work.path("whole"));
    let seeds: BTreeSet<(u64, u64)> = trials(&whole)
        .iter()
        .map(|trial| (trial["number"].as_u64().unwrap(), trial["seed"].as_u64().unwrap()))
        .collect();
    assert_eq!((seeds.len(), BTreeSet::from_iter(seeds.iter().map(|(_, seed)| *seed))), (10, BTreeSet::from([1, 2])));
}

#[test]
fn an_interrupted_search_says_how_it_goes_on() {
    let work = work(&SPEC.replace("4k tokens", "40M tokens"));
    let mut child = work.command(&TUNE).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let begun = |run: &String| {
        std::fs::metadata(work.path("out/runs").join(run).join("metrics.jsonl")).is_ok_and(|file| file.len() > 0)
    };
    while !runs(&work, "out").iter().any(begun) {
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
    assert!(stderr.contains("hint: the same `percept tune` command goes on from there"), "{stderr}");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(work.path("out/tune.json")).unwrap()).unwrap();
    assert_eq!((&written["state"], trials(&written).len()), (&"unfinished".into(), 0));
}

#[test]
fn with_halving_the_best_go_on_from_where_they_stand() {
    let work = work(SPEC);
    let report = work.run(&with(&["--halving=2", "--trials", "8", "--json"])).succeeds().json();
    let rungs: Vec<u64> = trials(&report).iter().map(|trial| trial["rung"].as_u64().unwrap()).collect();
    assert_eq!(rungs, [0, 0, 0, 1, 0, 0, 0, 1]);
    let metric = |trial: &Value| trial["metric"].as_f64().unwrap();
    let promoted = &trials(&report)[3];
    let first = trials(&report)[..3].iter().min_by(|a, b| metric(a).total_cmp(&metric(b))).unwrap();
    assert_eq!((&promoted["number"], &promoted["folder"]), (&first["number"], &first["folder"]));
    // A third of 31 steps, thrice; the promoted trial pays for the rest alone.
    assert_eq!((&first["steps"], &promoted["steps"]), (&10.into(), &30.into()));
    let flops = |trial: &Value| trial["flops"].as_f64().unwrap();
    assert!((flops(promoted) / flops(first) - 2.0).abs() < 1e-9, "{report}");
    // Its run was judged at both rungs, and not begun anew.
    let validated = |trial: &Value| -> Vec<u64> {
        let run = work.path("out").join(trial["folder"].as_str().unwrap());
        let lines = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "validation").map(|line| line["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(validated(promoted), [10, 20, 30]);
    let promoted_runs: Vec<&Value> =
        trials(&report).iter().filter(|trial| trial["rung"] == 1).map(|trial| &trial["folder"]).collect();
    let others: Vec<&Value> =
        trials(&report).iter().filter(|trial| !promoted_runs.contains(&&trial["folder"])).collect();
    assert!(
        !others.is_empty() && others.iter().all(|trial| validated(trial) == [10]),
        "the others stopped at their rung"
    );
    assert_eq!(report["best"].as_u64().map(|best| &trials(&report)[best as usize]["rung"]), Some(&1.into()));

    // The same configuration trained at once, in a grid, is as good to the last bit.
    let grid =
        ["tune", "small.toml", "--data", "text.txt", "--out", "grid", "--algorithm", "grid", "--halving=2", "--json"];
    let grid = work.run(&grid).succeeds().json();
    let same = trials(&grid).iter().find(|trial| trial["values"] == promoted["values"]).unwrap();
    assert_eq!(same["metric"], promoted["metric"]);
}

#[test]
fn trials_without_a_figure_are_counted_and_the_search_goes_on() {
    let work = work(&SPEC.replace("[16, 24]", "[15, 16]").replace("log = [1e-3, 1e-2]", "log = [1e-3, 1e35]"));
    let done = work.run(&with(&["--algorithm", "grid"])).succeeds();
    for part in [
        "4 trials in 2 runs: 1 finished, 1 diverged, 2 could not be trained.",
        "The first that diverged, trial 3: ",
        "The first that failed, trial 0: ",
    ] {
        assert!(done.stdout.contains(part), "{part}: {}{}", done.stdout, done.stderr);
    }
    assert!(done.stderr.contains("it is counted, and the search goes on"), "{}", done.stderr);
    // The same again, and nothing is trained twice.
    let again = work.run(&with(&["--algorithm", "grid"])).succeeds();
    assert_eq!((again.stdout, again.stderr.contains("begins")), (done.stdout, false));

    work.write("small.toml", &SPEC.replace("[16, 24]", "[15, 17]"));
    let none = work.run(&["tune", "small.toml", "--data", "text.txt", "--out", "none"]);
    assert_eq!(none.code, 1, "{}{}", none.stdout, none.stderr);
    assert!(
        none.stderr.contains("error: no trial has a figure; the first: model.heads = 2 does not divide model.dim = 1"),
        "{}",
        none.stderr
    );
    assert!(work.path("none/report.html").is_file());
}

#[test]
fn a_grid_leaves_a_table_in_which_searches_can_be_repeated() {
    let work = work(&format!("seeds = [1, 2]\nhalving = {{ rungs = 2, factor = 3 }}\n{SPEC}"));
    let report = work.run(&with(&["--algorithm", "grid", "--json"])).succeeds().json();
    assert_eq!((trials(&report).len(), &report["start"], &report["planned"]), (8, &Value::Null, &8.into()));
    let space = percept::tune::Space::read(&work.path("out/space.toml")).unwrap();
    let table = percept::tune::Table::read(&work.path("out/table.csv.zst"), space).unwrap();
    // Of two seeds the table has the mean.
    for pair in trials(&report).chunks(2) {
        assert_eq!((&pair[0]["point"], &pair[0]["seed"], &pair[1]["seed"]), (&pair[1]["point"], &1.into(), &2.into()));
        let point: Vec<usize> = serde_json::from_value(pair[0]["point"].clone()).unwrap();
        let mean = pair.iter().map(|trial| trial["metric"].as_f64().unwrap()).sum::<f64>() / 2.0;
        assert!((table.truth(&point).unwrap() - mean).abs() < 1e-12);
        // What the rungs cost is the work up to there.
        let (_, first) = table.look_up(&point, 0, 0.0, 1.0 / 3.0).unwrap();
        let (_, rest) = table.look_up(&point, 0, 1.0 / 3.0, 1.0).unwrap();
        assert!((rest / first - 2.0).abs() < 1e-9 && (first + rest - pair[0]["flops"].as_f64().unwrap()).abs() < 1.0);
    }
}

#[test]
fn what_would_run_is_shown_and_nothing_is_written() {
    let work = work(&format!("parameters = 20_000\n{SPEC}").replace("[16, 24]", "[16, 15]"));
    let shown = work.run(&with(&["--dry-run", "--halving=2"])).succeeds();
    for part in [
        "learning_rate  0.001 | 0.01",
        "random over 4 configurations: 5 trials, which take 3.0 whole budgets at most",
        "2 of the 4 looked at cannot be trained: the first, model.dim = 15, train.learning_rate = 0.001: ",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let preview = work.run(&with(&["--dry-run", "--json"])).succeeds().json();
    assert_eq!((&preview["configurations"], &preview["unusable"]), (&4.into(), &2.into()));
    let parameters = preview["parameters"].as_f64().unwrap();
    assert!((parameters / 20_000.0 - 1.0).abs() < 0.02, "{parameters}");
    assert!(!work.path("out").exists());
}

#[test]
fn mistakes_in_a_file_are_named_with_what_to_do() {
    let work = work(SPEC);
    work.write("typo.toml", &SPEC.replace("trials", "trails"));
    work.write("key.toml", &SPEC.replace("train.learning_rate = {", "train.seconds = {"));
    work.write("time.toml", &SPEC.replace("4k tokens", "3m"));
    work.write("base.toml", &SPEC.replace("batch = 2", "batch = 2\nsteps = 3"));
    work.write("preset.toml", &SPEC.replace("llp-tiny", "lp-tiny"));
    let refusal = |arguments: &str| work.run(&arguments.split(' ').collect::<Vec<_>>()).refusal();
    insta::assert_snapshot!(refusal("tune typo.toml --data text.txt"), @r"
    exit 2
    error: typo.toml:4: unknown key `trails`
    hint: did you mean `trials`?
    ");
    insta::assert_snapshot!(refusal("tune key.toml --data text.txt"), @r"
    exit 2
    error: key.toml:22: `train.seconds` cannot be searched
    hint: say it as the budget
    ");
    insta::assert_snapshot!(refusal("tune time.toml --data text.txt"), @r#"
    exit 2
    error: a budget of time depends on what else the machine does, and a search that goes on must find the same
    hint: --budget "6M tokens", "6M targets", or "1e15 flops": what one whole trial may use
    "#);
    insta::assert_snapshot!(refusal("tune base.toml --data text.txt"), @r"
    exit 2
    error: base.toml:16: `train.steps` is not for [base]
    hint: say it as the budget
    ");
    insta::assert_snapshot!(refusal("tune preset.toml --data text.txt"), @r"
    exit 2
    error: preset.toml:2: unknown preset `lp-tiny`
    hint: did you mean `llp-tiny`?
    ");
    insta::assert_snapshot!(refusal("tune none.toml"), @r"
    exit 3
    error: cannot read none.toml: No such file or directory (os error 2)
    hint: check the path
    ");
    assert!(!work.path("tunings").exists());
}

#[test]
fn mistakes_in_a_command_are_named_with_what_to_do() {
    let work = work(SPEC);
    let refusal = |arguments: &str| work.run(&arguments.split(' ').collect::<Vec<_>>()).refusal();
    insta::assert_snapshot!(refusal("tune small.toml"), @r"
    exit 2
    error: no text given: data.sources is empty
    hint: name a file or a folder, as in `--data my-texts/`
    ");
    insta::assert_snapshot!(refusal("tune small.toml --data text.txt --algorithm tpa"), @r"
    exit 2
    error: --algorithm: there is no algorithm `tpa`
    hint: did you mean `tpe`?
    ");
    insta::assert_snapshot!(refusal("tune small.toml --data text.txt --halving=9"), @r"
    exit 2
    error: halving with 9 rungs by 3
    hint: take 1 to 6 rungs, and a factor of 2 to 10
    ");
    insta::assert_snapshot!(refusal("tune small.toml --data text.txt --set data.split.validation=0"), @r"
    exit 2
    error: trials are judged on the validation text, and there is none
    hint: give one with --validation, or more text with --data, of which a part is held out
    ");
    work.train(&["--steps", "1"]).succeeds();
    insta::assert_snapshot!(refusal("tune small.toml --data text.txt --out run"), @r"
    exit 2
    error: run already holds a run
    hint: choose another folder
    ");
    assert!(!work.path("tunings").exists());
}
