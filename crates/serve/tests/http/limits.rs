//! Who may come in, how many, and for how long.

use std::sync::Arc;
use std::time::Duration;

use percept_data::Tokenizer;
use percept_model::{LanguageModel, ModelConfig};
use percept_serve::{Access, Limits, ServedModel, Tokens};
use serde_json::Value;

use crate::support::{Running, config};

/// A text that takes long and is told in many bytes, so that it waits for its reader.
const LONG: &str = r#"{"prompt":"a","max_tokens":60000,"stream":true,"logprobs":20,"seed":1}"#;
const SHORT: &str = r#"{"prompt":"a","max_tokens":3,"seed":1}"#;

#[test]
fn tokens_open_all_and_nothing_else_does() {
    let tokens = Tokens::of_lines("a-token-that-is-long\n", "tokens").unwrap();
    let server = Running::with(Limits::default(), Access::Tokens(tokens), &["tiny"]);
    for headers in ["", "Authorization: Bearer wrong\r\n", "Authorization: a-token-that-is-long\r\n"] {
        let answer = server.posting("/v1/completions", SHORT, headers).answer();
        assert_eq!((answer.status, answer.head.contains("www-authenticate: bearer")), (401, true), "{headers}");
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
    }
    assert_eq!((server.get("/v1/models").status, server.get("/metrics").status), (401, 401));
    assert_eq!((server.get("/none").status, server.get("/health").status), (401, 200));
    let right = "Authorization: Bearer a-token-that-is-long\r\n";
    assert_eq!(server.posting("/v1/completions", SHORT, right).answer().status, 200);
}

#[test]
fn a_full_queue_says_so_and_a_client_that_goes_makes_place() {
    let server = Running::start(Limits { streams: 1, queue: 1, ..Limits::default() });
    // Nobody reads it: it keeps the only place.
    let mut first = server.posting("/v1/completions", LONG, "");
    assert!(first.event().is_some());
    std::thread::scope(|scope| {
        let second = scope.spawn(|| server.post("/v1/completions", SHORT));
        server.wait_for(r#"percept_texts_waiting{model="tiny"} 1"#);
        let third = server.post("/v1/completions", SHORT);
        assert_eq!((third.status, third.head.contains("retry-after: 1")), (429, true));
        assert_eq!(third.json()["error"]["code"], "queue_full");
        first.close();
        assert_eq!(second.join().unwrap().status, 200);
    });
    server.wait_for(r#"percept_texts_cancelled_total{model="tiny"} 1"#);
    server.wait_for(r#"percept_requests_refused_total{model="tiny"} 1"#);
}

#[test]
fn a_client_has_its_share_and_others_the_rest() {
    let tokens = Tokens::of_lines("the-token-of-the-first\nthe-token-of-the-other\n", "tokens").unwrap();
    let limits = Limits { streams: 2, streams_each: Some(1), queue: 9, queue_each: Some(1), ..Limits::default() };
    let server = Running::with(limits, Access::Tokens(tokens), &["tiny"]);
    let [one, other] = ["first", "other"].map(|whose| format!("Authorization: Bearer the-token-of-the-{whose}\r\n"));
    let ask = |body, whose: &str| server.posting("/v1/completions", body, whose);
    let mut first = ask(LONG, &one);
    assert!(first.event().is_some());
    // There is a place, but not for this one.
    let second = ask(SHORT, &one);
    let metrics = || server.open(&format!("GET /metrics HTTP/1.0\r\nHost: localhost\r\n{one}\r\n")).answer().body;
    while !metrics().contains(r#"percept_texts_waiting{model="tiny"} 1"#) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let third = ask(SHORT, &one).answer();
    assert_eq!((third.status, third.head.contains("retry-after: 1")), (429, true));
    assert_eq!(third.json()["error"]["code"], "share_full");
    assert_eq!(ask(SHORT, &other).answer().status, 200);
    assert!(metrics().contains(r#"percept_texts_waiting{model="tiny"} 1"#));
    first.close();
    assert_eq!(second.answer().status, 200);
}

#[test]
fn a_client_that_goes_before_its_answer_is_noticed() {
    let server = Running::start(Limits { streams: 1, ..Limits::default() });
    let mut first = server.posting("/v1/completions", LONG, "");
    assert!(first.event().is_some());
    let second = server.posting("/v1/completions", SHORT, "");
    server.wait_for(r#"percept_texts_waiting{model="tiny"} 1"#);
    second.close();
    server.wait_for(r#"percept_texts_cancelled_total{model="tiny"} 1"#);
    server.wait_for(r#"percept_texts_waiting{model="tiny"} 0"#);
}

#[test]
fn a_slow_reader_keeps_nobody_waiting_and_misses_nothing() {
    let server = Running::start(Limits { streams: 2, ..Limits::default() });
    let long = LONG.replace("60000", "3000");
    let mut slow = server.posting("/v1/completions", &long, "");
    let first = slow.event().unwrap();
    for _ in 0..3 {
        assert_eq!(server.post("/v1/completions", SHORT).status, 200);
    }
    let mut text = serde_json::from_str::<Value>(&first).unwrap()["choices"][0]["text"].as_str().unwrap().to_owned();
    let mut last = String::new();
    while let Some(event) = slow.event() {
        if let Ok(event) = serde_json::from_str::<Value>(&event) {
            text.push_str(event["choices"][0]["text"].as_str().unwrap());
        }
        last = event;
    }
    assert_eq!(last, "[DONE]");
    let whole = server.complete(&long.replace("\"stream\":true", "\"stream\":false"));
    assert_eq!(text, whole["choices"][0]["text"].as_str().unwrap());
}

#[test]
fn what_takes_too_long_ends() {
    let server = Running::start(Limits { request: Duration::ZERO, ..Limits::default() });
    for body in [SHORT, LONG] {
        let answer = server.post("/v1/completions", body);
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (504, &Value::from("deadline")));
    }
    let server = Running::start(Limits { receive: Duration::from_secs(1), ..Limits::default() });
    let body = "POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    assert_eq!(server.open(body).answer().status, 408);
    // The head never comes: the connection is closed, and the server goes on.
    assert!(server.open("POST /v1/comp").line().is_none_or(|line| line.contains(" 4")));
    assert_eq!(server.post("/v1/completions", SHORT).status, 200);
}

#[test]
fn what_is_no_http_is_closed_and_the_server_goes_on() {
    let server = Running::start(Limits::default());
    for bytes in [
        "\0\x01\x02\x03\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ] {
        assert!(server.open(bytes).line().is_none_or(|line| line.contains(" 40")), "{bytes:?}");
    }
    assert_eq!(server.post("/v1/completions", SHORT).status, 200);
}

#[test]
fn texts_end_before_the_server_does() {
    let server = Running::start(Limits::default());
    let mut client = server.posting("/v1/completions", &LONG.replace("60000", "200"), "");
    assert!(client.event().is_some());
    server.stop();
    let rest: Vec<String> = std::iter::from_fn(|| client.event()).collect();
    assert!(rest.len() > 150 && rest.last().unwrap() == "[DONE]", "{}", rest.len());
}

#[test]
fn texts_that_do_not_end_in_time_are_ended_with_a_reason() {
    let server = Running::start(Limits { grace: Duration::ZERO, ..Limits::default() });
    let mut client = server.posting("/v1/completions", LONG, "");
    assert!(client.event().is_some());
    server.stop();
    let last = std::iter::from_fn(|| client.event()).last().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&last).unwrap()["error"]["code"], "stopping", "{last}");
}

#[test]
fn clients_take_turns_however_much_one_of_them_asks() {
    let tokens = Tokens::of_lines("the-token-of-alice\nthe-token-of-bob-too\nthe-token-of-carol", "tokens").unwrap();
    let limits = Limits { streams: 1, send: Duration::from_secs(1000), ..Limits::default() };
    let server = Running::with(limits, Access::Tokens(tokens), &["tiny"]);
    let [alice, bob, carol] = ["the-token-of-alice", "the-token-of-bob-too", "the-token-of-carol"]
        .map(|token| format!("Authorization: Bearer {token}\r\n"));
    let ask = |body: &str, client: &str, waiting: usize| {
        let asked = server.posting("/v1/completions", body, client);
        server.wait_with(&carol, &format!("percept_texts_waiting{{model=\"tiny\"}} {waiting}"));
        asked
    };
    // Carol has the only place until she goes. Alice's second text would keep it, since nobody reads it.
    let mut first = ask(LONG, &carol, 0);
    assert!(first.event().is_some());
    let (short, long) = (ask(SHORT, &alice, 1), ask(LONG, &alice, 2));
    let other = ask(SHORT, &bob, 3);
    first.close();
    assert_eq!((short.answer().status, other.answer().status), (200, 200));
    long.close();
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    // One at a time: who comes next, and asks for the metrics at last, is let in only once the one before was cut.
    let limits = Limits { connections: 1, send: Duration::from_millis(100), ..Limits::default() };
    let server = Running::start(limits);
    let whole = LONG.replace("60000", "20000").replace("\"stream\":true", "\"stream\":false");
    let unread = [server.posting("/v1/completions", LONG, ""), server.posting("/v1/completions", &whole, "")];
    server.wait_for(r#"percept_texts_ended_total{model="tiny"} 1"#);
    server.wait_for(r#"percept_texts_cancelled_total{model="tiny"} 1"#);
    assert!(server.logged(2).iter().any(|line| !line.whole), "the stream was cut");
    drop(unread);
}

#[test]
fn a_text_that_takes_too_long_ends_with_a_reason() {
    let server = Running::start(Limits { request: Duration::from_secs(2), ..Limits::default() });
    // It is written, and waits for its reader.
    let mut slow = server.posting("/v1/completions", LONG, "");
    assert!(slow.event().is_some());
    server.wait_for(r#"percept_texts_late_total{model="tiny"} 1"#);
    let last = std::iter::from_fn(|| slow.event()).last().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&last).unwrap()["error"]["code"], "deadline", "{last}");
}

#[test]
fn the_log_has_a_line_for_each_request_and_nothing_of_what_was_written() {
    let server = Running::start(Limits::default());
    let body = r#"{"prompt":"a secret","max_tokens":3,"seed":1,"user":"somebody"}"#;
    let head = server.post("/v1/completions", body).head;
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    server.get("/v1/models/a-secret?a=secret");
    let mut gone = server.posting("/v1/completions", LONG, "");
    assert!(gone.event().is_some());
    gone.close();
    let lines = server.logged(3);
    assert!(!format!("{lines:?}").contains("secret") && !format!("{lines:?}").contains("somebody"), "{lines:?}");
    let asked = lines.iter().find(|line| line.request == id).unwrap();
    assert_eq!((asked.method.as_str(), asked.route.as_str(), asked.status), ("POST", "/v1/completions", 200));
    assert_eq!((asked.whole, asked.prompt_tokens, asked.completion_tokens), (true, 8, 3));
    assert_eq!((asked.model.as_deref(), asked.token), (Some("tiny"), None));
    assert!(asked.first_ms <= asked.ms);
    assert!(lines.iter().any(|line| line.route == "/v1/models/{model}" && line.status == 404 && line.whole));
    assert!(lines.iter().any(|line| line.route == "/v1/completions" && line.status == 200 && !line.whole));
}

#[test]
fn a_model_that_fails_is_a_fault_of_the_server() {
    let broken = ModelConfig { init_std: 3e38, ..config() };
    let model = Arc::new(LanguageModel::new(&broken, 3, &Default::default()).unwrap().into());
    let served = ServedModel { name: "broken".into(), model, tokenizer: Tokenizer::bytes() };
    let server = Running::of(Limits::default(), Access::Loopback, vec![served]);
    for body in [SHORT, LONG] {
        let answer = server.post("/v1/completions", body);
        assert_eq!((answer.status, &answer.json()["error"]["type"]), (500, &Value::from("server_error")));
        assert!(!answer.body.contains("probability"), "{}", answer.body);
        // The log tells why.
        let (request, why) = server.failures().pop().unwrap();
        assert!(answer.head.contains(&format!("x-request-id: {request}")) && why.contains("probability"), "{why}");
    }
    server.wait_for(r#"percept_texts_failed_total{model="broken"} 2"#);
    server.wait_for(r#"percept_answers_total{status="5xx"} 2"#);
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn requests_that_are_large_together_are_not_all_held() {
    let server = Running::start(Limits { body_bytes: 1000, bodies_bytes: 1000, ..Limits::default() });
    let mut first = server.posting("/v1/completions", LONG, "");
    assert!(first.event().is_some());
    let second = server.post("/v1/completions", SHORT);
    assert_eq!((second.status, second.head.contains("retry-after: 1")), (429, true));
    first.close();
    while server.post("/v1/completions", SHORT).status == 429 {}
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let server = Running::start(Limits::default());
    let many = "X-Filler: 1\r\n".repeat(500);
    let large = format!("X-Filler: {}\r\n", "a".repeat(1 << 20));
    for headers in [many, large] {
        let mut client = server.open("GET /health HTTP/1.1\r\nHost: localhost\r\n");
        // The server may close before it has read all of it.
        let _ = client.send(&headers);
        assert!(client.line().is_none_or(|line| line.contains(" 431 ")));
    }
    assert_eq!(server.get("/health").status, 200);
}
