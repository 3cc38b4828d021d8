//! What is refused, and how: tables. Run with `--nocapture` to see the whole of one that differs.

use std::fmt::Write;

use percept_serve::Limits;

use crate::support::{Answer, Running};

/// Bodies of completions that are refused.
const COMPLETIONS: &[&str] = &[
    "",
    "{",
    "[]",
    "null",
    "\"prompt\"",
    "{} {}",
    r#"{"prompt":"a",}"#,
    r#"{'prompt':'a'}"#,
    r#"{"prompt":"a","stopp":"b"}"#,
    r#"{"Prompt":"a"}"#,
    r#"{"prompt":[1,"a"]}"#,
    r#"{"prompt":["a",1]}"#,
    r#"{"prompt":[[1],2]}"#,
    r#"{"prompt":[[1.5]]}"#,
    r#"{"prompt":[null]}"#,
    r#"{"prompt":[257]}"#,
    r#"{"prompt":[[1],[257]]}"#,
    r#"{"prompt":[4294967296]}"#,
    r#"{"prompt":["a","b","c"]}"#,
    r#"{"prompt":[[1],[2],[3]]}"#,
    r#"{"prompt":"a text that is longer than 16 tokens"}"#,
    r#"{"prompt":["a","a text that is longer than 16 tokens"]}"#,
    r#"{"prompt":"\ud800"}"#,
    r#"{"prompt":"a","prompt":"b"}"#,
    r#"{"prompt":"a","seed":1,"seed":1}"#,
    r#"{"model":"other","prompt":"a"}"#,
    r#"{"model":"","prompt":"a"}"#,
    r#"{"model":"../tiny","prompt":"a"}"#,
    r#"{"prompt":"a","max_tokens":101}"#,
    r#"{"prompt":"a","max_tokens":NaN}"#,
    r#"{"prompt":"a","n":2}"#,
    r#"{"prompt":"a","best_of":3}"#,
    r#"{"prompt":"a","presence_penalty":0.5}"#,
    r#"{"prompt":"a","frequency_penalty":-0.5}"#,
    r#"{"prompt":"a","temperature":Infinity}"#,
    r#"{"prompt":"a","temperature":1e400}"#,
    r#"{"prompt":"a","temperature":-0.1}"#,
    r#"{"prompt":"a","top_p":0}"#,
    r#"{"prompt":"a","top_k":0}"#,
    r#"{"prompt":"a","logprobs":21}"#,
    r#"{"prompt":"a","logprobs":20,"max_tokens":10}"#,
    r#"{"prompt":"abcdefgh","logprobs":10,"echo":true,"max_tokens":0}"#,
    r#"{"prompt":"a","stop":[""]}"#,
    r#"{"prompt":"a","stop":["a",1]}"#,
    r#"{"prompt":"a","stop":["1","2","3","4","5","6","7","8","9","0","1","2","3","4","5","6","7"]}"#,
    r#"{"prompt":"a","logit_bias":{"x":1}}"#,
    r#"{"prompt":"a","logit_bias":{"-1":1}}"#,
    r#"{"prompt":"a","logit_bias":{"257":1}}"#,
    r#"{"prompt":"a","logit_bias":{"4294967296":1}}"#,
    r#"{"prompt":"a","logit_bias":{"1":101}}"#,
    r#"{"prompt":"a","logit_bias":{"1":"a"}}"#,
    r#"{"prompt":"a","logit_bias":{"1":1,"1":2}}"#,
    r#"{"prompt":"a","stream_options":{"include_usage":true}}"#,
    r#"{"prompt":"a","stream":true,"stream_options":{"more":1}}"#,
    r#"{"prompt":"a","stream":true,"stream_options":{"include_usage":1}}"#,
    r#"{"prompt":"a","stream":true,"stream_options":[true]}"#,
    r#"{"prompt":"a","stream":true,"stream_options":{"include_usage":true,"include_usage":true}}"#,
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

/// Every field of a completion.
const FIELDS: &[&str] = &[
    "model",
    "prompt",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "logprobs",
    "echo",
    "logit_bias",
    "state",
    "keep_state",
    "user",
    "n",
    "best_of",
    "suffix",
    "presence_penalty",
    "frequency_penalty",
];

/// Values that few fields take.
const VALUES: &[&str] = &["true", "\"a\"", "-1", "1.5", "1e39", "18446744073709551616", "[]", "{}"];

/// Bodies for the tokenizers.
const TEXTS: &[(&str, &str)] = &[
    ("tokenize", ""),
    ("tokenize", "[\"a\"]"),
    ("tokenize", "{}"),
    ("tokenize", r#"{"text":1}"#),
    ("tokenize", r#"{"text":null}"#),
    ("tokenize", r#"{"text":["a"]}"#),
    ("tokenize", r#"{"text":"a","text":"b"}"#),
    ("tokenize", r#"{"text":"a","more":1}"#),
    ("tokenize", r#"{"text":"a","model":1}"#),
    ("tokenize", r#"{"text":"a","model":"other"}"#),
    ("detokenize", "{}"),
    ("detokenize", r#"{"tokens":"a"}"#),
    ("detokenize", r#"{"tokens":1}"#),
    ("detokenize", r#"{"tokens":[257]}"#),
    ("detokenize", r#"{"tokens":[-1]}"#),
    ("detokenize", r#"{"tokens":[1.5]}"#),
    ("detokenize", r#"{"tokens":[4294967296]}"#),
    ("detokenize", r#"{"tokens":[NaN]}"#),
    ("detokenize", r#"{"tokens":[[1]]}"#),
    ("detokenize", r#"{"tokens":[1],"tokens":[2]}"#),
    ("detokenize", r#"{"tokens":[1],"text":"a"}"#),
    ("detokenize", r#"{"tokens":[1],"model":"other"}"#),
];

/// All ways in.
const PATHS: &[&str] = &[
    "/v1/completions",
    "/v1/models",
    "/v1/models/tiny",
    "/v1/models/other",
    "/v1/models/%ff",
    "/v1/models/..%2f..%2fetc%2fpasswd",
    "/v1/tokenize",
    "/v1/detokenize",
    "/health",
    "/metrics",
    "/openapi.json",
    "/v1/states",
    "/v1/states/x",
    "/v1/nothing",
    "/v1/completions/",
    "/../../etc/passwd",
];

fn server() -> Running {
    let limits =
        Limits { prompts: 2, prompt_tokens: 16, max_tokens: 100, logprobs: 80, body_bytes: 1000, ..Limits::default() };
    Running::start(limits)
}

/// The status of an answer; where it is a refusal, field, code and message, in the one shape that there is.
fn told(answer: &Answer) -> String {
    assert!(answer.head.contains("x-request-id: ") && answer.head.contains("x-content-type-options: nosniff"));
    assert!(!answer.head.contains("access-control"), "{}", answer.head);
    if answer.status < 400 {
        return answer.status.to_string();
    }
    assert!(answer.head.contains("content-type: application/json"), "{}\n{}", answer.head, answer.body);
    let error = answer.json()["error"].clone();
    assert_eq!(error["type"], "invalid_request_error", "{}", answer.body);
    let (param, code) = (error["param"].as_str().unwrap_or("-"), error["code"].as_str().unwrap_or("-"));
    format!("{} {param} {code}: {}", answer.status, error["message"].as_str().unwrap())
}

fn same(table: &str, expected: &str, name: &str) {
    println!("{table}");
    assert!(table == expected, "the answers differ from {name}");
}

#[test]
fn what_is_wrong_is_named() {
    let server = server();
    let mut table = String::new();
    for body in COMPLETIONS {
        let answer = server.post("/v1/completions", body);
        assert!(answer.status >= 400, "{body}");
        let _ = writeln!(table, "{body}\n  {}", told(&answer));
    }
    for (name, body) in TEXTS {
        let answer = server.post(&format!("/v1/{name}"), body);
        assert!(answer.status >= 400, "{body}");
        let _ = writeln!(table, "{name} {body}\n  {}", told(&answer));
    }
    same(&table, include_str!("bad_requests.txt"), "bad_requests.txt");
}

#[test]
fn every_field_says_what_it_takes() {
    let server = server();
    let mut table = String::new();
    for field in FIELDS {
        // What a stream's options are for; nobody knows the other fields of the same name.
        let more = if *field == "stream_options" { r#""stream":true,"# } else { "" };
        for value in VALUES {
            let answer = server.post("/v1/completions", &format!("{{{more}\"{field}\":{value}}}"));
            let _ = writeln!(table, "{field}: {value}\n  {}", told(&answer));
        }
        // None is the same as nothing.
        assert_eq!(server.post("/v1/completions", &format!("{{{more}\"{field}\":null}}")).status, 200, "{field}");
    }
    same(&table, include_str!("bad_fields.txt"), "bad_fields.txt");
}

#[test]
fn every_way_in_says_which_methods_it_takes() {
    let server = server();
    let mut table = String::new();
    for path in PATHS {
        let _ = write!(table, "{path}:");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let request = format!(
                "{method} {path} HTTP/1.0\r\nHost: localhost\r\nOrigin: http://elsewhere.example\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            let answer = server.open(&request).answer();
            let _ = write!(table, " {method} {}", answer.status);
            if method != "HEAD" {
                told(&answer);
            }
            let allowed = answer.head.lines().find_map(|line| line.strip_prefix("allow: "));
            assert_eq!(allowed.is_some(), answer.status == 405, "{}", answer.head);
        }
        table.push('\n');
    }
    same(&table, include_str!("bad_methods.txt"), "bad_methods.txt");
}

#[test]
fn what_is_no_request_in_json_is_refused() {
    let server = server();
    let post = |headers: &str, body: &[u8]| {
        let length = body.len();
        let head = format!("POST /v1/completions HTTP/1.0\r\nContent-Length: {length}\r\n{headers}\r\n");
        server.open_bytes(&[head.as_bytes(), body].concat()).answer()
    };
    let json = "Content-Type: application/json\r\n";
    let mut table = String::new();
    for kind in ["", "text/plain", "application/jsonx", "application/x-www-form-urlencoded", "multipart/form-data", ","]
    {
        let headers = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let _ = writeln!(table, "of the type {kind:?}\n  {}", told(&post(&headers, b"{}")));
    }
    for kind in ["application/json; charset=utf-8", "APPLICATION/JSON"] {
        assert_eq!(post(&format!("Content-Type: {kind}\r\n"), b"{\"max_tokens\":1}").status, 200);
    }
    let large = format!(r#"{{"prompt":"{}"}}"#, "a".repeat(1000));
    let deep = format!(r#"{{"prompt":{}}}"#, "[".repeat(900));
    for (name, body) in [
        ("too large", large.as_bytes()),
        ("nested too deep", deep.as_bytes()),
        ("a text that is no UTF-8", b"{\"prompt\":\"\xff\"}"),
        ("a name that is no UTF-8", b"{\"\xff\":1}"),
        ("UTF-16", b"\xff\xfe{\0}\0"),
        ("a mark of byte order", b"\xef\xbb\xbf{}"),
        ("compressed", b"\x1f\x8b\x08\0\0\0\0\0"),
    ] {
        let _ = writeln!(table, "{name}\n  {}", told(&post(json, body)));
    }
    let chunked = |chunks: &str| {
        let head =
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n";
        server.open(&format!("{head}{json}\r\n{chunks}")).answer()
    };
    let _ = writeln!(table, "chunks that are too large\n  {}", told(&chunked(&format!("7d0\r\n{large}{large}"))));
    let _ = writeln!(table, "no chunks\n  {}", told(&chunked("xyz\r\n")));
    let _ = writeln!(table, "no body\n  {}", told(&chunked("0\r\n\r\n")));
    let said = format!("POST /v1/completions HTTP/1.0\r\n{json}Content-Length: 9223372036854775807\r\n\r\n{{}}");
    let _ = writeln!(table, "said to be larger than anything\n  {}", told(&server.open(&said).answer()));
    same(&table, include_str!("bad_bodies.txt"), "bad_bodies.txt");
    assert_eq!(server.get("/health").json(), serde_json::json!({ "status": "ok" }));
}
