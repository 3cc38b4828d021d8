//! What is answered on connections that are open when the server is asked to stop.

use std::net::TcpStream;

use percept_serve::Limits;

use crate::support::Running;

#[test]
fn what_comes_while_the_server_stops_is_told_so() {
    let server = Running::start(Limits::default());
    let json = "Content-Type: application/json\r\nContent-Length: 2\r\n";
    let heads = ["GET /health HTTP/1.1\r\n", &format!("POST /v1/completions HTTP/1.1\r\n{json}")];
    let mut open = heads.map(|head| server.open(format!("{head}Host: localhost\r\n")));
    // They are let in, since those after them are.
    assert_eq!(server.get("/health").status, 200);
    server.stop();
    while TcpStream::connect(server.address).is_ok() {}
    for (client, body) in open.iter_mut().zip(["", "{}"]) {
        client.send(&format!("\r\n{body}")).unwrap();
    }
    let [health, completion] = open.map(|client| client.answer());
    assert_eq!((health.status, health.body.as_str()), (503, r#"{"status":"stopping"}"#));
    assert_eq!((completion.status, completion.json()["error"]["code"].as_str()), (503, Some("stopping")));
    assert!(completion.head.contains("retry-after: 1"));
}
