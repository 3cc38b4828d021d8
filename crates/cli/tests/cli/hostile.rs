//! Every flag of every command, and every key of the configuration, with values that nobody should give: the program refuses
//! them, or works with them, and never ends by a panic, a signal, or not at all.
//!
//! Commands and flags are read from `--help`, keys from `presets --schema`: what is added is tested without being named here, but
//! a new command needs its line in [`base`].

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{TINY, Work};

/// A case that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a process may allocate at most: an absurd size must not take the tester's memory.
const ADDRESSES: u64 = 16 << 30;
/// Processes at once.
const WORKERS: usize = 2;

const NUMBERS: [&str; 9] =
    ["0", "-1", "1e-40", "1e40", "NaN", "inf", "9223372036854775807", "18446744073709551615", "99999999999999999999"];

/// A space of `percept tune`.
const SPACE: &str = "preset = \"llp-tiny\"\nbudget = \"4k tokens\"\ntrials = 2\nalgorithm = \"random\"\n[space]\nmodel.dim = [16, 24]\n";

/// What is given to flags and arguments: numbers, and no text, a long one, bytes, a folder, and nothing that is there.
fn values() -> Vec<OsString> {
    let texts = [
        String::new(),
        "x".repeat(5000),
        ".".into(),
        "missing/file".into(),
        "=".into(),
        "lr=18446744073709551615".into(),
        "synthetic:copy?length=18446744073709551615".into(),
    ];
    let bytes = OsString::from_vec(b"\xff\xfe".to_vec());
    NUMBERS.iter().map(OsString::from).chain(texts.map(OsString::from)).chain([bytes]).collect()
}

/// Arguments with which a command ends soon, those without a flag first. `@` stands for a path that is not there yet.
fn base(command: &[&str]) -> Option<Vec<&'static str>> {
    let own = match command {
        ["quickstart"] => "--set train.device=metal",
        ["doctor" | "completions" | "presets"] => "",
        ["plan"] => "llp-tiny --quick",
        ["train"] => {
            "llp-tiny --data text.txt --run @ --set train.seconds=0.000001 --set train.steps=2 --set sample.tokens=3"
        }
        ["runs", "list"] => "runs",
        ["runs", "diff"] => "run run",
        ["resume"] | ["runs", _] => "run",
        ["export"] => "run --out @",
        ["eval"] => "run --data text.txt --limit 40",
        ["generate"] => "run --prompt The --tokens 3",
        ["suite"] => {
            "--models llp --tasks parity --length 2 --exercises 1 --budget 1tokens --out @ \
             --set model.dim=16 --set model.depth=1 --set model.heads=2 --set model.segment=16 --set train.batch=2"
        }
        ["suite", _] => {
            "--models llp --tasks parity --length 2 --exercises 1 --budget 1tokens --out @ --precision f32 \
             --set model.dim=16 --set model.depth=1 --set model.heads=2 --set model.segment=16 --set train.batch=2"
        }
        ["compare"] => "--models llp --data text.txt --budget 1tokens --out @ --dry-run",
        ["compare", _] => "--models llp --data text.txt --budget 1tokens --out @ --precision f32",
        // What follows is the command that is written down.
        ["cluster", "kubernetes"] => "--image a suite --models llp --tasks parity --budget 1tokens",
        ["cluster", _] => "suite --models llp --tasks parity --budget 1tokens",
        ["tune"] => "space.toml --data text.txt --out @ --dry-run",
        ["report"] => ".",
        ["fill"] => "run [MASK]",
        ["data", _] => "text.txt",
        ["tokenizer", "train"] => "text.txt --vocab 260 --out @",
        ["tokenizer", _] => "bytes --text The",
        ["state", "save"] => "run --prompt The --out @",
        ["state", "inspect"] => "state",
        ["state", "load"] => "run state",
        ["bench", "train" | "prefill" | "start"] => "llp-tiny --steps 1",
        ["bench", "decode"] => "llp-tiny --tokens 1",
        ["bench", "kernels"] => "llp-tiny --steps 1 --only none",
        ["bench", "context"] => "llp-tiny --models llp --contexts 64 --tasks prefill --steps 1",
        ["verify"] => "missing.toml",
        // An address of documentation, which no machine has.
        ["serve"] => "run --listen 192.0.2.1:0 --allow-anonymous",
        ["import"] => "missing.pt --out @",
        _ => return None,
    };
    let is_small = ["train", "compare", "plan", "bench"].contains(&command[0]);
    let sets = TINY.iter().filter(|set| is_small && !set.starts_with("sample."));
    Some(own.split_whitespace().chain(sets.flat_map(|set| ["--set", *set])).collect())
}

/// What a flag is refused without.
fn companions(command: &[&str], flag: &str) -> &'static [&'static str] {
    match (command, flag) {
        (["eval"], "--suite-samples") => &["--suite", "recall"],
        (["eval"], "--suite-length" | "--seed") => &["--suite", "recall,copy,needle", "--suite-samples", "1"],
        (["plan"], "--models" | "--svg") => &["--context", "64"],
        (["bench", _], "--key") => &["--against", "false"],
        _ => &[],
    }
}

/// Whether a value asks for work without end, which is no fault.
fn is_endless(command: &[&str], flag: &str, value: &str) -> bool {
    let large = value.parse::<u64>().is_ok_and(|number| number > 1 << 32);
    match (command, flag) {
        (["generate"], "--tokens") | (["eval"], "--suite-samples") | (["train"], "sample.tokens") => large,
        // A run that is not there is waited for.
        (["runs", "watch"], "") => true,
        _ => false,
    }
}

/// A start of the program.
struct Case {
    arguments: Vec<OsString>,
    /// Started where this one succeeds.
    then: Option<Vec<OsString>>,
}

fn os(arguments: &[&str]) -> Vec<OsString> {
    arguments.iter().map(OsString::from).collect()
}

/// Every command that does something, by the help of those above it.
fn commands(work: &Work) -> Vec<Vec<String>> {
    let (mut open, mut leaves) = (VecDeque::from([Vec::new()]), Vec::new());
    while let Some(path) = open.pop_front() {
        let help = help(work, &path);
        let below: Vec<String> = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .map_while(|line| line.strip_prefix("  "))
            // What is further to the right goes on with the line before.
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
            .collect();
        open.extend(below.into_iter().map(|name| [path.clone(), vec![name]].concat()));
        // One that only holds others says so on the line of its usage.
        if !help.lines().any(|line| line.starts_with("Usage:") && line.ends_with("<COMMAND>")) {
            leaves.push(path);
        }
    }
    leaves
}

fn help(work: &Work, path: &[String]) -> String {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    work.run(&arguments).succeeds().stdout
}

/// The flags that take a value, with those that every command has where that is wanted.
fn flags(help: &str, globals: Globals) -> Vec<String> {
    let own = help.lines().take_while(|line| globals == Globals::With || *line != "Global options:");
    let flag = |line: &str| {
        let line = line.trim_start();
        let (_, flag) = line.split_once("--").filter(|_| line.starts_with('-'))?;
        let (name, value) = flag.split_once(' ')?;
        value.starts_with('<').then(|| format!("--{name}"))
    };
    own.filter_map(flag).collect()
}

/// Whether the flags that every command has count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Globals {
    With,
    Without,
}

/// The dotted keys of the configuration.
fn keys(work: &Work) -> Vec<String> {
    let schema: serde_json::Value =
        serde_json::from_str(&work.run(&["presets", "--schema"]).succeeds().stdout).unwrap();
    let mut keys = Vec::new();
    walk(&schema, &schema, "", &mut keys);
    assert!(keys.len() > 70 && keys.contains(&"data.split.seed".into()), "{keys:?}");
    keys
}

fn walk(schema: &serde_json::Value, node: &serde_json::Value, path: &str, keys: &mut Vec<String>) {
    let node = match node["$ref"].as_str() {
        Some(name) => schema.pointer(name.trim_start_matches('#')).unwrap(),
        None => node,
    };
    match node["properties"].as_object() {
        Some(properties) => {
            for (name, below) in properties {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(schema, below, &path, keys);
            }
        }
        None => keys.push(path.to_owned()),
    }
}

fn cases(work: &Work) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, command) in commands(work).iter().enumerate() {
        let path: Vec<&str> = command.iter().map(String::as_str).collect();
        let base = base(&path).unwrap_or_else(|| panic!("`{}` needs a line in `base`", command.join(" ")));
        let globals = if index == 0 { Globals::With } else { Globals::Without };
        // What a command has of the one above it is tested there.
        let above = match path.split_last() {
            Some((_, above)) if self::base(above).is_some() => flags(&help(work, &command[..above.len()]), globals),
            _ => Vec::new(),
        };
        let flags = flags(&help(work, command), globals);
        let flags: Vec<String> = flags.into_iter().filter(|flag| !above.contains(flag)).collect();
        let case = |arguments: &[&str], value: OsString| Case {
            arguments: [os(&path), os(arguments), vec![value]].concat(),
            then: None,
        };
        for value in values() {
            let text = value.to_string_lossy().into_owned();
            if base.first().is_none_or(|first| !first.starts_with('-')) && !is_endless(&path, "", &text) {
                let others = [base.get(1..).unwrap_or_default(), &["--"]].concat();
                cases.push(case(&others, value.clone()));
            }
            for flag in flags.iter().filter(|flag| !is_endless(&path, flag, &text)) {
                let mut given = OsString::from(format!("{flag}="));
                given.push(&value);
                let others = [&without(&base, flag), companions(&path, flag)].concat();
                // In front: what a command hands on is not its own.
                cases.push(Case { arguments: [os(&path), vec![given], os(&others)].concat(), then: None });
            }
        }
    }
    for key in keys(work) {
        for value in NUMBERS.into_iter().chain(["", "x", "[]"]) {
            let set = format!("{key}={value}");
            let case = |command: &str| {
                let base = base(&[command]).unwrap();
                let base: Vec<&str> = base.into_iter().filter(|other| !other.starts_with(&format!("{key}="))).collect();
                [os(&[command]), os(&clean(&base)), os(&["--set", &set])].concat()
            };
            let then = (!is_endless(&["train"], &key, value)).then(|| case("train"));
            cases.push(Case { arguments: case("plan"), then });
        }
    }
    cases
}

/// The arguments without a flag and its value.
fn without<'a>(arguments: &[&'a str], flag: &str) -> Vec<&'a str> {
    match arguments.iter().position(|argument| *argument == flag && flag != "--set") {
        Some(at) => [&arguments[..at], &arguments[at + 2..]].concat(),
        None => arguments.to_vec(),
    }
}

/// The arguments without a `--set` that has lost its value.
fn clean<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let lost = |at: usize| arguments[at] == "--set" && arguments.get(at + 1).is_none_or(|next| next.starts_with("--"));
    (0..arguments.len()).filter(|at| !lost(*at)).map(|at| arguments[at]).collect()
}

/// Runs a case; what was wrong with it, if anything, and whether it succeeded.
fn run(work: &Work, arguments: &[OsString], number: usize) -> (Option<String>, bool) {
    let stderr = work.path(&format!("stderr-{number}"));
    let unused = format!("new-{number}");
    let arguments =
        arguments.iter().map(|argument| if argument == "@" { OsString::from(&unused) } else { argument.clone() });
    let mut command = work.command(&[]);
    command.args(arguments).stdout(File::create("/dev/null").unwrap()).stderr(File::create(&stderr).unwrap());
    limit_addresses(&mut command);
    let status = wait(&mut command);
    let text = String::from_utf8_lossy(&std::fs::read(&stderr).unwrap()).into_owned();
    let wrong = match status {
        None => Some(format!("it does not end within {} s", PATIENCE.as_secs())),
        Some(status) if status.signal().is_some() => Some(format!("signal {}", status.signal().unwrap())),
        Some(status) if !matches!(status.code(), Some(0..=3)) => Some(format!("exit {}", status.code().unwrap())),
        Some(_) if text.contains("internal fault") || text.contains("panicked") => Some("a panic".into()),
        Some(status) if status.code() != Some(0) && !text.contains("error: ") => Some("no message".into()),
        Some(_) => None,
    };
    std::fs::remove_file(stderr).unwrap();
    let _ = std::fs::remove_dir_all(work.path(&unused));
    let text: String = text.lines().take(6).collect::<Vec<_>>().join("\n    ").chars().take(600).collect();
    (wrong.map(|wrong| format!("{wrong}\n    {text}")), status.is_some_and(|status| status.success()))
}

fn limit_addresses(command: &mut Command) {
    let limit = libc::rlimit { rlim_cur: ADDRESSES, rlim_max: ADDRESSES };
    let set = move || match unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: between fork and exec, the closure makes one system call.
    unsafe { command.pre_exec(set) };
}

fn wait(command: &mut Command) -> Option<ExitStatus> {
    let (mut child, begin) = (command.spawn().unwrap(), Instant::now());
    while begin.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn no_value_of_a_flag_or_a_key_ends_in_a_panic_a_signal_or_never() {
    let work = Work::trained(1);
    work.run(&["state", "save", "run", "--prompt", "x", "--out", "state"]).succeeds();
    work.write("space.toml", SPACE);
    let cases = cases(&work);
    assert!(cases.len() > 1000, "{} cases", cases.len());
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let check = |arguments: &[OsString], number: usize| {
        let (found, succeeded) = run(&work, arguments, number);
        if let Some(found) = found {
            let line: Vec<String> = arguments.iter().map(short).collect();
            wrong.lock().unwrap().push(format!("percept {}\n    {found}", line.join(" ")));
        }
        succeeded
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((number, case)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, cases.get(at)?)))
                {
                    if check(&case.arguments, number)
                        && let Some(then) = &case.then
                    {
                        check(then, number);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cases\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// An argument as a failure shows it.
fn short(argument: &OsString) -> String {
    format!("{argument:?}").chars().take(60).collect()
}
