//! Clients of every kind for a long time: those that read, go, dawdle, stay half open, or send rubbish.

use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Ask, Target};
use crate::memory::resident;

/// Texts whose content is known.
const KNOWN: u64 = 8;
/// Looks at the memory.
const LOOKS: u32 = 30;

/// What is counted, and what a table calls it.
pub(crate) const ROWS: &[(&str, &str)] = &[
    ("read", "texts that were read to their end"),
    ("slow", "texts of readers that dawdle"),
    ("checked_bit_by_bit", "of both, compared bit for bit"),
    ("cancelled", "clients that went in the middle"),
    ("half_open", "connections that stayed half open"),
    ("refused_as_meant", "malformed requests, refused"),
    ("failures", "failed and not meant to, or wrong"),
];
/// How long a server may keep a connection on which nothing comes.
const IDLE: Duration = Duration::from_secs(120);

/// Pseudo-random numbers, the same each time (xorshift).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// How often what happened.
#[derive(Default)]
struct Tally {
    read: u64,
    cancelled: u64,
    slow: u64,
    half_open: u64,
    refused: u64,
    failures: Vec<String>,
}

/// `clients` at once for `time`; each text that is read to its end is compared with what the same request gave alone.
pub(crate) fn soak(target: &Target, clients: usize, ask: &Ask, time: Duration, pid: Option<u32>) -> io::Result<Value> {
    let ask = &Ask { logprobs: Some(1), ..ask.clone() };
    let known: Vec<String> = (0..KNOWN)
        .map(|seed| target.ask(&Ask { seed, ..ask.clone() })?.text(|| ()).map(|text| text.written))
        .collect::<io::Result<_>>()?;
    let (tally, end) = (Mutex::new(Tally::default()), Instant::now() + time);
    let memory: Vec<u64> = thread::scope(|scope| {
        for client in 0..clients as u64 {
            let (tally, known) = (&tally, &known);
            scope.spawn(move || {
                let mut draw = Draw(0x9e37_79b9 + client);
                while Instant::now() < end {
                    let done = visit(target, ask, known, &mut draw, tally);
                    if let Err(error) = done {
                        note(tally, |tally| tally.failures.push(error.to_string()));
                        thread::sleep(Duration::from_millis(100));
                    }
                }
            });
        }
        let look = |_| {
            thread::sleep(time / LOOKS);
            pid.and_then(resident)
        };
        (0..LOOKS).filter_map(look).collect()
    });
    let tally = tally.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    Ok(json!({
        "seconds": time.as_secs(), "clients": clients, "read": tally.read, "checked_bit_by_bit": tally.read + tally.slow,
        "cancelled": tally.cancelled, "slow": tally.slow, "half_open": tally.half_open, "refused_as_meant": tally.refused,
        "failures": tally.failures.len(), "first_failures": tally.failures.iter().take(5).collect::<Vec<_>>(),
        "resident_bytes": memory,
    }))
}

fn note(tally: &Mutex<Tally>, change: impl FnOnce(&mut Tally)) {
    change(&mut tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
}

/// One client of a kind that is drawn.
fn visit(target: &Target, ask: &Ask, known: &[String], draw: &mut Draw, tally: &Mutex<Tally>) -> io::Result<()> {
    let seed = draw.below(KNOWN);
    let ask = Ask { seed, ..ask.clone() };
    match draw.below(10) {
        0..5 => {
            check(target, &ask, known, Duration::ZERO)?;
            note(tally, |tally| tally.read += 1);
        }
        5 | 6 => {
            go(target, &Ask { tokens: 4096, ..ask }, draw.below(20))?;
            note(tally, |tally| tally.cancelled += 1);
        }
        7 => {
            check(target, &ask, known, Duration::from_millis(20))?;
            note(tally, |tally| tally.slow += 1);
        }
        8 => {
            half_open(target, draw)?;
            note(tally, |tally| tally.half_open += 1);
        }
        _ => {
            malformed(target, draw)?;
            note(tally, |tally| tally.refused += 1);
        }
    }
    Ok(())
}

/// Reads a text to its end, as slowly as that for each token: it must be the one that was written alone.
fn check(target: &Target, ask: &Ask, known: &[String], slowly: Duration) -> io::Result<()> {
    let text = target.ask(ask)?.text(|| thread::sleep(slowly))?;
    match known.get(ask.seed as usize) == Some(&text.written) {
        true => Ok(()),
        false => {
            let what = format!("the text of seed {} differs from the one that was written alone", ask.seed);
            Err(io::Error::other(what))
        }
    }
}

/// Asks, and goes after as many tokens.
fn go(target: &Target, ask: &Ask, events: u64) -> io::Result<()> {
    let mut stream = target.ask(ask)?;
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
fn half_open(target: &Target, draw: &mut Draw) -> io::Result<()> {
    let head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"pro";
    let mut stream = target.send(&head[..draw.below(head.len() as u64) as usize])?;
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
fn malformed(target: &Target, draw: &mut Draw) -> io::Result<()> {
    let bodies =
        ["", "{", "[]", "{\"prompt\": 1e999}", "{\"prompt\": \"a\", \"n\": 3}", "{\"colour\": \"red\"}", "\u{1}"];
    let long = format!("GET /health HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(1 << 20));
    let heads = ["\u{1}\r\n\r\n", "GET /health HTTP/7.0\r\n\r\n", "GET  /health\r\n\r\n", &long];
    let drawn = draw.below((bodies.len() + heads.len()) as u64) as usize;
    let mut stream = match bodies.get(drawn) {
        Some(body) => target.post(body)?,
        None => match target.send(heads[drawn - bodies.len()]) {
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
