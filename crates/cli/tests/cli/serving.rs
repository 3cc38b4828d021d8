//! `percept serve` as a process: what it says, and how it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::serve::{Server, send, start, started};
use crate::support::Work;

fn post(body: &str) -> String {
    let length = body.len();
    format!("POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A text that is on its way until its client goes.
fn endless(address: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    let body = r#"{"prompt":"a","max_tokens":60000,"stream":true,"logprobs":20}"#;
    client.write_all(post(body).as_bytes()).unwrap();
    let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("data: ")));
    client
}

fn signal(server: &Server, signal: i32) {
    // SAFETY: a signal to a child of ours that was not waited for.
    assert_eq!(unsafe { libc::kill(server.0.id() as i32, signal) }, 0);
}

#[test]
fn with_json_all_that_is_said_once_it_listens_is_json() {
    let work = Work::trained(1);
    let mut command = work.command(&["serve", "--json", "run", "--listen", "127.0.0.1:0", "--log-prompts", "5"]);
    let mut server = Server(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let listening: Value = serde_json::from_str(&line).unwrap();
    let address = listening["address"].as_str().unwrap();
    assert!(send(address, &post(r#"{"prompt":["The quick","Größe"],"max_tokens":1}"#)).starts_with("HTTP/1.0 200"));
    signal(&server, libc::SIGTERM);
    let said: Vec<String> = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(server.0.wait().unwrap().success(), "{said:?}");
    // Before it listens, a line of each run.
    let events: Vec<Value> = said[1..].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| events.iter().find(|event| event["event"] == kind).unwrap_or_else(|| panic!("{said:?}"));
    assert!(of("stopping")["time"].is_f64());
    assert_eq!(of("request")["prompts"], serde_json::json!(["The q", "Größe"]));
}

#[test]
fn who_asks_twice_does_not_wait_and_a_system_that_asks_twice_does() {
    let work = Work::trained(1);
    let (mut server, address) = start(&work, &["run", "--grace", "1000"]);
    let client = endless(&address);
    let mut said = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut wait_for = |text: &str| assert!(said.any(|line| line.contains(text)));
    signal(&server, libc::SIGTERM);
    wait_for("stopping: no more requests are taken");
    // Nobody is let in any more, and the text is still written.
    while TcpStream::connect(&address).is_ok() {}
    signal(&server, libc::SIGTERM);
    assert!(server.0.try_wait().unwrap().is_none());
    signal(&server, libc::SIGINT);
    assert_eq!(server.0.wait().unwrap().code(), Some(130));
    drop(client);
}

#[test]
fn a_text_comes_to_its_end_after_the_server_was_asked_to_stop() {
    let work = Work::trained(1);
    let (mut server, address) = start(&work, &["run", "--grace", "1000"]);
    let mut client = TcpStream::connect(&address).unwrap();
    // More than fits on the way to a reader: it is not written to its end when the server is asked.
    client.write_all(post(r#"{"prompt":"a","max_tokens":8000,"stream":true,"logprobs":20}"#).as_bytes()).unwrap();
    let mut lines = BufReader::new(client).lines().map(Result::unwrap).filter(|line| line.starts_with("data: "));
    assert!(lines.next().is_some());
    signal(&server, libc::SIGTERM);
    while TcpStream::connect(&address).is_ok() {}
    assert_eq!(lines.last().as_deref(), Some("data: [DONE]"));
    assert!(server.0.wait().unwrap().success());
}

#[test]
fn without_grace_a_text_is_cut() {
    let work = Work::trained(1);
    let (mut server, address) = start(&work, &["run", "--grace", "0"]);
    let mut client = TcpStream::connect(&address).unwrap();
    client.write_all(post(r#"{"prompt":"a","max_tokens":8000,"stream":true,"logprobs":20}"#).as_bytes()).unwrap();
    let mut lines = BufReader::new(client).lines().map_while(Result::ok).filter(|line| line.starts_with("data: "));
    assert!(lines.next().is_some());
    signal(&server, libc::SIGTERM);
    assert_ne!(lines.last().as_deref(), Some("data: [DONE]"));
    assert!(server.0.wait().unwrap().success());
}

#[test]
fn an_address_that_is_taken_or_is_none_is_named() {
    let work = Work::trained(1);
    let (_server, address) = start(&work, &["run"]);
    let refused = work.run(&["serve", "run", "--listen", &address]);
    let said = refused.stderr.replace(&address, "ADDRESS");
    assert!(refused.code == 3 && said.contains("error: cannot listen on ADDRESS: "), "{said}");
    assert!(said.contains("hint: another program may use it: choose another --listen"), "{said}");
    let named = work.run(&["serve", "run", "--listen", "localhost:0"]);
    insta::assert_snapshot!(named.refusal(), @r"
    exit 2
    error: invalid value 'localhost:0' for '--listen <ADDRESS>': an address is made of numbers, and has a port: 127.0.0.1:8080, or [::1]:8080
    hint: `percept serve --help` shows what is accepted
    ");
    std::fs::write(work.path("tokens"), b"\xff\xfe").unwrap();
    let refused = work.run(&["serve", "run", "--tokens", "tokens"]);
    assert!(refused.refusal().starts_with("exit 2\nerror: tokens is no text: "), "{}", refused.stderr);
}

#[test]
fn states_of_all_runs_are_counted() {
    let work = Work::trained(1);
    let needed = |runs: &[&str]| {
        let refused = work.run(&[&["serve", "--listen", "127.0.0.1:0", "--max-streams", "1000000000"], runs].concat());
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        let number = refused.stderr.split("needs about ").nth(1).and_then(|rest| rest.split(' ').next());
        number.unwrap_or_else(|| panic!("{}", refused.stderr)).parse::<f64>().unwrap()
    };
    let (one, two) = (needed(&["a=run"]), needed(&["a=run", "b=run"]));
    assert!((two / one - 2.0).abs() < 1e-3, "{one} {two}");
}

#[test]
fn tokens_of_the_environment_open_and_anybody_may_where_that_is_said() {
    let work = Work::trained(1);
    let local = |address: &str| address.replace("0.0.0.0", "127.0.0.1");
    let models = |token: &str| format!("GET /v1/models HTTP/1.0\r\nHost: public.example\r\n{token}\r\n");
    let mut command = work.command(&["serve", "run", "--listen", "0.0.0.0:0"]);
    command.env("PERCEPT_TOKENS", "a-token-that-is-long\nanother-of-the-tokens");
    let (_server, address) = started(command);
    for (token, status) in [("", "401"), ("Authorization: Bearer another-of-the-tokens\r\n", "200")] {
        assert!(send(&local(&address), &models(token)).starts_with(&format!("HTTP/1.0 {status}")));
    }
    let (_server, address) = started(work.command(&["serve", "run", "--listen", "0.0.0.0:0", "--allow-anonymous"]));
    assert!(send(&local(&address), &models("")).starts_with("HTTP/1.0 200"));
    let mut empty = work.command(&["serve", "run"]);
    let refused = work.finished(empty.env("PERCEPT_TOKENS", "").output().unwrap());
    assert!(refused.refusal().starts_with("exit 2\nerror: PERCEPT_TOKENS: there is no token in it"));
}

#[test]
fn limits_are_those_of_the_flags() {
    let work = Work::trained(1);
    let flags =
        ["--max-waiting", "1", "--max-prompt", "4", "--max-tokens", "5", "--max-body", "100", "--deadline", "0"];
    let (_server, address) = start(&work, &[&["run"], &flags[..]].concat());
    for (status, code, body) in [
        ("429", "queue_full", r#"{"prompt":["a","b"]}"#),
        ("400", "prompt 0 has 6 tokens: 4 are allowed", r#"{"prompt":"abcde"}"#),
        ("400", "max_tokens is 6: 5 are allowed", r#"{"max_tokens":6}"#),
        ("413", "a request may have 100 bytes", &format!(r#"{{"prompt":"{}"}}"#, "a".repeat(100))),
        ("504", "deadline", "{}"),
    ] {
        let answer = send(&address, &post(body));
        assert!(answer.starts_with(&format!("HTTP/1.0 {status} ")) && answer.contains(code), "{answer}");
    }
}
