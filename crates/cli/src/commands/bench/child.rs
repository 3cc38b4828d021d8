//! Fresh processes: each measurement in one of its own, so that neither memory nor warm caches are shared.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use percept::fault::IoContext;
use percept::{Fault, Result};
use serde_json::{Map, Value};

use crate::arguments::Global;

/// How often a child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Lines of a failed child's stderr that are shown.
const LINES: usize = 12;

/// A JSON object on stdout.
pub(super) type Object = Map<String, Value>;

/// This program with these arguments, and with the global flags that a measurement depends on.
pub(super) fn own(arguments: &[impl AsRef<OsStr>], global: &Global) -> Result<Command> {
    let mut command = Command::new(own_program()?);
    command.args(arguments).args(["--json", "--quiet", "--threads", &rayon::current_num_threads().to_string()]);
    if let Some(device) = &global.device {
        command.args(["--device", device]);
    }
    Ok(command)
}

/// The file of this program.
pub(super) fn own_program() -> Result<std::path::PathBuf> {
    std::env::current_exe().at("find", "this program's own file")
}

/// This process's own measurement again, as a child: its arguments without the flags that `compared` names, which
/// take a value each.
pub(super) fn own_again(compared: &[&str]) -> Result<Command> {
    let mut command = Command::new(own_program()?);
    command.args(without(std::env::args_os().skip(1), compared));
    let given: Vec<OsString> = std::env::args_os().collect();
    for flag in ["--json", "--quiet"] {
        let short = flag == "--quiet" && given.iter().any(|argument| argument == "-q");
        if !short && !given.iter().any(|argument| argument == flag) {
            command.arg(flag);
        }
    }
    Ok(command)
}

fn without(arguments: impl Iterator<Item = OsString>, flags: &[&str]) -> Vec<OsString> {
    let (mut kept, mut skip) = (Vec::new(), false);
    for argument in arguments {
        let text = argument.to_string_lossy();
        let joined = flags.iter().any(|flag| text.strip_prefix(flag).is_some_and(|rest| rest.starts_with('=')));
        if std::mem::take(&mut skip) || joined {
            continue;
        }
        match flags.contains(&text.as_ref()) {
            true => skip = true,
            false => kept.push(argument),
        }
    }
    kept
}

/// A line for the system's shell.
pub(super) fn shell(line: &str) -> Command {
    let (program, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut command = Command::new(program);
    command.arg(flag).arg(line);
    command
}

/// Runs a command to its end and takes the JSON object that it prints; `None` where `limit` was not enough.
///
/// # Errors
/// Environment: it cannot be started. Check: it fails, or prints no JSON object; its stderr is shown.
pub(super) fn measure(command: &mut Command, what: &str, limit: Option<Duration>) -> Result<Option<Object>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Fault::environment(format!("cannot start `{what}`")).because(error))?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let Some(status) = wait(&mut child, limit).at("wait for", what)? else { return Ok(None) };
    let (stdout, stderr) = (text(stdout), text(stderr));
    if !status.success() {
        return Err(failed(format!("`{what}` failed: {status}"), &stderr));
    }
    match serde_json::from_str(stdout.trim()) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        _ => Err(failed(format!("`{what}` printed no JSON object, but {:?}", beginning(stdout.trim())), &stderr)),
    }
}

fn wait(child: &mut Child, limit: Option<Duration>) -> std::io::Result<Option<std::process::ExitStatus>> {
    let begin = Instant::now();
    while limit.is_some_and(|limit| begin.elapsed() < limit) {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        sleep(LOOK_EVERY);
    }
    if limit.is_none() {
        return child.wait().map(Some);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Reads a pipe to its end while the child runs.
fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

fn failed(message: String, stderr: &str) -> Fault {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
    match last.is_empty() {
        true => Fault::check(message).hint("run the command by itself; it wrote nothing to stderr"),
        false => Fault::check(format!("{message}; its stderr ends:\n{last}")).hint("run the command by itself"),
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(arguments: &[&str]) -> Vec<String> {
        let arguments = arguments.iter().map(OsString::from);
        let kept = without(arguments, &["--against", "--rounds"]);
        kept.into_iter().map(|argument| argument.into_string().unwrap()).collect()
    }

    #[test]
    fn the_flags_of_a_comparison_are_left_out() {
        let given = ["bench", "train", "--against", "cmd --rounds 4", "--steps", "2", "--rounds=5", "--against=x"];
        assert_eq!(kept(&given), ["bench", "train", "--steps", "2"]);
        assert_eq!(kept(&["--set", "--rounds-not=1"]), ["--set", "--rounds-not=1"]);
    }

    #[cfg(unix)]
    #[test]
    fn json_is_taken_and_everything_else_is_an_error() {
        let run = |line: &str| measure(&mut shell(line), line, None);
        assert_eq!(run("echo '{\"median_ms\": 2}'").unwrap().unwrap()["median_ms"], 2);
        let fault = run("echo broken pipe of dreams >&2; exit 3").unwrap_err();
        assert!(fault.is_check() && fault.to_string().contains("broken pipe of dreams"), "{fault}");
        assert!(fault.to_string().contains("exit status: 3"), "{fault}");
        for line in ["echo 12 ms", "echo '[1]'", "true"] {
            assert!(run(line).unwrap_err().to_string().contains("printed no JSON object"), "{line}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_child_that_takes_too_long_is_ended() {
        let begin = Instant::now();
        let result = measure(Command::new("sleep").arg("20"), "sleep 20", Some(Duration::from_millis(50))).unwrap();
        assert!(result.is_none() && begin.elapsed() < Duration::from_secs(10));
    }
}
