//! `percept serve`: what it refuses, and a request answered by the program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::support::Work;

/// A process that does not outlive its test.
pub(crate) struct Server(pub(crate) Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the server and waits until it says where it listens.
pub(crate) fn start(work: &Work, arguments: &[&str]) -> (Server, String) {
    started(work.command(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat()))
}

pub(crate) fn started(mut command: Command) -> (Server, String) {
    let mut server = Server(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    (server, address)
}

pub(crate) fn send(address: &str, request: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn other_machines_are_let_in_only_with_tokens_or_where_that_is_meant() {
    let work = Work::new();
    insta::assert_snapshot!(work.run(&["serve", "run", "--listen", "0.0.0.0:0"]).refusal(), @r"
    exit 2
    error: 0.0.0.0:0 can be reached from other machines, and anybody there could use the server
    hint: give --tokens FILE or PERCEPT_TOKENS, or --allow-anonymous if that is meant
    ");
    work.write("tokens", "# mine\nshort\n");
    insta::assert_snapshot!(work.run(&["serve", "run", "--tokens", "tokens"]).refusal(), @r"
    exit 2
    error: tokens:2: a token of 5 characters can be guessed
    hint: use at least 16 letters, digits or signs, for example of `openssl rand -hex 32`
    ");
    insta::assert_snapshot!(work.run(&["serve", "run"]).refusal(), @r"
    exit 3
    error: cannot read run: No such file or directory (os error 2)
    hint: check the path
    ");
    insta::assert_snapshot!(work.run(&["serve", "a=run", "a=other"]).refusal(), @r"
    exit 2
    error: two runs are called a
    hint: name one of them: NAME=RUN
    ");
    insta::assert_snapshot!(work.run(&["serve", "run", "--tokens", "none"]).refusal(), @r"
    exit 3
    error: cannot read none: No such file or directory (os error 2)
    hint: check the path
    ");
    insta::assert_snapshot!(work.run(&["serve", "run", "--max-streams", "0"]).refusal(), @r"
    exit 2
    error: the limit of streams is 0
    hint: use at least 1
    ");
}

#[test]
fn texts_that_memory_does_not_hold_are_refused_at_the_start() {
    let refused = Work::trained(1).run(&["serve", "run", "--listen", "127.0.0.1:0", "--max-streams", "10000000000000"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("error: the state of 10000000000000 texts of each model needs about"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("hint: give a lower --max-streams, or serve fewer runs"), "{}", refused.stderr);
}

#[test]
#[cfg(unix)]
fn a_run_is_served_under_its_name_until_the_program_is_asked_to_stop() {
    let work = Work::trained(2);
    work.write("tokens", "a-token-that-is-long\n");
    let (mut server, address) = start(&work, &["mine=run", "run", "--tokens", "tokens", "--weights", "bf16"]);
    let body = r#"{"model":"mine","prompt":"The","max_tokens":4,"temperature":0}"#;
    let request = |token: &str| {
        format!(
            "POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    assert!(send(&address, &request("a-token-that-is-wrong")).starts_with("HTTP/1.0 401"));
    let answer = send(&address, &request("a-token-that-is-long"));
    assert!(answer.starts_with("HTTP/1.0 200") && answer.contains(r#""completion_tokens":4"#), "{answer}");
    // SAFETY: a signal to a child of ours that was not waited for.
    assert_eq!(unsafe { libc::kill(server.0.id() as i32, libc::SIGTERM) }, 0);
    let mut said = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(server.0.wait().unwrap().success(), "{said}");
    let line = said.lines().find(|line| line.contains(r#""status":200"#)).unwrap();
    assert!(line.contains(r#""route":"/v1/completions""#) && line.contains(r#""token":0"#), "{line}");
    assert!(said.contains("stopping: no more requests are taken") && !said.contains("The"), "{said}");
}
