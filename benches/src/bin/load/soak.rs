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
    checked: u64,
    cancelled: u64,
    slow: u64,
    half_open: u64,
    refused: u64,
    failures: Vec<String>,
}

/// `clients` at once for `time`; each text that is read to its end is compared with what the same request gave alone.
pub(crate) fn soak(target: &Target, clients: usize, ask: &Ask, time: Duration, pid: Option<u32>) -> io::Result<Value> {
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
        "seconds": time.as_secs(), "clients": clients, "read": tally.read, "checked_bit_by_bit": tally.checked,
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
            let text = target.ask(&ask)?.text(|| ())?;
            note(tally, |tally| (tally.read, tally.checked) = (tally.read + 1, tally.checked + 1));
            match text.written == known[seed as usize] {
                true => Ok(()),
                false => Err(io::Error::other(format!(
                    "the text of seed {seed} differs from the one that was written alone"
                ))),
            }
        }
        5 | 6 => {
            let mut stream = target.ask(&Ask { tokens: 4096, ..ask })?;
            let events = draw.below(20);
            stream.status()?;
            for _ in 0..events {
                stream.event()?;
            }
            note(tally, |tally| tally.cancelled += 1);
            Ok(())
        }
        7 => {
            let slow = target.ask(&ask)?.text(|| thread::sleep(Duration::from_millis(20)))?;
            note(tally, |tally| (tally.slow, tally.checked) = (tally.slow + 1, tally.checked + 1));
            match slow.written == known[seed as usize] {
                true => Ok(()),
                false => Err(io::Error::other(format!("the text of seed {seed} differs for a slow reader"))),
            }
        }
        8 => {
            let head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"pro";
            let stream = target.send(&head[..draw.below(head.len() as u64) as usize])?;
            thread::sleep(Duration::from_millis(draw.below(3000)));
            drop(stream);
            note(tally, |tally| tally.half_open += 1);
            Ok(())
        }
        _ => {
            let bodies = [
                "",
                "{",
                "[]",
                "{\"prompt\": 1e999}",
                "{\"prompt\": \"a\", \"n\": 3}",
                "{\"colour\": \"red\"}",
                "\u{1}",
            ];
            let status = target.post(bodies[draw.below(bodies.len() as u64) as usize])?.status()?;
            note(tally, |tally| tally.refused += 1);
            match (400..500).contains(&status) {
                true => Ok(()),
                false => Err(io::Error::other(format!("rubbish was answered with {status}"))),
            }
        }
    }
}
