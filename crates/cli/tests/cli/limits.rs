//! Names that are no text, numbers near the ends of their range, and memory that is not there.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use crate::support::{TINY, Work};

/// `café` as Latin-1 has it.
const CAFE: &[u8] = b"caf\xe9";

fn run_in(work: &Work, folder: &OsStr, arguments: &[&OsStr]) -> (i32, String, String) {
    let mut command = work.command(&[]);
    let output = command.args(arguments).current_dir(work.path("").join(folder)).output().unwrap();
    finished(&output)
}

fn finished(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A command line of texts and names that are none.
fn line<'a>(arguments: &[&'a str], more: &[&'a OsStr]) -> Vec<&'a OsStr> {
    arguments.iter().map(|text| OsStr::new(*text)).chain(more.iter().copied()).collect()
}

fn training() -> Vec<&'static str> {
    let sets = TINY.iter().flat_map(|set| ["--set", *set]);
    ["train", "llp-tiny", "--steps", "1", "--json"].into_iter().chain(sets).collect()
}

#[test]
fn arguments_that_must_be_text_are_named_where_they_are_none() {
    let work = Work::new();
    let cafe = OsStr::from_bytes(CAFE);
    let cases = [line(&["doctor"], &[cafe]), line(&["train", "llp-tiny", "--data"], &[cafe]), line(&[], &[cafe])];
    for arguments in cases {
        let (code, stdout, stderr) = run_in(&work, OsStr::new("."), &arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?} {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains("hint: "), "{stderr}");
        assert!(stderr.contains(r#""caf\xE9""#) || stderr.contains("caf\u{fffd}"), "{stderr}");
    }
    let mut plan = work.command(&["plan", "llp-tiny", "--quick"]);
    let (code, _, stderr) = finished(&plan.env("PERCEPT_DATA__TOKENIZER", cafe).output().unwrap());
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains(r#"environment variable PERCEPT_DATA__TOKENIZER: "caf\xE9" is not UTF-8"#), "{stderr}");
}

#[test]
fn paths_that_are_no_text_work_where_no_configuration_holds_them() {
    let work = Work::new();
    let (run, out) = (OsStr::from_bytes(CAFE), OsStr::from_bytes(b"compared\xff"));
    let trained = line(&training(), &[OsStr::new("--data"), OsStr::new("text.txt"), OsStr::new("--run"), run]);
    for arguments in [
        trained,
        line(&["generate", "--prompt", "x", "--tokens", "2", "--json"], &[run]),
        line(&["eval", "--data", "text.txt", "--limit", "10", "--json"], &[run]),
        line(&["runs", "show", "--json"], &[run]),
        line(&["runs", "diff", "--json"], &[run, run]),
        line(&["resume", "--steps", "2", "--json"], &[run]),
        line(&["export", "--json"], &[run, OsStr::new("--out"), OsStr::from_bytes(b"out\xff")]),
        line(&["compare", "--models", "llp", "--data", "text.txt", "--budget", "1 tokens", "--json", "--out"], &[out]),
        line(&["report", "--json"], &[out]),
        line(
            &["state", "save", "--prompt", "x", "--json"],
            &[run, OsStr::new("--out"), OsStr::from_bytes(b"state\xff")],
        ),
    ] {
        let (code, stdout, stderr) = run_in(&work, OsStr::new("."), &arguments);
        assert_eq!(code, 0, "{arguments:?} {stderr}");
        let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert!(json.is_object(), "{stdout}");
    }
}

#[test]
fn a_run_that_its_configuration_could_not_name_is_refused_before_it_trains() {
    let work = Work::new();
    let folder = OsStr::from_bytes(CAFE);
    std::fs::create_dir(work.path("").join(folder)).unwrap();
    std::fs::copy(work.path("text.txt"), work.path("").join(folder).join("text.txt")).unwrap();
    assert_eq!(run_in(&work, folder, &line(&["tokenizer", "train", "text.txt", "--vocab", "260"], &[])).0, 0);
    let given = |more: &[&'static str]| line(&[&training()[..], more].concat(), &[]);
    let absolute: OsString = work.path("text.txt").into();
    for (key, arguments) in [
        ("data.sources", given(&["--data", "text.txt"])),
        ("data.validation", [given(&["--validation", "text.txt", "--data"]), vec![&absolute]].concat()),
        ("data.tokenizer", [given(&["--tokenizer", "tokenizer.json", "--data"]), vec![&absolute]].concat()),
        ("data.cache", [given(&["--set", "data.cache=cache", "--data"]), vec![&absolute]].concat()),
        ("train.init_from", [given(&["--init-from", "other", "--data"]), vec![&absolute]].concat()),
    ] {
        let (code, stdout, stderr) = run_in(&work, folder, &arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{key}: {stderr}");
        let named = format!(r#"error: {key}: the path "{}/caf\xE9/"#, work.path("").canonicalize().unwrap().display());
        assert!(stderr.contains(&named) && stderr.contains("hint: rename"), "{key}: {stderr}");
        assert!(!work.path("").join(folder).join("runs").exists(), "{key}: a run folder is left");
    }
    // Text that lies elsewhere can be named, and the run goes on.
    let elsewhere = [given(&["--run", "run", "--data"]), vec![&absolute]].concat();
    assert_eq!(run_in(&work, folder, &elsewhere).0, 0);
    assert_eq!(run_in(&work, folder, &line(&["resume", "run", "--steps", "2"], &[])).0, 0);
    // The program's own text would lie here.
    let (code, _, stderr) = run_in(&work, folder, &line(&["quickstart", "--set", "train.steps=1"], &[]));
    assert!(code == 2 && stderr.starts_with("error: --run: the path"), "{stderr}");
}

#[test]
fn numbers_near_the_ends_of_their_range_choose_tokens() {
    let work = Work::trained(1);
    let text = |more: &[&str]| {
        let base = ["generate", "run", "--prompt", "The", "--tokens", "8", "--quiet"];
        work.run(&[&base, more].concat()).succeeds().stdout
    };
    let greedy = text(&["--temperature", "0"]);
    // Sharper than a number of single precision can say: the most probable token.
    assert_eq!(text(&["--temperature", "1e-40"]), greedy);
    assert_eq!(text(&["--temperature", "1e-45", "--top-p", "1e-40", "--min-p", "1e-40"]), greedy);
    for more in [["--temperature", "1e38"], ["--repetition-penalty", "1e38"], ["--top-k", "18446744073709551615"]] {
        text(&more);
    }
}

/// The same command with at most so many bytes of addresses.
fn with_at_most(mut command: Command, bytes: u64) -> Command {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    let set = move || match unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: between fork and exec, the closure makes one system call.
    unsafe { command.pre_exec(set) };
    command
}

const MEMORY: u64 = 1 << 30;
/// A tiny model on so many windows that their activations take several GiB.
const LARGE: &str = "train.batch=100000";

#[test]
fn a_batch_that_cannot_fit_is_refused_before_the_run_begins() {
    let work = Work::new();
    let output = with_at_most(work.training(&["--steps", "1", "--set", LARGE]), MEMORY).output().unwrap();
    let (code, stdout, stderr) = finished(&output);
    assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
    assert!(stderr.starts_with("error: training needs about "), "{stderr}");
    assert!(stderr.contains("this process can have 1.00 GiB at most"), "{stderr}");
    assert!(stderr.contains("hint: a smaller train.batch") && stderr.contains("--force"), "{stderr}");
    assert!(!work.path("run").exists());
    // What fits is not refused.
    let output = with_at_most(work.training(&["--steps", "1"]), MEMORY).output().unwrap();
    assert_eq!(finished(&output).0, 0);
    let resume = work.command(&["resume", "run", "--steps", "2", "--set", LARGE]);
    let (code, _, stderr) = finished(&with_at_most(resume, MEMORY).output().unwrap());
    assert!(code == 3 && stderr.starts_with("error: training needs about "), "{stderr}");
    for command in [
        vec!["compare", "--models", "llp", "--data", "text.txt", "--budget", "1 tokens", "--set", LARGE],
        vec!["bench", "train", "llp-tiny", "--set", LARGE],
    ] {
        let (code, _, stderr) = finished(&with_at_most(work.command(&command), MEMORY).output().unwrap());
        assert!(code == 3 && stderr.contains(" needs about ") && stderr.contains("--force"), "{command:?} {stderr}");
    }
}

#[test]
fn memory_that_runs_out_ends_with_a_message_that_names_the_last_checkpoint() {
    let work = Work::new();
    let output = with_at_most(work.training(&["--steps", "1", "--set", LARGE, "--force"]), MEMORY).output().unwrap();
    let (code, _, stderr) = finished(&output);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("error: out of memory: the system has no further "), "{stderr}");
    assert!(stderr.contains("hint: a smaller train.batch") && stderr.contains("no checkpoint yet"), "{stderr}");
    assert!(!stderr.contains("RUST_BACKTRACE") && !stderr.contains("stack backtrace"), "{stderr}");

    work.train(&["--steps", "3", "--run", "saved"]).succeeds();
    let resume = work.command(&["resume", "saved", "--steps", "5", "--set", LARGE, "--force"]);
    let (code, _, stderr) = finished(&with_at_most(resume, MEMORY).output().unwrap());
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("the checkpoint of step 3 is kept: `percept resume saved"), "{stderr}");
    work.run(&["resume", "saved", "--steps", "5", "--set", "train.batch=2"]).succeeds();
}

#[test]
fn a_model_that_no_memory_holds_is_refused_before_it_is_read() {
    let work = Work::new();
    work.train(&["--steps", "1"]).succeeds();
    let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
    std::fs::write(work.path("run/config.toml"), config.replace("\ndim = 16\n", "\ndim = 65536\n")).unwrap();
    for command in [
        vec!["eval", "run", "--data", "text.txt"],
        vec!["generate", "run", "--prompt", "x"],
        vec!["state", "save", "run", "--prompt", "x", "--out", "state"],
        vec!["bench", "prefill", "llp-tiny", "--set", "model.dim=65536"],
        vec!["verify", "llp-tiny", "--full", "--set", "model.dim=65536"],
    ] {
        let (code, _, stderr) = finished(&with_at_most(work.command(&command), MEMORY).output().unwrap());
        assert!(
            code == 3 && stderr.contains("of memory; this process can have 1.00 GiB at most"),
            "{command:?} {stderr}"
        );
    }
    let streams = ["generate", "other", "--prompt", "x", "--streams", "4294967295"];
    work.train(&["--steps", "1", "--run", "other"]).succeeds();
    let (code, _, stderr) = finished(&with_at_most(work.command(&streams), MEMORY).output().unwrap());
    assert!(code == 3 && stderr.contains("the state of 4294967295 streams needs about"), "{stderr}");
}

#[test]
fn threads_that_cannot_start_are_told() {
    let work = Work::new();
    let refused = |set: &dyn Fn(&mut Command)| {
        let mut command = work.command(&["doctor"]);
        // Large stacks: the one that does not fit any more leaves addresses for the threads that have started.
        command.env_remove("PERCEPT_THREADS").env("RUST_MIN_STACK", (256 << 20).to_string());
        set(&mut command);
        finished(&with_at_most(command, MEMORY).output().unwrap())
    };
    // The stacks of so many take more addresses than there are.
    let named = refused(&|command| {
        command.args(["--threads", "4096"]);
    });
    let by_environment = refused(&|command| {
        command.env("RAYON_NUM_THREADS", "4096");
    });
    for (code, _, stderr) in [named, by_environment] {
        assert!(code == 3 && stderr.starts_with("error: cannot start "), "{code} {stderr}");
    }
    let (code, _, stderr) = refused(&|command| {
        command.args(["--threads", "5000"]);
    });
    assert!(code == 2 && stderr.starts_with("error: --threads 5000 is more than 4096"), "{stderr}");
}
