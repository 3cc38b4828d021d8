//! A client that notes when each token comes. It knows just enough HTTP, so that it costs the machine little that is measured.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use socket2::{Domain, Socket, Type};

/// Where requests go, and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Host and port.
    pub(crate) address: String,
    pub(crate) model: String,
    /// Value of `Authorization`, if one is wanted.
    pub(crate) token: Option<String>,
    /// More fields of every request for a text.
    pub(crate) fields: Map<String, Value>,
}

/// A request for a text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) prompt: String,
    pub(crate) tokens: usize,
    pub(crate) seed: u64,
    /// Log-probabilities of each token and so many alternatives, which tell more bits of a text than its letters.
    pub(crate) logprobs: Option<u8>,
    /// A state of the server's from which it goes on, without a further prompt.
    pub(crate) state: Option<String>,
    /// Whether the state at its end is kept.
    pub(crate) keep: bool,
    /// Whether the answer begins with the prompt, of whose tokens as much is told.
    pub(crate) echo: bool,
}

impl Target {
    /// Sends a request as it should be.
    pub(crate) fn ask(&self, ask: &Ask) -> io::Result<Stream> {
        self.post(&self.body(ask))
    }

    /// As [`Self::ask`], with room for so few bytes of the answer that the server has to wait for who does not read.
    pub(crate) fn ask_with_room(&self, ask: &Ask, bytes: usize) -> io::Result<Stream> {
        let address = self.address.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // Before it connects, since what it says of its room then holds for all that follows.
        socket.set_recv_buffer_size(bytes)?;
        socket.connect(&address.into())?;
        Stream::begin(socket.into(), &self.text("POST", "/v1/completions", &self.body(ask)))
    }

    fn body(&self, ask: &Ask) -> String {
        let mut body = json!({
            "model": self.model, "prompt": ask.prompt, "max_tokens": ask.tokens, "seed": ask.seed, "stream": true,
            "logprobs": ask.logprobs, "stream_options": { "include_usage": true },
        });
        for (field, value) in &self.fields {
            body[field] = value.clone();
        }
        if let Some(state) = &ask.state {
            (body["state"], body["prompt"]) = (state.as_str().into(), Value::Null);
        }
        if ask.echo {
            body["echo"] = true.into();
        }
        if ask.keep {
            body["keep_state"] = true.into();
        }
        body.to_string()
    }

    /// Sends whatever body.
    pub(crate) fn post(&self, body: &str) -> io::Result<Stream> {
        self.request("POST", "/v1/completions", body)
    }

    /// Sends a request of any kind.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> io::Result<Stream> {
        self.send(&self.text(method, path, body))
    }

    fn text(&self, method: &str, path: &str, body: &str) -> String {
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\n{token}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
    }

    /// Sends whatever bytes.
    pub(crate) fn send(&self, bytes: &str) -> io::Result<Stream> {
        Stream::begin(TcpStream::connect(&self.address)?, bytes)
    }
}

/// An answer that comes.
pub(crate) struct Stream {
    reader: BufReader<TcpStream>,
    sent: Instant,
}

/// What came of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Text {
    /// Texts and log-probabilities of all tokens, as the server wrote them.
    pub(crate) written: String,
    /// Log-probabilities of all tokens. Unlike `written` they do not depend on where a text is cut: characters of several tokens do.
    pub(crate) probable: Vec<f64>,
    /// How many tokens, as the server counts them.
    pub(crate) tokens: u64,
    /// How many the prompt has.
    pub(crate) prompt_tokens: u64,
    /// The id of the state at its end, if it was kept.
    pub(crate) state: Option<String>,
    /// Seconds from the request to each token.
    pub(crate) times: Vec<f64>,
}

impl Text {
    /// Seconds to the first token.
    pub(crate) fn first(&self) -> Option<f64> {
        self.times.first().copied()
    }

    /// Seconds between tokens.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = f64> + '_ {
        self.times.windows(2).map(|pair| pair[1] - pair[0])
    }
}

impl Stream {
    fn begin(mut stream: TcpStream, bytes: &str) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(3600)))?;
        stream.write_all(bytes.as_bytes())?;
        Ok(Self { reader: BufReader::new(stream), sent: Instant::now() })
    }

    /// All of an answer that is no stream of events.
    ///
    /// # Errors
    /// It is no success.
    pub(crate) fn body(mut self) -> io::Result<String> {
        let status = self.status()?;
        let mut answer = String::new();
        self.reader.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        match status {
            200..300 => Ok(body.to_owned()),
            _ => Err(io::Error::other(format!("status {status}: {body}"))),
        }
    }

    /// The status of the answer.
    pub(crate) fn status(&mut self) -> io::Result<u16> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::Error::other(format!("no status: {line:?}")))
    }

    /// The next event; `None` at the end.
    pub(crate) fn event(&mut self) -> io::Result<Option<Value>> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end().strip_prefix("data: ") {
                Some("[DONE]") => return Ok(None),
                Some(data) => return serde_json::from_str(data).map(Some).map_err(io::Error::other),
                None => {}
            }
        }
    }

    /// Reads all, and tells `seen` of each token.
    ///
    /// # Errors
    /// The answer is no text, or it ends before the server has counted it.
    pub(crate) fn text(mut self, mut seen: impl FnMut()) -> io::Result<Text> {
        let status = self.status()?;
        if status != 200 {
            return Err(io::Error::other(format!("status {status}")));
        }
        let (mut text, mut counted) = (Text::default(), None);
        while let Some(event) = self.event()? {
            let usage = &event["usage"];
            counted = usage["completion_tokens"].as_u64().zip(usage["prompt_tokens"].as_u64()).or(counted);
            if let Some(error) = event.get("error") {
                return Err(io::Error::other(error.to_string()));
            }
            let choice = &event["choices"][0];
            text.state = choice["state"]["id"].as_str().map(str::to_owned).or(text.state);
            if choice.is_null() || !choice["finish_reason"].is_null() {
                continue;
            }
            text.times.push(self.sent.elapsed().as_secs_f64());
            let told = &choice["logprobs"];
            text.written += &format!("{} {told}\n", choice["text"]);
            text.probable.extend(told["token_logprobs"].as_array().into_iter().flatten().filter_map(Value::as_f64));
            seen();
        }
        (text.tokens, text.prompt_tokens) = counted.ok_or_else(|| io::Error::other("the text was cut"))?;
        Ok(text)
    }

    /// Whether the other side ends the connection within a time, whatever it says before.
    pub(crate) fn ends_within(&mut self, time: Duration) -> io::Result<bool> {
        self.reader.get_ref().set_read_timeout(Some(time))?;
        Ok(match io::copy(&mut self.reader, &mut io::sink()) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        })
    }

    /// How long ago the request was sent.
    pub(crate) fn age(&self) -> f64 {
        self.sent.elapsed().as_secs_f64()
    }
}
