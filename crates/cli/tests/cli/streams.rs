//! Text from what is no regular file: pipes, descriptors, standard input.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Finished, TINY, Work};

/// A named pipe, and a process that writes `text` into it once somebody reads.
fn pipe(work: &Work, name: &str, text: &str) {
    assert!(Command::new("mkfifo").arg(work.path(name)).status().unwrap().success());
    let (path, text) = (work.path(name), text.to_owned());
    std::thread::spawn(move || std::fs::write(path, text));
}

/// Runs the binary with `text` on a pipe as its standard input.
fn fed(work: &Work, arguments: &[&str], text: &str) -> Finished {
    let mut command = work.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    work.finished(child.wait_with_output().unwrap())
}

/// The arguments that train a tiny model into the folder `run`.
fn training<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let sets = TINY.iter().flat_map(|set| ["--set", set]);
    ["train", "llp-tiny", "--run", run].into_iter().chain(sets).chain(more.iter().copied()).collect()
}

fn lines() -> String {
    (0..400).map(|number| format!("line {number} of a text that comes once\n")).collect()
}

fn loss(work: &Work, run: &str) -> Value {
    let metrics = std::fs::read_to_string(work.path(run).join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().rfind(|line| line.contains("train")).unwrap()).unwrap();
    last["loss"].clone()
}

#[test]
fn every_command_reads_a_pipe() {
    let work = Work::trained(2);
    let text = lines();
    let bytes = Some(text.len() as u64);
    pipe(&work, "one", &text);
    let stats = work.run(&["data", "stats", "one", "--json"]).succeeds();
    assert_eq!(stats.json()["bytes"].as_u64(), bytes);
    assert!(stats.stderr.contains("reading one to its end"), "{}", stats.stderr);
    pipe(&work, "two", &text);
    let score = work.run(&["eval", "run", "--data", "two", "--limit", "500", "--json"]).succeeds().json();
    assert_eq!(score["targets"].as_u64(), Some(500));
    pipe(&work, "three", &text);
    work.run(&["tokenizer", "train", "three", "--vocab", "300"]).succeeds();
    for name in ["/dev/stdin", "/dev/fd/0", "-"] {
        let stats = fed(&work, &["data", "stats", name, "--json"], &text).succeeds().json();
        assert_eq!(stats["bytes"].as_u64(), bytes, "{name}");
    }
    pipe(&work, "records.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
    assert_eq!(work.run(&["data", "stats", "records.jsonl", "--json"]).succeeds().json()["documents"], 2);
}

#[test]
fn a_run_on_a_pipe_resumes_without_the_cache_and_from_another_place() {
    let work = Work::new();
    work.write("same.txt", &lines());
    work.run(&training("whole", &["--data", "same.txt", "--steps", "6"])).succeeds();
    for (source, input) in [("pipe", ""), ("-", &*lines()), ("/dev/stdin", &lines())] {
        if source == "pipe" {
            pipe(&work, "pipe", &lines());
        }
        fed(&work, &training("run", &["--data", source, "--steps", "3"]), input).succeeds();
        let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
        assert!(config.contains("run/text/") && !config.contains("path = \"pipe\""), "{config}");
        std::fs::remove_dir_all(work.path("cache")).unwrap();
        std::fs::rename(work.path("run"), work.path("moved")).unwrap();
        work.run(&["resume", "moved", "--steps", "6"]).succeeds();
        assert_eq!(loss(&work, "moved"), loss(&work, "whole"), "{source}");
        std::fs::remove_dir_all(work.path("moved")).unwrap();
    }
}

#[test]
fn a_comparison_keeps_the_text_of_a_pipe() {
    let work = Work::new();
    work.write("spec.toml", "models = [\"llp\"]\nbudget = \"2k tokens\"\npoints = 2\n");
    let sets = TINY.iter().filter(|set| set.starts_with("model.")).flat_map(|set| ["--set", *set]);
    let compare: Vec<&str> = ["compare", "spec.toml", "--data", "-", "--out", "out"].into_iter().chain(sets).collect();
    fed(&work, &[&compare[..], &["--dry-run"]].concat(), &lines()).succeeds();
    assert!(!work.path("out").exists(), "a dry run writes nothing");
    fed(&work, &compare, &lines()).succeeds();
    let kept = std::fs::read_dir(work.path("out/text")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(kept).unwrap(), lines());
    let again = fed(&work, &compare, &lines()).succeeds();
    assert!(!again.stderr.contains("step"), "the same text, so everything is done: {}", again.stderr);
}

#[test]
fn a_tokenizer_may_come_from_a_pipe() {
    let work = Work::new();
    work.run(&["tokenizer", "train", "text.txt", "--vocab", "300"]).succeeds();
    pipe(&work, "pipe", &std::fs::read_to_string(work.path("tokenizer.json")).unwrap());
    work.run(&training("run", &["--data", "text.txt", "--steps", "1", "--tokenizer", "pipe"])).succeeds();
    // The configuration of the run is enough to repeat it.
    std::fs::remove_file(work.path("pipe")).unwrap();
    work.run(&["train", "run/config.toml", "--run", "again"]).succeeds();
    assert_eq!(loss(&work, "again"), loss(&work, "run"));
}

#[test]
fn what_gives_no_text_is_refused() {
    let work = Work::new();
    insta::assert_snapshot!(work.run(&["data", "stats", "/dev/null"]).refusal(), @r"
    exit 2
    reading /dev/null to its end
    error: /dev/null is empty
    hint: pipe text into the command, or name a file
    ");
    let _listener = std::os::unix::net::UnixListener::bind(work.path("socket")).unwrap();
    insta::assert_snapshot!(work.train(&["--data", "socket", "--steps", "1"]).refusal(), @r"
    exit 2
    error: socket is a socket, which is no text
    hint: pipe what it sends into the command, and name `-`
    ");
    assert!(!work.path("run").exists());
}

#[test]
fn waiting_for_a_pipe_can_be_interrupted() {
    let work = Work::new();
    assert!(Command::new("mkfifo").arg(work.path("silent")).status().unwrap().success());
    let mut command = work.command(&training("run", &["--data", "silent", "--steps", "1"]));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("reading silent to its end") {
        assert!(std::io::BufRead::read_line(&mut stderr, &mut said).unwrap() > 0, "{said}");
    }
    // SAFETY: kill only sends a signal, to a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("error: interrupted while reading silent"), "{said}");
    assert!(!work.path("run").exists());
}

/// Everything at once: what a folder of somebody's own looks like.
#[test]
fn a_folder_as_people_have_them() {
    let work = Work::new();
    work.write("notes.jsonl", "{\"text\": \"one note\"}\n\n{\"text\": \"another note\"}\n");
    std::fs::write(work.path("novel.txt.zst"), zstd::encode_all(lines().as_bytes(), 1).unwrap()).unwrap();
    std::fs::write(work.path("latin1.txt"), b"caf\xe9 \x00 and more").unwrap();
    for number in 0..4 {
        work.write(&format!("deep/er/{number}.md"), &format!("a document number {number}\n").repeat(30));
    }
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, work.path(name)).unwrap();
    link("text.txt", "a link.txt");
    link("../..", "deep/er/loop");
    link("deep", "deeper");
    assert!(Command::new("mkfifo").arg(work.path("silent")).status().unwrap().success());
    work.run(&["tokenizer", "train", ".", "--vocab", "300"]).succeeds();

    let count = || {
        let stats = work.run(&["data", "stats", ".", "--json"]).succeeds().json();
        let passed_over = stats["passed_over"].clone();
        let counts = ["percept", "further_names", "not_files"].map(|key| passed_over[key]["count"].as_u64().unwrap());
        (stats["documents"].as_u64().unwrap(), stats["bytes"].as_u64().unwrap(), counts)
    };
    let (documents, bytes, counts) = count();
    assert_eq!((documents, counts), (9, [2, 3, 1]));

    pipe(&work, "more", &lines());
    let trained = work.run(&training("run", &["--data", ".", "more", "--steps", "3"])).succeeds();
    assert!(trained.stderr.contains("as a further name of what is read already: 3, "), "{}", trained.stderr);
    std::fs::remove_dir_all(work.path("cache")).unwrap();
    work.run(&["resume", "run", "--steps", "6"]).succeeds();
    pipe(&work, "more-again", &lines());
    work.run(&training("whole", &["--data", ".", "more-again", "--steps", "6"])).succeeds();
    assert_eq!(loss(&work, "run"), loss(&work, "whole"));

    assert_eq!(count(), (documents, bytes, [4, 3, 3]), "two runs more, two pipes more, and the same text");
    let score = work.run(&["eval", "run", "--data", ".", "--json"]).succeeds().json();
    assert_eq!(score["targets"].as_u64(), Some(bytes));
}

/// The kept text is among what Percept wrote.
#[test]
fn kept_text_is_not_found_among_texts() {
    let work = Work::new();
    fed(&work, &training("run", &["--data", "-", "--steps", "1"]), &lines()).succeeds();
    let kept = std::fs::read_dir(work.path("run/text")).unwrap().count();
    let stats = work.run(&["data", "stats", ".", "--json"]).succeeds().json();
    assert_eq!((kept, stats["documents"].as_u64()), (1, Some(1)));
    assert!(Path::new(&work.path("run/.percept")).is_file());
}
