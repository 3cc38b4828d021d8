//! A server of a tiny model in this process, and a client that knows just enough HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use percept_data::Tokenizer;
use percept_model::{InferenceModel, KeyValuePrecision, LanguageModel, ModelConfig};
use percept_serve::{Access, Limits, LogLine, RequestLine, ServedModel, Server, ServerConfig};
use serde_json::Value;

/// A small model of bytes.
pub(crate) fn config() -> ModelConfig {
    ModelConfig {
        layers: "llp(segment=8)".into(),
        vocab: 257,
        dim: 16,
        depth: 2,
        heads: 2,
        context: 32,
        init_std: 0.3,
        ..Default::default()
    }
}

/// It, the same at each call.
pub(crate) fn model() -> Arc<InferenceModel> {
    model_of(config())
}

/// As [`model`], of other layers.
pub(crate) fn with_layers(layers: &str) -> Arc<InferenceModel> {
    model_of(ModelConfig { layers: layers.into(), ..config() })
}

pub(crate) fn model_of(config: ModelConfig) -> Arc<InferenceModel> {
    Arc::new(LanguageModel::new(&config, 3, &Default::default()).unwrap().into())
}

/// As [`with_layers`], with keys and values as halves where it has a decoder.
pub(crate) fn halves(layers: &str) -> Option<Arc<InferenceModel>> {
    (*with_layers(layers)).clone().with_key_value_precision(KeyValuePrecision::Bf16).ok().map(Arc::new)
}

/// A model under a name.
pub(crate) fn served(name: &str, model: Arc<InferenceModel>) -> ServedModel {
    ServedModel { name: name.into(), model, tokenizer: Tokenizer::bytes() }
}

/// A server, stopped at the end of the test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// What was logged.
    lines: Arc<Mutex<Vec<LogLine>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(limits: Limits) -> Self {
        Self::with(limits, Access::Loopback, &["tiny"])
    }

    pub(crate) fn with(limits: Limits, access: Access, names: &[&str]) -> Self {
        let models = names.iter().map(|name| served(name, model()));
        Self::of(limits, access, models.collect())
    }

    /// One model of these layers.
    pub(crate) fn layers(layers: &str, limits: Limits) -> Self {
        Self::of(limits, Access::Loopback, vec![served("tiny", with_layers(layers))])
    }

    pub(crate) fn of(limits: Limits, access: Access, models: Vec<ServedModel>) -> Self {
        Self::keeping(None, limits, access, models)
    }

    /// With a folder for states.
    pub(crate) fn keeping(states: Option<&Path>, limits: Limits, access: Access, models: Vec<ServedModel>) -> Self {
        let states = states.map(Path::to_owned);
        let config = ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), access, limits, states };
        let lines: Arc<Mutex<Vec<LogLine>>> = Arc::default();
        let told = lines.clone();
        let log = Arc::new(move |line: &LogLine| told.lock().unwrap().push(line.clone()));
        let server = Server::bind(config, models, log).unwrap();
        let (address, stop) = (server.address(), Arc::new(AtomicBool::new(false)));
        let seen = stop.clone();
        let thread = std::thread::spawn(move || server.run(&seen).unwrap());
        Self { address, lines, stop, thread: Some(thread) }
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.open(&format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")).answer()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.posting(path, body, "").answer()
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.open(&format!("DELETE {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")).answer()
    }

    /// A request of any method.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let (length, kind) = (body.len(), "Content-Type: application/json");
        let head = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n{kind}\r\nContent-Length: {length}");
        self.open(&format!("{head}\r\n\r\n{body}")).answer()
    }

    /// What is answered, where it is no text.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        let mut client = self.open(&format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"));
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer));
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        answer.split_off(end + 4)
    }

    /// Sends a file.
    pub(crate) fn upload(&self, path: &str, file: &[u8]) -> Answer {
        let (length, kind) = (file.len(), "Content-Type: application/octet-stream");
        let head = format!("POST {path} HTTP/1.0\r\nHost: localhost\r\n{kind}\r\nContent-Length: {length}\r\n\r\n");
        let client = self.open(&head);
        // A server that has seen enough need not read on.
        client.write(file);
        client.answer()
    }

    /// Sends a request and reads nothing of the answer yet.
    pub(crate) fn posting(&self, path: &str, body: &str, headers: &str) -> Client {
        let length = body.len();
        self.open(&format!(
            "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Sends bytes as they are.
    pub(crate) fn open(&self, text: &str) -> Client {
        self.open_bytes(text.as_bytes())
    }

    /// The same of any bytes.
    pub(crate) fn open_bytes(&self, bytes: &[u8]) -> Client {
        let mut stream = TcpStream::connect(self.address).unwrap();
        // A test that waits for what never comes should say so.
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream.write_all(bytes).unwrap();
        Client(BufReader::new(stream))
    }

    /// A completion that succeeds.
    pub(crate) fn complete(&self, body: &str) -> Value {
        let answer = self.post("/v1/completions", body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Waits until a line of the metrics is there.
    pub(crate) fn wait_for(&self, line: &str) {
        self.wait_with("", line);
    }

    /// The same, with headers.
    pub(crate) fn wait_with(&self, headers: &str, line: &str) {
        let metrics = format!("GET /metrics HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
        while !self.open(&metrics).answer().body.lines().any(|found| found == line) {
            std::thread::yield_now();
        }
    }

    /// What was logged of the API's requests, once there are so many.
    pub(crate) fn logged(&self, count: usize) -> Vec<RequestLine> {
        loop {
            let lines = self.lines.lock().unwrap().clone();
            let lines = lines.into_iter().filter_map(request);
            let lines: Vec<_> = lines.filter(|line| line.route.starts_with("/v1/")).collect();
            if lines.len() >= count {
                return lines;
            }
            std::thread::yield_now();
        }
    }
}

fn request(line: LogLine) -> Option<RequestLine> {
    match line {
        LogLine::Request(line) => Some(line),
        LogLine::Failed { .. } => None,
        LogLine::Stopping { .. } => None,
        LogLine::Panic { message, .. } => panic!("{message}"),
    }
}

impl Running {
    /// Why requests failed, with their ids.
    pub(crate) fn failures(&self) -> Vec<(String, String)> {
        let lines = self.lines.lock().unwrap().clone();
        let failure = |line| match line {
            LogLine::Failed { request, message, .. } => Some((request, message)),
            _ => None,
        };
        lines.into_iter().filter_map(failure).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

/// A connection on which an answer comes.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn answer(mut self) -> Answer {
        let mut text = Vec::new();
        // A server that closes early may reset the connection; what came before counts.
        let _ = self.0.read_to_end(&mut text);
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// Sends bytes that need not all be taken.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let _ = self.0.get_ref().write_all(bytes);
    }

    /// Sends more.
    pub(crate) fn send(&mut self, bytes: &str) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes.as_bytes())
    }

    /// The next line that is not empty, of the head or the body; `None` once the server has closed the connection.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line).or_else(closed).unwrap() {
                0 => return None,
                _ if line.trim().is_empty() => {}
                _ => return Some(line.trim().to_owned()),
            }
        }
    }

    /// The data of the next event.
    pub(crate) fn event(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.line()?.strip_prefix("data: ") {
                return Some(data.to_owned());
            }
        }
    }

    /// Goes away.
    pub(crate) fn close(self) {
        self.0.get_ref().shutdown(Shutdown::Both).unwrap();
    }
}

/// A connection may be closed by a reset.
fn closed(error: std::io::Error) -> std::io::Result<usize> {
    match error.kind() {
        std::io::ErrorKind::ConnectionReset => Ok(0),
        _ => Err(error),
    }
}

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In small letters.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data of all events.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }
}
