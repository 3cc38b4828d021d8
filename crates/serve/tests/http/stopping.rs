//! What becomes of requests that are there when the server is asked to stop.

use std::net::TcpStream;

use percept_serve::Limits;

use crate::support::Running;

#[test]
fn what_comes_while_the_server_stops_is_told_so() {
    let server = Running::start(Limits::default());
    let head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let mut client = server.open(&format!("{head}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
    // It waits for the body.
    assert_eq!(client.line().as_deref(), Some("HTTP/1.1 100 Continue"));
    server.stop();
    while TcpStream::connect(server.address).is_ok() {}
    client.send("{}").unwrap();
    let answer = client.answer();
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (503, Some("stopping")));
    assert!(answer.head.contains("retry-after: 1"));
}

#[test]
fn what_waits_is_written_before_the_server_stops() {
    let server = Running::start(Limits { streams: 1, ..Limits::default() });
    // Nobody reads it yet: it keeps the only place.
    let long = r#"{"prompt":"a","max_tokens":6000,"stream":true,"logprobs":20,"seed":1}"#;
    let mut first = server.posting("/v1/completions", long, "");
    assert!(first.event().is_some());
    let second = server.posting("/v1/completions", r#"{"prompt":"a","max_tokens":3}"#, "");
    server.wait_for(r#"percept_texts_waiting{model="tiny"} 1"#);
    server.stop();
    while TcpStream::connect(server.address).is_ok() {}
    assert_eq!(std::iter::from_fn(|| first.event()).last().as_deref(), Some("[DONE]"));
    assert_eq!(second.answer().status, 200);
}
