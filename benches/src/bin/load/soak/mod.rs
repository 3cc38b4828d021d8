//! Clients of every kind for a long time: those that read, go, dawdle, keep states, stay half open, or send rubbish.

mod memory;
mod visits;

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Ask, Target, Text};
use crate::memory::resident;

pub(crate) use memory::growth;

/// Texts whose content is known.
const KNOWN: u64 = 8;
/// Prompts in the prompt of a text of which much is told.
const LONG: usize = 40;
/// Looks at the memory.
const LOOKS: u32 = 30;

/// What is counted, and what a table calls it.
pub(crate) const ROWS: &[(&str, &str)] = &[
    ("read", "texts that were read to their end"),
    ("dawdled", "texts of readers that stopped reading for a while"),
    ("states", "texts that went on from a state, or from a copy of it"),
    ("compared_bit_by_bit", "of all these, compared bit for bit"),
    ("cancelled", "clients that went in the middle"),
    ("half_open", "connections that stayed half open"),
    ("refused_as_meant", "malformed requests, refused"),
    ("paused", "times that a text waited for its reader"),
    ("prefix_hits", "prompts whose beginning was found"),
    ("states_evicted", "states that made place for others"),
    ("failures", "failed and not meant to, or wrong"),
];

/// Of them, what must have happened for the soak to have shown anything of it, and where the server counts it.
const MUST_HAPPEN: [(&str, &str); 3] = [
    ("paused", "percept_texts_paused_total"),
    ("prefix_hits", "percept_prefix_hits_total"),
    ("states_evicted", "percept_states_evicted_total"),
];

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
    counts: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
}

/// Clients that know what some requests give.
struct Soak<'a> {
    target: &'a Target,
    /// The requests, and what each gave alone.
    known: Vec<(Ask, Text)>,
    /// One with so much to tell that it fills whatever lies between the text and its reader, for readers that dawdle.
    long: (Ask, Text),
    tally: Mutex<Tally>,
}

impl Soak<'_> {
    fn note(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    fn visit_until(&self, end: Instant, client: u64) {
        let mut draw = Draw(0x9e37_79b9 + client);
        while Instant::now() < end {
            match self.visit(&mut draw) {
                Ok(kind) => self.note(|tally| *tally.counts.entry(kind).or_default() += 1),
                Err(error) => {
                    self.note(|tally| tally.failures.push(error.to_string()));
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }
}

/// Requests of different lengths, from a part of a piece to some pieces, so that prompts find each other's beginnings.
fn requests(ask: &Ask) -> Vec<Ask> {
    let request = |seed| Ask { seed, prompt: ask.prompt.repeat(1 + seed as usize), logprobs: Some(1), ..ask.clone() };
    (0..KNOWN).map(request).collect()
}

/// `clients` at once for `time`; each text that is read to its end is compared with what the same request gave alone.
pub(crate) fn soak(target: &Target, clients: usize, ask: &Ask, time: Duration, pid: Option<u32>) -> io::Result<Value> {
    let alone = |ask: Ask| target.ask(&ask)?.text(|| ()).map(|text| (ask, text));
    let long = Ask { prompt: ask.prompt.repeat(LONG), tokens: 400, logprobs: Some(20), echo: true, ..ask.clone() };
    let known = requests(ask).into_iter().map(alone).collect::<io::Result<_>>()?;
    let soak = Soak { target, known, long: alone(long)?, tally: Mutex::default() };
    let end = Instant::now() + time;
    let memory: Vec<u64> = thread::scope(|scope| {
        for client in 0..clients as u64 {
            let soak = &soak;
            scope.spawn(move || soak.visit_until(end, client));
        }
        let look = |_| {
            thread::sleep(time / LOOKS);
            pid.and_then(resident)
        };
        (0..LOOKS).filter_map(look).collect()
    });
    let Tally { counts, failures } = soak.tally.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let counted = |kind: &str| counts.get(kind).copied().unwrap_or(0);
    let compared: u64 = ["read", "dawdled", "states"].map(counted).iter().sum();
    let mut report = json!({
        "seconds": time.as_secs(), "clients": clients,
        "compared_bit_by_bit": compared,
        "failures": failures.len(), "first_failures": failures.iter().take(5).collect::<Vec<_>>(),
        "resident_bytes": memory, "growth": growth(&memory),
    });
    for kind in visits::KINDS {
        report[kind] = counted(kind).into();
    }
    let happened = happened(target)?;
    report["did_not_happen"] = happened.iter().filter(|(_, count)| *count == 0).map(|(what, _)| *what).collect();
    for (what, count) in happened {
        report[what] = count.into();
    }
    Ok(report)
}

/// What the server counted.
fn happened(target: &Target) -> io::Result<Vec<(&'static str, u64)>> {
    let metrics = target.request("GET", "/metrics", "")?.body()?;
    let value = |name: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    Ok(MUST_HAPPEN.iter().map(|(what, name)| (*what, value(name))).collect())
}
