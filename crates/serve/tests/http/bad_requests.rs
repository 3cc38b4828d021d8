//! What is refused, and how: a table.

use std::fmt::Write;

use percept_serve::Limits;

use crate::support::Running;

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
