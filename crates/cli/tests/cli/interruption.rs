//! Interrupted runs go on bit for bit; a killed one loses at most the steps since its last checkpoint.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::Work;

const STEPS: &str = "120";
/// A step that takes longer than the test's look at the files.
const SLOWER: [&str; 6] = ["--set", "model.dim=64", "--set", "train.batch=8", "--set", "model.context=256"];

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["--steps", STEPS][..], &SLOWER, more].concat()
}

fn start(work: &Work, more: &[&str]) -> Child {
    let mut command = work.training(&arguments(more));
    // Whoever starts the tests under nohup has them, and us, ignore it.
    #[cfg(unix)]
    with_hangups(&mut command, libc::SIG_DFL);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Starts the command with another answer to SIGHUP than ours.
#[cfg(unix)]
fn with_hangups(command: &mut Command, handler: libc::sighandler_t) {
    use std::os::unix::process::CommandExt;

    // SAFETY: neither answer to a signal is code of ours.
    let set = move || match unsafe { libc::signal(libc::SIGHUP, handler) } {
        libc::SIG_ERR => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    };
    // SAFETY: between fork and exec, the closure makes one system call.
    unsafe { command.pre_exec(set) };
}

/// Waits until `reached` holds; fails where the process ends before that.
fn wait_until(child: &mut Child, mut reached: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !reached() {
        assert!(begin.elapsed() < Duration::from_secs(120), "nothing happens");
        assert!(child.try_wait().unwrap().is_none(), "the run ended too early");
        std::thread::yield_now();
    }
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: kill only sends a signal, to a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let mut lines: Vec<serde_json::Value> = Vec::new();
    for line in text.lines().map_while(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        match line["kind"] == "resumed" {
            true => lines.retain(|earlier| earlier["step"].as_u64() <= line["step"].as_u64()),
            false => lines.push(line),
        }
    }
    for line in &mut lines {
        // Time is no property of the run.
        for key in ["seconds", "tokens_per_second"] {
            line.as_object_mut().unwrap().remove(key);
        }
    }
    lines
}

fn assert_equal_runs(work: &Work, run: &str, other: &str) {
    let (run, other) = (work.path(run), work.path(other));
    assert_eq!(metrics(&run).len(), 121, "120 steps and a validation");
    assert_eq!(metrics(&run), metrics(&other));
    for file in ["model.safetensors", "optimizer.safetensors"] {
        let bytes = |run: &Path| std::fs::read(run.join("checkpoints/step-000120").join(file)).unwrap();
        assert!(bytes(&run) == bytes(&other), "{file} differs");
    }
}

#[test]
fn an_interrupted_run_equals_an_uninterrupted_one() {
    let work = Work::new();
    work.write("text.txt", &work_text());
    work.train(&arguments(&["--run", "whole"])).succeeds();

    let mut child = start(&work, &["--run", "cut"]);
    wait_until(&mut child, || metrics(&work.path("cut")).len() >= 3);
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    let stderr = work.without_paths(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("error: interrupted after step") && stderr.contains("hint: `percept resume"), "{stderr}");

    work.run(&["resume", "cut"]).succeeds();
    assert_equal_runs(&work, "cut", "whole");
}

#[cfg(unix)]
#[test]
fn what_the_system_sends_before_it_ends_a_process_saves_however_often_it_comes() {
    let work = Work::new();
    work.write("text.txt", &work_text());
    // Batch systems: USR1, USR2 or XCPU some time before the end, then TERM. A terminal that closes: HUP, twice.
    let ends = [[libc::SIGUSR1, libc::SIGTERM], [libc::SIGHUP, libc::SIGHUP], [libc::SIGUSR2, libc::SIGXCPU]];
    for (number, signals) in ends.into_iter().enumerate() {
        let run = format!("run{number}");
        let mut child = start(&work, &["--run", &run]);
        wait_until(&mut child, || metrics(&work.path(&run)).len() >= 3);
        signals.iter().for_each(|number| signal(&child, *number));
        let output = child.wait_with_output().unwrap();
        let stderr = work.without_paths(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{signals:?} {:?} {stderr}", output.status);
        assert!(stderr.contains("error: interrupted after step"), "{signals:?} {stderr}");
        assert_eq!(names(&work.path(&run).join("checkpoints")).len(), 1, "{signals:?}");
    }
    let resumed = work.run(&["resume", "run0"]).succeeds();
    assert!(resumed.stderr.contains("going on after step"), "{}", resumed.stderr);
}

#[cfg(unix)]
#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let work = Work::new();
    work.write("text.txt", &work_text());
    let mut command = work.training(&arguments(&[]));
    with_hangups(&mut command, libc::SIG_IGN);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(&mut child, || metrics(&work.path("run")).len() >= 3);
    signal(&child, libc::SIGHUP);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", work.without_paths(&output.stderr));
}

#[test]
fn a_run_killed_while_it_saves_goes_on_from_its_last_checkpoint() {
    let work = Work::new();
    work.write("text.txt", &work_text());
    work.train(&arguments(&["--run", "whole"])).succeeds();

    let mut child = start(&work, &["--run", "killed", "--set", "train.checkpoint_every=5"]);
    let checkpoints = work.path("killed/checkpoints");
    let half_saved = || names(&checkpoints).iter().any(|name| !name.starts_with("step-"));
    wait_until(&mut child, || !names(&checkpoints).iter().any(|name| name == "step-000005"));
    wait_until(&mut child, || names(&checkpoints).iter().any(|name| name == "step-000005") && half_saved());
    signal(&child, libc::SIGKILL);
    child.wait().unwrap();
    assert!(half_saved(), "killed in the middle of a save");

    let resumed = work.run(&["resume", "killed"]).succeeds();
    assert!(resumed.stderr.contains("going on after step"), "{}", resumed.stderr);
    assert!(!half_saved(), "what was half written is removed");
    assert_equal_runs(&work, "killed", "whole");
}

#[test]
fn a_truncated_checkpoint_is_passed_over_and_told() {
    let work = Work::new();
    work.train(&["--steps", "20", "--set", "train.checkpoint_every=10"]).succeeds();
    let model = work.path("run/checkpoints/step-000020/model.safetensors");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    let resumed = work.run(&["resume", "run"]).succeeds();
    assert!(resumed.stderr.contains("warning:") && resumed.stderr.contains("step-000020"), "{}", resumed.stderr);
    assert_eq!(std::fs::read(&model).unwrap(), bytes, "the same steps give the same weights");
}

/// Starts a command that tokenizes much text, interrupts it while it does, and looks at what is left.
fn interrupted_while_tokenizing(arguments: &[&str]) {
    let work = Work::new();
    work.run(&["tokenizer", "train", "text.txt", "--vocab", "300"]).succeeds();
    work.write("text.txt", &work_text().repeat(200));
    let tokens = work.path("cache/percept/tokens");
    let before = names(&tokens).len();
    let mut child = work.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(&mut child, || names(&tokens).iter().any(|name| name.ends_with(".partial")));
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    let stderr = work.without_paths(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("error: interrupted while reading text; nothing is left half written"), "{stderr}");
    assert_eq!(names(&tokens).len(), before, "nothing half written: {:?}", names(&tokens));
    assert!(!work.path("run").exists());
}

#[test]
fn an_interruption_while_tokenizing_for_a_run_ends_it_soon() {
    interrupted_while_tokenizing(&[
        "train",
        "llp-tiny",
        "--data",
        "text.txt",
        "--tokenizer",
        "tokenizer.json",
        "--run",
        "run",
    ]);
}

#[test]
fn an_interruption_while_tokenizing_for_figures_leaves_nothing() {
    interrupted_while_tokenizing(&["data", "stats", "text.txt", "--tokenizer", "tokenizer.json"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// More text than the run reads.
fn work_text() -> String {
    (0..20_000).map(|number| format!("{} ", number * number % 9973)).collect()
}
