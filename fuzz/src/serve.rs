//! What clients of `percept serve` send.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use percept_data::Tokenizer;
use percept_fault::{Fault, Result};
use percept_serve::{Access, Limits, LogLine, ServedModel, Server, ServerConfig};

/// Whether anything panicked since the server was started: it goes on after a panic, and its client may only see a connection close.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// A server of the small model, for as long as the process lives.
fn server() -> SocketAddr {
    static SERVER: LazyLock<SocketAddr> = LazyLock::new(|| {
        let model = ServedModel { name: "small".into(), model: crate::model(), tokenizer: Tokenizer::bytes() };
        let limits = Limits {
            max_tokens: 8,
            prompt_tokens: 256,
            receive: Duration::from_secs(2),
            state_bytes: 1 << 20,
            states_bytes: 1 << 24,
            ..Limits::default()
        };
        let listen = "127.0.0.1:0".parse().expect("an address");
        let config = ServerConfig { listen, access: Access::Loopback, limits, states: None };
        // Not its log alone: that has nothing of a connection's own task.
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED.store(true, Ordering::Relaxed);
            told(panic);
        }));
        let log = Arc::new(|_: &LogLine| ());
        let server = Server::bind(config, vec![model], log).expect("a server");
        let address = server.address();
        std::thread::spawn(move || server.run(&AtomicBool::new(false)));
        address
    });
    *SERVER
}

/// What stands in requests for a state that is there: ids are others each time.
const STATE: &[u8] = b"state-0000000000000000000000";

/// Bytes on a connection: whatever they are, the server answers with no status of 500 or above, or closes.
///
/// # Errors
/// The answer is a refusal, or there is none; internal: the server failed.
pub fn request(bytes: &[u8]) -> Result<()> {
    let Some(at) = bytes.windows(STATE.len()).position(|part| part == STATE) else { return answer(bytes).map(drop) };
    let body = r#"{"prompt":"a"}"#;
    let head = "POST /v1/states HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 14";
    let made = id(&answer(format!("{head}\r\n\r\n{body}").as_bytes())?)?;
    answer(&[&bytes[..at], made.as_bytes(), &bytes[at + STATE.len()..]].concat()).map(drop)
}

/// The id of a state in what is answered once it was made.
fn id(answer: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(answer);
    let id = text.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
    id.map(str::to_owned).ok_or_else(|| Fault::internal(format!("no id in {text}")))
}

/// What is answered with success.
fn answer(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a limit");
    // A server that refuses early closes before all is sent.
    let _ = stream.write_all(bytes);
    if !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return Err(Fault::internal("no answer within two minutes"));
        }
        // What came before a reset counts.
        _ => {}
    }
    if PANICKED.load(Ordering::Relaxed) {
        return Err(Fault::internal("the server panicked"));
    }
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    match line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()) {
        Some(200..300) => Ok(answer),
        Some(500..) => Err(Fault::internal(line)),
        _ => Err(Fault::usage(format!("refused: {line:?}"))),
    }
}

/// The file of a state, as it is sent: where it is taken, a text goes on from it, and it is removed.
///
/// # Errors
/// As [`request`]; internal: it was taken, and can't be sent back or removed.
pub fn upload(file: &[u8]) -> Result<()> {
    let kind = "Content-Type: application/octet-stream";
    let head = format!(
        "POST /v1/states/upload HTTP/1.0\r\nHost: localhost\r\n{kind}\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    let id = id(&answer(&[head.as_bytes(), file].concat())?)?;
    let gone_on = completion(format!(r#"{{"state":"{id}","prompt":"a","max_tokens":3,"logprobs":1}}"#).as_bytes());
    for (method, path) in [("GET", format!("/v1/states/{id}/file")), ("DELETE", format!("/v1/states/{id}"))] {
        request(format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())
            .map_err(|fault| Fault::internal(format!("{method} after an upload: {fault}")))?;
    }
    gone_on
}

/// The body of a request for a completion.
///
/// # Errors
/// As [`request`].
pub fn completion(body: &[u8]) -> Result<()> {
    let head = format!(
        "POST /v1/completions HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    request(&[head.as_bytes(), body].concat())
}
