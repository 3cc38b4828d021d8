//! What a client does.

use std::io;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Draw, Soak};
use crate::client::{Ask, Text};

/// How long a server may keep a connection on which nothing comes.
const IDLE: Duration = Duration::from_secs(120);
/// Room for what comes, of a reader that dawdles: small, so that the server has to wait for it.
const LITTLE: usize = 4096;

/// The kinds of clients, as they are counted.
pub(super) const KINDS: [&str; 6] = ["read", "dawdled", "states", "cancelled", "half_open", "refused_as_meant"];

impl Soak<'_> {
    /// One client of a kind that is drawn; which it was.
    pub(super) fn visit(&self, draw: &mut Draw) -> io::Result<&'static str> {
        let (ask, known) = &self.known[draw.below(self.known.len() as u64) as usize];
        let [read, dawdled, states, cancelled, half_open, refused] = KINDS;
        match draw.below(20) {
            0..9 => same(self.target.ask(ask)?.text(|| ())?, known).map(|()| read),
            9 => self.dawdle(draw).map(|()| dawdled),
            10..12 => self.go_on(ask, known, draw).map(|()| states),
            12..16 => self.leave(&Ask { tokens: 4096, ..ask.clone() }, draw.below(20)).map(|()| cancelled),
            16..18 => self.half_open(draw).map(|()| half_open),
            _ => self.malformed(draw).map(|()| refused),
        }
    }

    /// Takes a little of a text, then nothing for a while, long enough for all that lies between to be full but not for the server's
    /// patience (60 s), then all.
    fn dawdle(&self, draw: &mut Draw) -> io::Result<()> {
        let (ask, known) = &self.long;
        let (takes, pause) = (1 + draw.below(50), Duration::from_secs(20 + draw.below(30)));
        let mut taken = 0;
        let text = self.target.ask_with_room(ask, LITTLE)?.text(|| {
            taken += 1;
            if taken == takes {
                thread::sleep(pause);
            }
        })?;
        same(text, known)
    }

    /// Stops in the middle of a text, goes on from the state there or from a copy of it, and mostly removes what was kept.
    fn go_on(&self, ask: &Ask, known: &Text, draw: &mut Draw) -> io::Result<()> {
        let at = 1 + draw.below(ask.tokens as u64 - 1) as usize;
        let first = self.target.ask(&Ask { tokens: at, keep: true, ..ask.clone() })?.text(|| ())?;
        let kept = first.state.ok_or_else(|| io::Error::other("no state was kept"))?;
        let mut ids = vec![kept];
        if draw.below(2) == 0 {
            ids.push(self.make(&format!("/v1/states/{}/fork", ids[0]))?);
        }
        let rest = Ask { tokens: ask.tokens - at, state: ids.last().cloned(), ..ask.clone() };
        let rest = self.target.ask(&rest)?.text(|| ())?;
        // Those that stay are what the limit of states is for.
        if draw.below(4) > 0 {
            for id in &ids {
                self.target.request("DELETE", &format!("/v1/states/{id}"), "")?.body()?;
            }
        }
        match [first.probable, rest.probable].concat() == known.probable {
            true => Ok(()),
            false => Err(io::Error::other("a text that was cut went on as another one")),
        }
    }

    /// The id of what a request makes.
    fn make(&self, path: &str) -> io::Result<String> {
        let answer = self.target.request("POST", path, "{}")?.body()?;
        let made: Value = serde_json::from_str(&answer).map_err(io::Error::other)?;
        made["id"].as_str().map(str::to_owned).ok_or_else(|| io::Error::other(format!("no id: {answer}")))
    }

    /// Asks, and goes after as many tokens.
    fn leave(&self, ask: &Ask, events: u64) -> io::Result<()> {
        let mut stream = self.target.ask(ask)?;
        let status = stream.status()?;
        for _ in 0..events {
            stream.event()?;
        }
        match status {
            200 => Ok(()),
            _ => Err(io::Error::other(format!("status {status}"))),
        }
    }

    /// Sends a part of a request: mostly it goes after a while, now and then it stays until the server has enough of it.
    fn half_open(&self, draw: &mut Draw) -> io::Result<()> {
        let head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"pro";
        let mut stream = self.target.send(&head[..draw.below(head.len() as u64) as usize])?;
        if draw.below(8) > 0 {
            thread::sleep(Duration::from_millis(draw.below(3000)));
            return Ok(());
        }
        match stream.ends_within(IDLE)? {
            true => Ok(()),
            false => Err(io::Error::other(format!("a half of a request was waited for longer than {IDLE:?}"))),
        }
    }

    /// Sends what is no request, or no request for a text: it must be refused.
    fn malformed(&self, draw: &mut Draw) -> io::Result<()> {
        let bodies =
            ["", "{", "[]", "{\"prompt\": 1e999}", "{\"prompt\": \"a\", \"n\": 3}", "{\"colour\": \"red\"}", "\u{1}"];
        let long = format!("GET /health HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(1 << 20));
        let heads = ["\u{1}\r\n\r\n", "GET /health HTTP/7.0\r\n\r\n", "GET  /health\r\n\r\n", &long];
        let drawn = draw.below((bodies.len() + heads.len()) as u64) as usize;
        let mut stream = match bodies.get(drawn) {
            Some(body) => self.target.post(body)?,
            None => match self.target.send(heads[drawn - bodies.len()]) {
                Ok(stream) => stream,
                // Enough was sent, and the connection is closed.
                Err(_) => return Ok(()),
            },
        };
        match stream.status() {
            Ok(status) if !(400..500).contains(&status) => {
                Err(io::Error::other(format!("a malformed request was answered with {status}")))
            }
            Err(error) if drawn < bodies.len() => Err(error),
            // A head that is none may be answered by the end of the connection.
            _ => Ok(()),
        }
    }
}

/// A text must be the one that was written alone; when its tokens came may differ.
fn same(text: Text, known: &Text) -> io::Result<()> {
    match text.written == known.written && text.tokens == known.tokens {
        true => Ok(()),
        false => Err(io::Error::other("a text differs from the one that the same request gave alone")),
    }
}
