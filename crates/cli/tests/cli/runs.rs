//! `percept runs` over real run folders, and the event files of a run.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::Work;

/// A work folder with three runs below `runs`: one finished, one of another width, one broken.
fn work() -> Work {
    let work = Work::new();
    work.train(&["--run", "runs/first", "--steps", "12", "--set", "train.validate_every=4"]).succeeds();
    work.train(&["--run", "runs/deep/wide", "--steps", "3", "--set", "model.dim=32"]).succeeds();
    work.write("runs/half/metrics.jsonl", "{\"kind\":\"trai");
    work
}

fn column(work: &Work, arguments: &[&str], key: &str) -> Vec<serde_json::Value> {
    let list = work.run(&[&["runs", "list", "--json"], arguments].concat()).succeeds().json();
    list["runs"].as_array().unwrap().iter().map(|run| run[key].clone()).collect()
}

#[test]
fn runs_are_listed_with_what_is_wrong_with_them() {
    let work = work();
    assert_eq!(column(&work, &[], "run"), ["runs/deep/wide", "runs/first", "runs/half"]);
    assert_eq!(column(&work, &[], "status"), ["finished", "finished", "broken"]);
    assert_eq!(column(&work, &["--sort", "step"], "step"), [12, 3, 0]);
    assert_eq!(column(&work, &["--sort", "parameters"], "run")[0], "runs/deep/wide");
    assert_eq!(column(&work, &["--sort", "loss"], "run")[2], "runs/half");
    assert_eq!(column(&work, &["runs/first"], "tokens"), [12 * 2 * 64]);
    let text = work.run(&["runs", "list"]).succeeds().stdout;
    let first = text.lines().find(|line| line.starts_with("runs/first")).unwrap();
    assert!(first.contains("12/12") && first.contains("finished") && first.contains("llp"), "{text}");
    assert!(text.contains("runs/half: it has no config.toml"), "{text}");
    assert_eq!(work.run(&["runs", "list", "runs/half/none"]).code, 3);
    std::fs::create_dir(work.path("empty")).unwrap();
    assert_eq!(work.run(&["runs", "list", "empty"]).succeeds().stdout, "no runs in empty\n");
}

#[test]
fn a_run_is_shown_with_its_curves() {
    let work = work();
    let shown = work.run(&["runs", "show", "runs/first"]).succeeds().stdout;
    for part in ["finished", "12/12", "training loss, bits per byte", "validation loss, bits per byte", "█"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let json = work.run(&["runs", "show", "runs/first", "--json"]).succeeds().json();
    assert_eq!((json["metrics"].as_array().unwrap().len(), json["status"].as_str()), (15, Some("finished")));
    assert_eq!(json["checkpoints"].as_array().unwrap().last(), Some(&12.into()));
    insta::assert_snapshot!(work.run(&["runs", "show", "runs/half"]).refusal(), @r"
    exit 3
    error: runs/half is no run folder: it has no config.toml
    hint: name the folder that `percept train` wrote, e.g. runs/my-run
    ");
}

#[test]
fn two_runs_are_compared() {
    let work = work();
    let json = work.run(&["runs", "diff", "runs/first", "runs/deep/wide", "--json"]).succeeds().json();
    let keys: Vec<&String> = json["keys"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["model.dim", "train.steps", "train.validate_every"]);
    assert_eq!(json["keys"]["model.dim"], serde_json::json!([16, 32]));
    assert_eq!(json["results"][0]["step"], 12);
    let text = work.run(&["runs", "diff", "runs/first", "runs/deep/wide"]).succeeds().stdout;
    assert!(text.contains("model.dim") && text.contains("best validation"), "{text}");
    let same = work.run(&["runs", "diff", "runs/first", "runs/first"]).succeeds().stdout;
    assert!(same.starts_with("the configurations are equal"), "{same}");
    assert_eq!(work.run(&["runs", "diff", "runs/first"]).code, 2);
    assert_eq!(work.run(&["runs", "diff", "runs/first", "runs/half"]).code, 3);
}

#[test]
fn a_diverged_run_is_told_from_an_interrupted_one() {
    let work = Work::new();
    let diverged = work.train(&["--steps", "40", "--set", "train.learning_rate=1e35", "--set", "train.warmup=0"]);
    assert_eq!(diverged.code, 1, "{}", diverged.stderr);
    assert_eq!(column(&work, &["run"], "status"), ["diverged"]);
    let problem = column(&work, &["run"], "problem");
    assert!(problem[0].as_str().unwrap().contains("training diverged"), "{problem:?}");
    work.train(&["--steps", "2", "--run", "good"]).succeeds();
    let diff = work.run(&["runs", "diff", "run", "good"]).succeeds().stdout;
    assert!(diff.contains("problem") && diff.contains("training diverged: the "), "{diff}");
}

/// Starts `runs watch` on `run`, with its output piped.
fn watch(work: &Work, more: &[&str]) -> Child {
    let arguments = [&["runs", "watch", "run"], more].concat();
    work.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads the child's stdout until it holds `part`.
fn read_until(child: &mut Child, part: &str) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&text).contains(part) {
        let count = child.stdout.as_mut().unwrap().read(&mut buffer).unwrap();
        assert!(count > 0, "ended before {part}: {}", String::from_utf8_lossy(&text));
        text.extend(&buffer[..count]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_run_that_is_not_there_yet_is_watched_to_its_end() {
    let work = Work::new();
    let mut child = watch(&work, &[]);
    let mut text = read_until(&mut child, "waiting");
    work.train(&["--steps", "12", "--set", "train.validate_every=6"]).succeeds();
    child.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for step in 1..=12 {
        assert_eq!(text.matches(&format!("step {step}/12: ")).count(), 1, "{text}");
    }
    assert!(text.contains("step 6: validation") && text.ends_with("finished at step 12\n"), "{text}");
    assert!(!text.contains('\x1b'), "no terminal, no drawing");
}

#[test]
fn a_watched_run_may_be_resumed() {
    let work = Work::trained(8);
    let metrics = work.path("run/metrics.jsonl");
    // As if it had gone on to step 9 and lost that step.
    let text = std::fs::read_to_string(&metrics).unwrap();
    let ninth = text.lines().nth(6).unwrap().replace("\"step\":7", "\"step\":9");
    std::fs::write(&metrics, format!("{text}{ninth}\n")).unwrap();
    let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
    std::fs::write(work.path("run/config.toml"), config.replace("steps = 8\n", "steps = 10\n")).unwrap();
    let mut child = watch(&work, &["--json"]);
    let mut text = read_until(&mut child, "\"status\":\"interrupted\"");
    work.run(&["resume", "run"]).succeeds();
    child.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| -> Vec<u64> {
        events.iter().filter(|event| event["kind"] == kind).map(|event| event["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(of("train"), [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10]);
    assert_eq!(of("resumed"), [8]);
    assert_eq!(events.last().unwrap()["status"], "finished");
}

#[test]
fn watching_ends_with_an_interruption() {
    let work = Work::new();
    let mut child = watch(&work, &[]);
    read_until(&mut child, "waiting");
    // SAFETY: kill only sends a signal, to a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_a_run_is_drawn_in_place() {
    use std::fs::File;
    use std::os::fd::{FromRawFd, OwnedFd};

    let work = Work::trained(12);
    let (mut master, mut slave) = (0, 0);
    let size = libc::winsize { ws_row: 40, ws_col: 70, ws_xpixel: 0, ws_ypixel: 0 };
    let none = std::ptr::null_mut();
    // SAFETY: two places for the numbers of files, and a size that outlives the call.
    assert_eq!(unsafe { libc::openpty(&mut master, &mut slave, none, none.cast(), &size) }, 0);
    // SAFETY: openpty has just opened these, and nobody else owns them.
    let (mut master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let mut command = work.command(&["runs", "watch", "run"]);
    let mut child = command.stdout(slave).env("TERM", "xterm").spawn().unwrap();
    drop(command);
    let mut text = Vec::new();
    // Linux reports the end of a terminal as an error.
    let _ = master.read_to_end(&mut text);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    assert!(text.starts_with("run: finished at step 12\x1b[K\n") && text.contains("training loss"), "{text}");
    assert!(text.lines().all(|line| line.replace("\x1b[K", "").chars().count() <= 70), "{text}");
}

/// Records of an event file, by their lengths.
fn records(folder: &Path) -> usize {
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let data = std::fs::read(&files[0]).unwrap();
    let (mut at, mut count) = (0, 0);
    while at < data.len() {
        at += 16 + u64::from_le_bytes(data[at..at + 8].try_into().unwrap()) as usize;
        count += 1;
    }
    assert_eq!(at, data.len());
    count
}

#[test]
fn curves_go_into_event_files_once() {
    let work = Work::new();
    work.train(&["--steps", "6", "--tensorboard"]).succeeds();
    // The version, a record per step and the validation at the end.
    assert_eq!(records(&work.path("run/tensorboard")), 1 + 6 + 1);
    work.run(&["resume", "run", "--steps", "9"]).succeeds();
    assert_eq!(records(&work.path("run/tensorboard")), 1 + 9 + 2);
    work.train(&["--steps", "2", "--run", "plain"]).succeeds();
    assert!(!work.path("plain/tensorboard").exists());
    // Switched on later, it has all curves from the start.
    work.run(&["resume", "plain", "--steps", "4", "--tensorboard"]).succeeds();
    assert_eq!(records(&work.path("plain/tensorboard")), 1 + 4 + 2);
}

#[cfg(unix)]
#[test]
fn linked_runs_are_listed_once() {
    let work = Work::new();
    work.train(&["--run", "runs/deep/first", "--steps", "1"]).succeeds();
    for (to, link) in [("..", "runs/deep/up"), (".", "runs/self"), ("deep/first", "runs/latest")] {
        std::os::unix::fs::symlink(to, work.path(link)).unwrap();
    }
    assert_eq!(column(&work, &[], "run"), ["runs/latest"]);
}
