//! What is refused, and how: a table.

use std::fmt::Write;

use percept_serve::Limits;

use crate::support::{Answer, Running};

/// Bodies of completions that are refused.
const BAD: &[&str] = &[
    "",
    "{",
    "[]",
    "{} {}",
    r#"{"prompt":"a","stopp":"b"}"#,
    r#"{"prompt":1}"#,
    r#"{"prompt":[1,"a"]}"#,
    r#"{"prompt":[257]}"#,
    r#"{"prompt":["a","b","c"]}"#,
    r#"{"prompt":"a text that is longer than 16 tokens"}"#,
    r#"{"prompt":"a","prompt":"b"}"#,
    r#"{"model":"other","prompt":"a"}"#,
    r#"{"prompt":"a","max_tokens":101}"#,
    r#"{"prompt":"a","max_tokens":-1}"#,
    r#"{"prompt":"a","n":2}"#,
    r#"{"prompt":"a","best_of":3}"#,
    r#"{"prompt":"a","suffix":"b"}"#,
    r#"{"prompt":"a","presence_penalty":0.5}"#,
    r#"{"prompt":"a","temperature":-1}"#,
    r#"{"prompt":"a","temperature":1e400}"#,
    r#"{"prompt":"a","top_p":0}"#,
    r#"{"prompt":"a","top_k":0}"#,
    r#"{"prompt":"a","min_p":2}"#,
    r#"{"prompt":"a","logprobs":21}"#,
    r#"{"prompt":"a","stop":[""]}"#,
    r#"{"prompt":"a","stop":7}"#,
    r#"{"prompt":"a","logit_bias":{"x":1}}"#,
    r#"{"prompt":"a","logit_bias":{"257":1}}"#,
    r#"{"prompt":"a","logit_bias":{"1":101}}"#,
    r#"{"prompt":"a","stream_options":{"include_usage":true}}"#,
    r#"{"prompt":"a","stream":true,"stream_options":{"more":1}}"#,
];

/// Requests about states that are refused; `STATE` is one that is there.
const BAD_STATES: &[(&str, &str, &str)] = &[
    ("GET", "/v1/states?limit=0", ""),
    ("GET", "/v1/states?limit=101", ""),
    ("GET", "/v1/states?limit=x", ""),
    ("GET", "/v1/states?more=1", ""),
    ("GET", "/v1/states?model=other", ""),
    ("GET", "/v1/states?after=x", ""),
    ("GET", "/v1/states?after=state-aaaaaaaaaaaaaaaaaaaaaa", ""),
    ("GET", "/v1/states/x", ""),
    ("GET", "/v1/states/state-aaaaaaaaaaaaaaaaaaaaaa", ""),
    ("GET", "/v1/states/..%2f..%2fetc%2fpasswd", ""),
    ("GET", "/v1/states/..%2fstates.sqlite/file", ""),
    ("GET", "/v1/states/state-aaaaaaaaaaaaaaaaaaaaaa/file", ""),
    ("GET", "/v1/states/%ff", ""),
    ("PUT", "/v1/states/STATE", "{}"),
    ("DELETE", "/v1/states", ""),
    ("DELETE", "/v1/states/state-aaaaaaaaaaaaaaaaaaaaaa", ""),
    ("POST", "/v1/states", "[]"),
    ("POST", "/v1/states", r#"{"prompts":"a"}"#),
    ("POST", "/v1/states", r#"{"prompt":["a","b"]}"#),
    ("POST", "/v1/states", r#"{"prompt":[257]}"#),
    ("POST", "/v1/states", r#"{"prompt":"a","pinned":1}"#),
    ("POST", "/v1/states", r#"{"prompt":"a","max_tokens":1}"#),
    ("POST", "/v1/states", r#"{"prompt":"a","model":"other"}"#),
    ("POST", "/v1/states", r#"{"prompt":"a","state":"x"}"#),
    ("POST", "/v1/states", r#"{"prompt":"a","state":"state-aaaaaaaaaaaaaaaaaaaaaa"}"#),
    ("POST", "/v1/states", r#"{"prompt":"a text that is longer than 16 tokens"}"#),
    ("POST", "/v1/states/STATE", ""),
    ("POST", "/v1/states/STATE", r#"{"name":7}"#),
    ("POST", "/v1/states/STATE", r#"{"id":"state-aaaaaaaaaaaaaaaaaaaaaa"}"#),
    ("POST", "/v1/states/state-aaaaaaaaaaaaaaaaaaaaaa", "{}"),
    ("POST", "/v1/states/STATE/fork", r#"{"pinned":"yes"}"#),
    ("POST", "/v1/states/state-aaaaaaaaaaaaaaaaaaaaaa/fork", "{}"),
    ("POST", "/v1/states/STATE/forks", "{}"),
    ("POST", "/v1/completions", r#"{"state":7}"#),
    ("POST", "/v1/completions", r#"{"state":"../STATE"}"#),
    ("POST", "/v1/completions", r#"{"state":"STATE","model":"other"}"#),
    ("POST", "/v1/completions", r#"{"state":"STATE","keep_state":1}"#),
    ("POST", "/v1/completions", r#"{"prompt":["a","b"],"keep_state":true}"#),
];

/// Files of states that are refused, made of one that is right, and what stands behind the address.
type Broken = (&'static str, &'static str, fn(Vec<u8>) -> Vec<u8>);
const BAD_FILES: &[Broken] = &[
    ("nothing", "", |_| Vec::new()),
    ("cut in its length", "", |file| file[..4].to_vec()),
    ("cut in its head", "", |file| file[..100].to_vec()),
    ("cut in its tensors", "", |file| file[..file.len() - 1].to_vec()),
    ("with a byte too many", "", |file| [&file[..], b"x"].concat()),
    ("with a head of 16 EiB", "", |file| [&[0xff; 8], &file[8..]].concat()),
    ("with a head of 1 MiB and a byte", "", |file| [&(1u64 << 20 | 1).to_le_bytes()[..], &file[8..]].concat()),
    ("with an empty head", "", |_| b"\x02\0\0\0\0\0\0\0{}".to_vec()),
    ("of another format", "", |file| changed(file, "percept-session-1", "percept-session-9")),
    ("of another model", "", |file| changed(file, "\"model_fingerprint\":\"", "\"model_fingerprint\":\"0")),
    ("of another position", "", |file| changed(file, "\"position\":\"7\"", "\"position\":\"6\"")),
    ("of a position that is none", "", |file| changed(file, "\"position\":\"7\"", "\"position\":\"-1\"")),
    ("of a position at the end of time", "", |file| {
        changed(file, "\"position\":\"7\"", "\"position\":\"18446744073709551615\"")
    }),
    ("with other shapes", "", |file| changed(file, "[1,7,2,8]", "[1,7,8,2]")),
    ("with shapes of 8 EiB", "", |file| changed(file, "[1,7,2,8]", "[1,7,2,2305843009213693952]")),
    ("with another type", "", |file| changed(file, "\"F32\"", "\"I32\"")),
    ("with other names", "", |file| changed(file, "layers.0", "layers.9")),
    ("with offsets that overlap", "", |file| changed(file, "\"data_offsets\":[0,", "\"data_offsets\":[4,")),
    ("with recent tokens that are none", "", |file| changed(file, "\"recent_tokens\":\"", "\"recent_tokens\":\"300 ")),
    ("for a model that is not served", "?model=other", |file| file),
    ("under a name that is too long", LONG_NAME, |file| file),
    ("with what is not known", "?nam=x", |file| file),
    ("pinned somehow", "?pinned=maybe", |file| file),
];

/// 201 characters.
const LONG_NAME: &str = "?name=\
    01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/// A file with another head.
fn changed(file: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let end = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let head = String::from_utf8(file[8..end].to_vec()).unwrap();
    assert!(head.contains(from), "{from} is not in {head}");
    let head = head.replacen(from, to, 1);
    [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &file[end..]].concat()
}

#[test]
fn what_is_wrong_about_states_is_named() {
    let server = Running::start(Limits { prompt_tokens: 16, ..Limits::default() });
    let state = server.post("/v1/states", r#"{"prompt":"a text"}"#).json()["id"].as_str().unwrap().to_owned();
    let file = server.bytes(&format!("/v1/states/{state}/file"));
    let mut table = String::new();
    let mut note = |asked: &str, answer: Answer| {
        let error = answer.json()["error"].clone();
        let (param, code) = (error["param"].as_str().unwrap_or("-"), error["code"].as_str().unwrap_or("-"));
        assert!(error["type"] == "invalid_request_error" && !answer.body.contains("etc"), "{asked}: {}", answer.body);
        let _ = writeln!(table, "{asked}\n  {} {param} {code}: {}", answer.status, error["message"].as_str().unwrap());
    };
    for (method, path, body) in BAD_STATES {
        let [with_id, body_with_id] = [path, body].map(|text| text.replace("STATE", &state));
        let answer = server.ask(method, &with_id, &body_with_id);
        note(format!("{method} {path} {body}").trim_end(), answer);
    }
    for (what, query, change) in BAD_FILES {
        let answer = server.upload(&format!("/v1/states/upload{query}"), &change(file.clone()));
        note(&format!("a file {what}"), answer);
    }
    note("a file in JSON", server.post("/v1/states/upload", "{}"));
    println!("{table}");
    assert!(table == include_str!("bad_states.txt"), "the answers differ from bad_states.txt");
    // It was not touched, and is taken as it is.
    assert_eq!(server.upload("/v1/states/upload", &file).status, 201);
}

#[test]
fn what_is_wrong_is_named() {
    let limits = Limits { prompts: 2, prompt_tokens: 16, max_tokens: 100, body_bytes: 1000, ..Limits::default() };
    let server = Running::start(limits);
    let mut table = String::new();
    for body in BAD {
        let answer = server.post("/v1/completions", body);
        let error = answer.json()["error"].clone();
        let (param, code) = (error["param"].as_str().unwrap_or("-"), error["code"].as_str().unwrap_or("-"));
        assert_eq!(error["type"], "invalid_request_error", "{body}");
        let _ = writeln!(table, "{body}\n  {} {param} {code}: {}", answer.status, error["message"].as_str().unwrap());
    }
    // Run with `--nocapture` to see the whole table where it differs.
    println!("{table}");
    assert!(table == include_str!("bad_requests.txt"), "the answers differ from bad_requests.txt");
}

#[test]
fn other_ways_in_are_refused_in_the_same_shape() {
    let server = Running::start(Limits { body_bytes: 1000, ..Limits::default() });
    let large = format!(r#"{{"prompt":"{}"}}"#, "a".repeat(1000));
    let answers = [
        (413, server.post("/v1/completions", &large)),
        (404, server.get("/v1/nothing")),
        (404, server.get("/../../etc/passwd")),
        (404, server.get("/v1/models/%ff")),
        (405, server.get("/v1/completions")),
        (405, server.post("/v1/models", "{}")),
        (400, server.post("/v1/tokenize", "{}")),
        (400, server.post("/v1/detokenize", r#"{"tokens":[300]}"#)),
        (
            415,
            server
                .open("POST /v1/completions HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}")
                .answer(),
        ),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        assert!(answer.head.contains("x-request-id: ") && answer.head.contains("content-type: application/json"));
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
    assert_eq!(server.get("/health").json(), serde_json::json!({ "status": "ok" }));
}
