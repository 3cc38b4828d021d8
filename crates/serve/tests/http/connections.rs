//! How many connections are open at once.

use std::time::Duration;

use percept_serve::Limits;

use crate::support::Running;

#[test]
fn who_comes_when_all_connections_are_taken_waits() {
    let server = Running::start(Limits { connections: 1, ..Limits::default() });
    let mut first = server.open("");
    let second = server.open("GET /v1/models HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let none = "GET /v1/models/none HTTP/1.1\r\nHost: localhost\r\n";
    first.send(&format!("{}{none}Connection: close\r\n\r\n", format!("{none}\r\n").repeat(50))).unwrap();
    assert_eq!(first.answer().status, 404);
    assert_eq!(second.answer().status, 200);
    let lines = server.logged(52);
    assert_eq!(lines.iter().position(|line| line.status == 200), Some(51));
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
