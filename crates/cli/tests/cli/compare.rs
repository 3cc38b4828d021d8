//! `percept compare`: the answer, going on after an interruption, and what wrong input gets.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Work;

/// Two models that train in seconds.
const SPEC: &str = r#"
models = ["llp", "perceiver-ar"]
budget = "6k tokens"
points = 5

[base.model]
dim = 16
depth = 2
heads = 2
context = 64
segment = 16
latents = 32

[base.train]
batch = 2
learning_rate = 0.01
validation_targets = 512
device = "cpu"

[base.sample]
tokens = 8
"#;

fn work(spec: &str) -> Work {
    let work = Work::new();
    work.write("two.toml", spec);
    work
}

/// The report without what the clock and the memory say.
fn timeless(mut report: Value) -> Value {
    report["timing"] = Value::Null;
    report["readings"].as_array_mut().unwrap().retain(|reading| reading["axis"] != "seconds");
    for model in report["models"].as_array_mut().unwrap() {
        for key in ["seconds", "tokens_per_second", "targets_per_second", "measured_peak_memory_bytes"] {
            model["usage"][key] = Value::Null;
        }
        for point in model["runs"][0]["curve"].as_array_mut().unwrap() {
            point["seconds"] = Value::Null;
        }
    }
    report
}

#[test]
fn two_models_are_compared_and_the_answer_is_kept() {
    let work = work(SPEC);
    let compare = ["compare", "two.toml", "--data", "text.txt", "--out", "out"];
    let first = work.run(&compare).succeeds();
    assert!(first.stdout.starts_with("two\n"), "{}", first.stdout);
    let said = first.stdout.replace("\n  ", " ");
    for part in [
        "bits/byte",
        "order-2 bytes",
        "all are under-trained",
        "Budget of every run: 6000 tokens; scored by sliding window",
        "Seconds of training: timed side by side after training: median of 15 steps",
    ] {
        assert!(said.contains(part), "{part}: {}", first.stdout);
    }
    // `percept report` says the same.
    let again = work.run(&["report", "out"]).succeeds();
    assert_eq!(first.stdout.split_once('\n').unwrap().1, again.stdout);
    assert!(first.stderr.contains("[1/2] llp seed 1 begins"), "{}", first.stderr);

    let json = work.run(&[&compare[..], &["--json"]].concat()).succeeds();
    assert!(!json.stderr.contains("begins"), "both runs are reused: {}", json.stderr);
    let report = json.json();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(work.path("out/report.json")).unwrap()).unwrap();
    assert_eq!(report, written);
    assert_eq!((&report["state"], &report["budget"]["kind"]), (&"finished".into(), &"tokens".into()));
    assert_eq!(report["fairness"]["data_order"][0]["equal"], true);
    assert_eq!((report["timing"]["models"].as_array().unwrap().len(), &report["timing"]["rounds"]), (2, &5.into()));
    for model in report["models"].as_array().unwrap() {
        assert_eq!(model["usage"]["tokens"], 46 * 128, "46 steps of 128 tokens are the most that 6000 pay for");
        assert!(model["test"]["mean"].as_f64().unwrap() < 8.0, "{model}");
        assert!(work.path("out").join(model["runs"][0]["folder"].as_str().unwrap()).join("config.toml").is_file());
    }
}

#[test]
fn an_interrupted_comparison_goes_on_with_the_same_command() {
    let work = work(&SPEC.replace("dim = 16", "dim = 64").replace("batch = 2", "batch = 8"));
    let long = (0..20_000).map(|number| format!("{} ", number * number % 9973)).collect::<String>();
    work.write("text.txt", &long);
    let compare =
        |out: &'static str| ["compare", "two.toml", "--data", "text.txt", "--budget", "40k tokens", "--out", out];
    work.run(&compare("whole")).succeeds();

    let mut child = work.command(&compare("cut")).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let runs = work.path("cut/runs");
    let lines = || -> usize {
        let folders = std::fs::read_dir(&runs).into_iter().flatten().flatten();
        folders
            .map(|run| std::fs::read_to_string(run.path().join("metrics.jsonl")).unwrap_or_default().lines().count())
            .sum()
    };
    while lines() < 2 {
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
    assert!(stderr.contains("hint: the same `percept compare` command goes on"), "{stderr}");

    work.run(&compare("cut")).succeeds();
    let report = |out: &str| -> Value {
        timeless(serde_json::from_str(&std::fs::read_to_string(work.path(out).join("report.json")).unwrap()).unwrap())
    };
    assert_eq!(report("cut"), report("whole"));
}

#[test]
fn a_model_that_diverges_does_not_end_the_comparison() {
    let wild = "\n[[model]]\nname = \"wild\"\npreset = \"llp\"\nset = { train.learning_rate = 1e35 }\n";
    let models = |names: &[&str]| -> String {
        names.iter().map(|name| format!("\n[[model]]\nname = \"{name}\"\n")).collect::<String>() + wild
    };
    let text = SPEC.replace("models = [\"llp\", \"perceiver-ar\"]\n", "").replace("6k tokens", "1k tokens");
    let work = work(&(text.clone() + &models(&["llp", "transformer"])));
    let compare = ["compare", "two.toml", "--data", "text.txt", "--out", "out"];
    let first = work.run(&compare).succeeds();
    assert!(
        first.stdout.contains("wild diverged at step 1 and has no place: training diverged: the "),
        "{}",
        first.stdout
    );
    assert!(first.stderr.contains("warning: wild seed 1: training diverged"), "{}", first.stderr);
    assert!(
        first.stderr.contains("warning: wild diverged at step 1: it is not compared; remove out/runs/wild-seed-1-")
    );
    let again = work.run(&[&compare[..], &["--json"]].concat()).succeeds();
    assert!(!again.stderr.contains("begins") && again.stderr.contains("wild diverged at step 1"), "{}", again.stderr);
    let report = again.json();
    let model = |name: &str| -> Value {
        report["models"].as_array().unwrap().iter().find(|model| model["name"] == name).unwrap().clone()
    };
    assert_eq!(report["state"], "finished");
    assert_eq!((&model("wild")["failure"]["kind"], &model("wild")["failure"]["step"]), (&"diverged".into(), &1.into()));
    assert!(
        model("wild")["rank"].is_null() && model("llp")["rank"].is_u64() && model("transformer")["test"].is_object()
    );
    let page = std::fs::read_to_string(work.path("out/report.html")).unwrap();
    let table = std::fs::read_to_string(work.path("out/report.csv")).unwrap();
    assert!(page.contains("diverged at step 1") && table.contains(",diverged at step 1"));
    let rendered = work.run(&["report", "out"]).succeeds();
    assert!(rendered.stdout.contains("wild diverged at step 1"), "{}", rendered.stdout);

    // With one model left, nothing is compared; all of it is reported nevertheless.
    work.write("one.toml", &(text + &models(&["llp"])));
    let one = work.run(&["compare", "one.toml", "--data", "text.txt", "--out", "out"]);
    assert_eq!(one.code, 1, "{}{}", one.stdout, one.stderr);
    assert!(
        one.stderr.contains("error: 1 of 2 models have no result, so nothing is compared\nhint: "),
        "{}",
        one.stderr
    );
    assert!(one.stdout.contains("wild diverged at step 1") && !one.stderr.contains("begins"), "{}", one.stderr);
}

#[test]
fn a_dry_run_trains_nothing() {
    let work = work(SPEC);
    let shown =
        work.run(&["compare", "two.toml", "--data", "text.txt", "--seeds", "1,2", "--dry-run", "--json"]).succeeds();
    let preview = shown.json();
    assert_eq!((&preview["runs"], &preview["models"][0]["steps"]), (&4.into(), &46.into()));
    let text = work.run(&["compare", "two.toml", "--data", "text.txt", "--dry-run"]).succeeds();
    assert!(text.stdout.contains("budget of every run: 6000 tokens"), "{}", text.stdout);
    assert!(!work.path("comparisons").exists());
}

#[test]
fn wrong_input_is_named_with_its_place() {
    let refusal = |spec: &str, more: &[&str]| {
        let arguments = [&["compare", "two.toml", "--data", "text.txt"][..], more].concat();
        work(spec).run(&arguments).refusal()
    };
    let key = refusal("modells = []\n", &[]);
    assert_eq!(key, "exit 2\nerror: two.toml:1: unknown key `modells`\nhint: did you mean `models`?\n");
    let base = refusal(&SPEC.replace("depth = 2", "dept = 2"), &[]);
    assert!(
        base.contains("two.toml:8: unknown key `base.model.dept`\nhint: did you mean `base.model.depth`?"),
        "{base}"
    );
    let model = refusal(&SPEC.replace("\"llp\"", "\"llpp\""), &[]);
    assert!(
        model.contains("exit 2\nerror: two.toml:2: there is no model `llpp`\nhint: did you mean `llp`?"),
        "{model}"
    );
    let budget = refusal(SPEC, &["--budget", "6M"]);
    assert!(budget.contains("exit 2\nerror: budget `6M`: unknown unit"), "{budget}");
    let steps = refusal(SPEC, &["--set", "train.steps=3"]);
    assert!(
        steps.contains("--set train.steps=3: `train.steps` is not for [base]\nhint: say it as the budget"),
        "{steps}"
    );
    let nothing = Work::new().run(&["compare", "--budget", "1m", "--data", "text.txt"]).refusal();
    assert!(nothing.contains("exit 2\nerror: no models to compare"), "{nothing}");
}

#[test]
fn without_a_test_text_nothing_is_trained() {
    let work = work(SPEC);
    work.write("one-byte.txt", "a");
    let compare = ["compare", "two.toml", "--data", "one-byte.txt", "--out", "out"];
    let refusal = work.run(&compare).refusal();
    let reason = "\nerror: models are ranked by the test text, and there is none\nhint: give more text with --data";
    assert!(refusal.starts_with("exit 2\n") && refusal.contains(reason), "{refusal}");
    assert!(!work.path("out").exists());
    work.run(&[&compare[..], &["--set", "data.test=[\"text.txt\"]", "--dry-run"]].concat()).succeeds();
}

#[test]
fn no_report_comes_among_the_files_of_a_run() {
    let work = work(SPEC);
    work.train(&["--steps", "1"]).succeeds();
    let refusal = work.run(&["compare", "two.toml", "--data", "text.txt", "--out", "run"]).refusal();
    assert_eq!(refusal, "exit 2\nerror: run already holds a run\nhint: choose another folder\n");
    assert!(!work.path("run/report.json").exists() && !work.path("run/runs").exists());
}
