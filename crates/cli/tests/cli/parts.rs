//! `plan`, `run` and `assemble`: comparisons and suites as tasks of a batch system.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Finished, Work};

/// Two models, a search of the learning rate, and a further seed for the better one.
const SPEC: &str = r#"
models = ["llp", "perceiver-ar"]
budget = "4k tokens"
points = 5
sweep = { lr = 2, fraction = 0.2 }
finalists = { models = 1, seeds = [2] }

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

const ARGUMENTS: [&str; 5] = ["two.toml", "--data", "text.txt", "--out", "out"];

fn work() -> Work {
    let work = Work::new();
    work.write("two.toml", SPEC);
    work
}

/// `percept compare ACTION` with the arguments that all actions share.
fn compare(work: &Work, action: &[&str]) -> Finished {
    work.run(&[&["compare"], action, &ARGUMENTS].concat())
}

fn json(work: &Work, path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(work.path(path)).unwrap()).unwrap()
}

/// A report without what the clock and the memory say.
fn timeless(mut report: Value) -> Value {
    report["readings"].as_array_mut().unwrap().retain(|reading| reading["axis"] != "seconds");
    forget_times(&mut report);
    report
}

fn forget_times(value: &mut Value) {
    const TIMES: [&str; 5] =
        ["timing", "seconds", "tokens_per_second", "targets_per_second", "measured_peak_memory_bytes"];
    match value {
        Value::Object(keys) => {
            keys.retain(|key, _| !TIMES.contains(&key.as_str()));
            keys.values_mut().for_each(forget_times);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_times),
        _ => {}
    }
}

#[test]
fn tasks_assembled_are_the_report_of_the_plain_command() {
    let work = work();
    work.run(&["compare", "two.toml", "--data", "text.txt", "--out", "whole"]).succeeds();
    let plan = compare(&work, &["plan", "--json"]).succeeds().json();
    let stages: Vec<(&str, u64)> = plan["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| (stage["stage"].as_str().unwrap(), stage["tasks"].as_u64().unwrap()))
        .collect();
    assert_eq!(stages, [("sweep", 4), ("runs", 2), ("finalists", 1)]);
    assert_eq!(plan["tasks"].as_array().unwrap().len(), 7);
    assert!(!work.path("out").exists(), "a plan touches nothing");

    let early = compare(&work, &["assemble"]).refusal();
    assert!(early.starts_with("exit 3\nerror: 7 of 7 runs are not finished: llp lr 7.07e-3, "), "{early}");
    // Slurm's variable, Kubernetes' with a stage, and numbers.
    for number in ["3", "0", "2", "1"] {
        let mut task = work.command(&[&["compare", "run"], &ARGUMENTS[..]].concat());
        work.finished(task.env("SLURM_ARRAY_TASK_ID", number).output().unwrap()).succeeds();
    }
    let mut task = work.command(&[&["compare", "run", "--stage", "runs"], &ARGUMENTS[..]].concat());
    work.finished(task.env("JOB_COMPLETION_INDEX", "1").output().unwrap()).succeeds();
    let begun = compare(&work, &["plan"]).succeeds().stdout;
    assert!(
        begun.lines().any(|line| line.starts_with("finalist 1 seed 2") && line.ends_with("waits for others")),
        "{begun}"
    );
    let waits = compare(&work, &["run", "--task", "6"]).refusal();
    let reason = "exit 3\nerror: finalist 1 seed 2 waits for runs that are not finished: llp seed 1\nhint: ";
    assert!(waits.starts_with(reason), "{waits}");
    let run = compare(&work, &["run", "--task", "4"]).succeeds();
    assert!(run.stdout == "llp seed 1: finished\n" && run.stderr.contains("[1/2] llp seed 1 begins"), "{}", run.stderr);
    let again = compare(&work, &["run", "--task", "4"]).succeeds();
    assert!(again.stdout == "llp seed 1: finished already\n" && !again.stderr.contains("begins"), "{}", again.stderr);
    compare(&work, &["run", "--task", "6"]).succeeds();
    assert!(!work.path("out/report.json").exists(), "no task writes what others write, too");

    let assembled = compare(&work, &["assemble", "--json"]).succeeds();
    assert!(!assembled.stderr.contains("begins"), "{}", assembled.stderr);
    assert_eq!(assembled.json(), json(&work, "out/report.json"));
    assert_eq!(timeless(json(&work, "out/report.json")), timeless(json(&work, "whole/report.json")));
    assert!(work.path("out/report.html").is_file() && work.path("out/report.csv").is_file());
}

#[cfg(unix)]
#[test]
fn a_task_that_is_preempted_saves_and_goes_on_when_it_is_requeued() {
    let work = Work::new();
    let slower = SPEC.replace("dim = 16", "dim = 64").replace("batch = 2", "batch = 8").replace("4k", "40k");
    work.write("two.toml", &slower.replace("sweep = ", "# sweep = ").replace("finalists = ", "# finalists = "));
    work.write("text.txt", &(0..20_000).map(|number| format!("{} ", number * number % 9973)).collect::<String>());
    work.run(&["compare", "two.toml", "--data", "text.txt", "--out", "whole"]).succeeds();
    for (task, signal) in [("0", libc::SIGUSR1), ("1", libc::SIGTERM)] {
        let arguments = [&["compare", "run", "--task", task], &ARGUMENTS[..]].concat();
        let mut child = work.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let begin = Instant::now();
        let name = if task == "0" { "llp-seed-1" } else { "perceiver-ar-seed-1" };
        while !has_metrics(&work, name) {
            let waits = begin.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none();
            assert!(waits, "it ended too early");
            std::thread::yield_now();
        }
        // SAFETY: kill only sends a signal, to a child of ours that has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        let ended = work.finished(child.wait_with_output().unwrap());
        assert_eq!(ended.code, 130, "{}", ended.stderr);
        let hint = "hint: the same `percept compare run` command goes on from there";
        assert!(ended.stderr.contains("error: interrupted; ") && ended.stderr.contains(hint), "{}", ended.stderr);
        work.run(&arguments).succeeds();
    }
    compare(&work, &["assemble"]).succeeds();
    assert_eq!(timeless(json(&work, "out/report.json")), timeless(json(&work, "whole/report.json")));
}

/// Whether the run whose folder begins so has logged anything.
#[cfg(unix)]
fn has_metrics(work: &Work, name: &str) -> bool {
    let runs = std::fs::read_dir(work.path("out/runs")).into_iter().flatten().flatten();
    let mut own = runs.filter(|run| run.file_name().to_string_lossy().starts_with(name));
    own.any(|run| std::fs::metadata(run.path().join("metrics.jsonl")).is_ok_and(|file| file.len() > 0))
}

#[test]
fn a_suite_is_run_in_tasks_too() {
    let work = Work::new();
    let small = "models = [\"transformer\"]\nbudget = \"600 tokens\"\npoints = 2\n\
                 base.model.dim = 16\nbase.model.depth = 1\nbase.train.batch = 8\n\
                 [suite]\ntasks = [\"parity\"]\nlength = 2\nexercises = 2\n";
    work.write("small.toml", small);
    work.run(&["suite", "small.toml", "--out", "whole"]).succeeds();
    let suite = |action: &[&str]| work.run(&[&["suite"], action, &["small.toml", "--out", "out"]].concat());
    let early = suite(&["assemble"]).refusal();
    assert!(early.contains("error: 2 of 2 runs are not finished: parity direct transformer seed 1, "), "{early}");
    for task in ["1", "0"] {
        let run = suite(&["run", "--task", task]).succeeds();
        assert!(run.stderr.contains("examining parity "), "{}", run.stderr);
    }
    assert_eq!(
        suite(&["run", "--task", "0"]).succeeds().stdout,
        "parity direct transformer seed 1: finished already\n"
    );
    let plan = suite(&["plan", "--json"]).succeeds().json();
    assert_eq!((&plan["tasks"][1]["state"], plan["tasks"].as_array().unwrap().len()), (&"finished".into(), 2));
    let assembled = suite(&["assemble"]).succeeds();
    assert!(!assembled.stderr.contains("begins"), "{}", assembled.stderr);
    assert_eq!(json(&work, "out/suite.json"), json(&work, "whole/suite.json"));
}

#[test]
fn mistakes_are_named_with_what_to_do() {
    let work = work();
    let refusal = |action: &[&str]| compare(&work, action).refusal();
    insta::assert_snapshot!(refusal(&["run"]), @r"
    exit 2
    error: nothing says which task to run
    hint: --task N, or SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX in the environment; `plan` lists the tasks
    ");
    insta::assert_snapshot!(refusal(&["run", "--task", "7"]), @r"
    exit 2
    error: there is no task 7
    hint: the tasks are 0 to 6; `plan` lists them
    ");
    insta::assert_snapshot!(refusal(&["run", "--task", "2", "--stage", "runs"]), @r"
    exit 2
    error: there is no task 2 in the stage runs
    hint: its tasks are 0 to 1
    ");
    insta::assert_snapshot!(refusal(&["run", "--task", "0", "--stage", "run"]), @r"
    exit 2
    error: invalid value 'run' for '--stage <STAGE>' [possible values: sweep, runs, finalists]
    hint: did you mean `runs`?
    ");
    insta::assert_snapshot!(refusal(&["run", "--task", "0", "--precision", "auto"]), @r"
    exit 2
    error: train.precision is auto: machines that share a comparison may not choose alike
    hint: --precision f32, or --precision bf16 where all of them have it
    ");
    insta::assert_snapshot!(refusal(&["assemble", "--dry-run"]), @r"
    exit 2
    error: unexpected argument '--dry-run' found
    hint: `percept compare assemble --help` shows what is accepted
    ");
    let before = work.run(&["compare", "--budget", "1m", "plan", "two.toml"]).refusal();
    assert!(before.ends_with("\nhint: all arguments stand behind the name of the action\n"), "{before}");
    let task = |value: &str| {
        let mut task = work.command(&[&["compare", "run"], &ARGUMENTS[..]].concat());
        work.finished(task.env("SLURM_ARRAY_TASK_ID", value).output().unwrap()).refusal()
    };
    insta::assert_snapshot!(task("x"), @r"
    exit 2
    error: environment variable SLURM_ARRAY_TASK_ID: `x` is no number
    hint: --task N says which task to run
    ");
    assert!(!work.path("out").exists());
}
