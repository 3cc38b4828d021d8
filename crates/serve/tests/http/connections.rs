//! How many connections are open at once.

use std::time::Duration;

use percept_serve::Limits;

use crate::support::Running;

#[test]
fn who_comes_when_all_connections_are_taken_waits() {
    let server = Running::start(Limits { connections: 1, ..Limits::default() });
    let mut first = server.open("");
    let second = server.open("GET /v1/models HTTP/1.0\r\nHost: localhost\r\n\r\n");
    // What takes a while, so that the second would be first if it could.
    let body = r#"{"max_tokens":3000}"#;
    let head = "POST /v1/completions HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json";
    first.send(&format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).unwrap();
    assert_eq!((first.answer().status, second.answer().status), (200, 200));
    let routes: Vec<String> = server.logged(2).into_iter().map(|line| line.route).collect();
    assert_eq!(routes, ["/v1/completions", "/v1/models"]);
}

#[test]
fn who_says_nothing_makes_place() {
    let server = Running::start(Limits { connections: 1, receive: Duration::from_millis(100), ..Limits::default() });
    let silent = server.open("");
    assert_eq!(server.get("/health").status, 200);
    let begun = server.open("GET /health HTTP/1.1\r\nHo");
    assert_eq!(server.get("/health").status, 200);
    drop((silent, begun));
}
