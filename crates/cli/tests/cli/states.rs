//! `percept serve --states`: what the folder holds after a kill, and on a full disk.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::Value;

use crate::serve::{Server, send, start, started};
use crate::support::Work;

/// Clients that make states at once.
const CLIENTS: usize = 4;

/// A run whose states have half a megabyte.
fn work() -> Work {
    let work = Work::new();
    let large = ["--set", "model.dim=64", "--set", "model.segment=256", "--set", "model.context=1024"];
    work.train(&[&["--steps", "1", "--set", "train.batch=1"][..], &large].concat()).succeeds();
    work
}

/// Status and JSON of an answer; `None` where the server went.
fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let mut client = TcpStream::connect(address).ok()?;
    let (length, kind) = (body.len(), "Content-Type: application/json");
    write!(client, "{method} {path} HTTP/1.0\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
}

fn ids(address: &str) -> BTreeSet<String> {
    let (status, list) = ask(address, "GET", "/v1/states?limit=100", "").unwrap();
    assert_eq!(status, 200, "{list}");
    list["data"].as_array().unwrap().iter().map(|state| state["id"].as_str().unwrap().to_owned()).collect()
}

/// Names of the files of states that are being written.
fn partial(work: &Work) -> Vec<String> {
    let names = std::fs::read_dir(work.path("states")).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".partial")).collect()
}

/// A server whose log is read, so that it never waits for that.
fn logged((mut server, address): (Server, String)) -> (Server, String) {
    let said = server.0.stderr.take().unwrap();
    std::thread::spawn(move || BufReader::new(said).lines().for_each(drop));
    (server, address)
}

/// Makes states until the server is gone; those that it answered for.
fn save_until_killed(address: &str) -> Vec<String> {
    let made = std::iter::from_fn(|| ask(address, "POST", "/v1/states", r#"{"prompt":"The quick brown fox"}"#));
    let id = |(status, state): (u16, Value)| {
        assert_eq!(status, 201, "{state}");
        state["id"].as_str().unwrap().to_owned()
    };
    made.map(id).collect()
}

#[test]
fn a_kill_while_states_are_saved_loses_those_alone() {
    let work = work();
    let keep = || logged(start(&work, &["run", "--states", "states"]));
    let goes_on = |id: &str| format!(r#"{{"state":"{id}","max_tokens":4,"seed":1}}"#);
    let (server, address) = keep();
    let (_, first) = ask(&address, "POST", "/v1/states", r#"{"prompt":"The quick brown fox","pinned":true}"#).unwrap();
    let first = first["id"].as_str().unwrap().to_owned();
    let text = |address: &str| ask(address, "POST", "/v1/completions", &goes_on(&first)).unwrap().1["choices"].clone();
    let expected = text(&address);
    drop(server);
    // Killed until that was in the middle of a save.
    for _ in 0..50 {
        let (mut server, address) = keep();
        assert!(partial(&work).is_empty(), "what was cut is removed at the start");
        let begun = ids(&address);
        let answered: Vec<String> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| save_until_killed(&address))).collect();
            while ids(&address).len() < begun.len() + CLIENTS || partial(&work).is_empty() {
                std::thread::yield_now();
            }
            server.0.kill().unwrap();
            server.0.wait().unwrap();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        let hit = !partial(&work).is_empty();
        let (_server, address) = keep();
        let mut there = ids(&address);
        assert!(answered.iter().chain(&begun).all(|id| there.remove(id)), "what was answered is there");
        assert!(there.len() <= CLIENTS, "{} more than one of each client", there.len());
        assert_eq!(text(&address), expected);
        for id in answered.iter().chain(&there) {
            assert_eq!(ask(&address, "POST", "/v1/completions", &goes_on(id)).unwrap().0, 200);
            assert_eq!(ask(&address, "DELETE", &format!("/v1/states/{id}"), "").unwrap().0, 200);
        }
        if hit {
            return;
        }
    }
    panic!("no kill came in the middle of a save");
}

#[test]
fn a_full_disk_is_answered_507_and_the_server_goes_on() {
    let work = work();
    let serve = work.command(&["serve", "--listen", "127.0.0.1:0", "run", "--states", "states"]);
    // No file may grow to the size of a state: as on a full disk, writing fails in the middle.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 300; exec \"$0\" \"$@\""])
        .arg(serve.get_program())
        .args(serve.get_args());
    limited.current_dir(work.path(".")).env("PERCEPT_THREADS", "1");
    let (_server, address) = logged(started(limited));
    // Long enough that the state has all its rows.
    let long = "The quick brown fox. ".repeat(40);
    for _ in 0..3 {
        let make = format!(r#"{{"prompt":"{long}"}}"#);
        let (status, answer) = ask(&address, "POST", "/v1/states", &make).unwrap();
        assert_eq!((status, answer["error"]["code"].as_str()), (507, Some("no_room")), "{answer}");
        let kept = format!(r#"{{"prompt":"{long}","max_tokens":3,"keep_state":true}}"#);
        assert_eq!(ask(&address, "POST", "/v1/completions", &kept).unwrap().0, 507);
        let plain = r#"{"prompt":"The","max_tokens":3}"#;
        assert_eq!(ask(&address, "POST", "/v1/completions", plain).unwrap().0, 200);
    }
    assert!(ids(&address).is_empty() && partial(&work).is_empty());
}

#[test]
fn limits_of_states_are_those_of_the_flags() {
    let work = Work::trained(1);
    let made = |flags: &[&str], path: &str| {
        let (_server, address) = start(&work, &[&["run"], flags].concat());
        let prompt = format!(r#"{{"prompt":"{}"}}"#, "The quick ".repeat(60));
        // The second time it is found, where beginnings of prompts are kept.
        for _ in 0..2 {
            ask(&address, "POST", "/v1/completions", &prompt).unwrap();
        }
        let state = ask(&address, "POST", "/v1/states", &prompt).unwrap();
        (state, send(&address, &format!("GET {path} HTTP/1.0\r\n\r\n")))
    };
    for (flags, status, said) in [
        (["--states-limit", "1"], 507, ": 1 bytes are kept"),
        (["--states-limit-each", "1"], 507, ": 1 bytes of each client are kept"),
        (["--max-state", "1"], 413, " bytes: 1 are allowed"),
    ] {
        let ((code, answer), _) = made(&flags, "/health");
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(code == status && message.ends_with(said), "{flags:?}: {code} {answer}");
    }
    let ((code, state), metrics) = made(&["--states-ttl", "1000", "--prefix-cache", "0"], "/metrics");
    let [created, expires] = ["created", "expires"].map(|key| state[key].as_u64().unwrap());
    assert!(code == 201 && (1000..1100).contains(&(expires - created)), "{state}");
    assert!(metrics.contains("percept_prefix_lookups_total{model=\"run\"} 0\n"), "{metrics}");
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let work = Work::new();
    insta::assert_snapshot!(work.run(&["serve", "run", "--max-state", "0"]).refusal(), @r"
    exit 2
    error: the limit of state is 0
    hint: use at least 1
    ");
}
