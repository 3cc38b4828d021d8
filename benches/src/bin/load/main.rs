//! Load for a server that speaks OpenAI's completions: speed of few and many streams, what a long prompt does to others, a soak.
//!
//! ```sh
//! cargo run --release --manifest-path benches/Cargo.toml --bin load -- 127.0.0.1:8080 --model mine --pid "$(pgrep -n percept)"
//! ```
//!
//! Plain sockets and a thread for each stream: a client in a slower language would take the processor from the server. Only
//! servers on the same machine, so that nothing but them is measured.

mod client;
mod measure;
mod memory;
mod soak;

use std::io;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value, json};

use client::{Ask, Target};

const USAGE: &str =
    "load ADDRESS --model NAME [--json] [--token-file FILE] [--pid PID] [--streams 1,64] [--tokens 256] [--prompt 128]
     [--long 100000] [--long-streams 16] [--quiet-seconds 10] [--soak SECONDS] [--soak-clients 32] [--fields JSON]
  --pid: the server's process, for its memory    --prompt, --long: characters of a prompt    --long 0: without the long prompt
  --streams 0: without that table    --fields: an object, more fields of each request for a text";

/// Seconds after which memory should have come to rest.
const STEADY: u64 = 300;
/// The most that it may grow by then.
const MOST_GROWTH: f64 = 1.1;

/// What is done.
struct Plan {
    target: Target,
    json: bool,
    pid: Option<u32>,
    streams: Vec<usize>,
    ask: Ask,
    long: usize,
    long_streams: usize,
    quiet: Duration,
    soak: Duration,
    soak_clients: usize,
}

/// Something to read, as often as a prompt needs it.
const TEXT: &str = "The state of a stream is small, and stays so however long the text becomes. ";

impl Default for Plan {
    fn default() -> Self {
        Self {
            target: Target { address: String::new(), model: String::new(), token: None, fields: Map::new() },
            json: false,
            pid: None,
            streams: vec![1, 64],
            ask: Ask { prompt: prompt(128), tokens: 256, ..Ask::default() },
            long: 100_000,
            long_streams: 16,
            quiet: Duration::from_secs(10),
            soak: Duration::ZERO,
            soak_clients: 32,
        }
    }
}

/// A prompt of so many characters.
fn prompt(characters: usize) -> String {
    TEXT.chars().cycle().take(characters).collect()
}

impl Plan {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => plan.json = true,
                option if option.starts_with("--") => {
                    let value = arguments.next().ok_or_else(|| format!("{option} wants a value"))?;
                    plan.set(option, value)?;
                }
                _ => plan.target.address = argument,
            }
        }
        let address = &plan.target.address;
        let local = address.to_socket_addrs().is_ok_and(|mut found| found.all(|address| address.ip().is_loopback()));
        match local {
            true => Ok(plan),
            false => Err(format!("`{address}` is no address and port of this machine")),
        }
    }

    fn set(&mut self, option: &str, value: String) -> Result<(), String> {
        let wrong = |what: &dyn std::fmt::Display| format!("{option} {value}: {what}");
        let number = || value.parse::<usize>().map_err(|error| wrong(&error));
        let seconds = || number().map(|seconds| Duration::from_secs(seconds as u64));
        match option {
            "--token-file" => {
                let token = std::fs::read_to_string(&value).map_err(|error| wrong(&error))?;
                self.target.token = Some(token.trim().into());
            }
            "--fields" => self.target.fields = serde_json::from_str(&value).map_err(|error| wrong(&error))?,
            "--pid" => self.pid = Some(value.parse().map_err(|error| wrong(&error))?),
            "--streams" => {
                let counts = value.split(',').map(str::parse).collect::<Result<_, _>>();
                self.streams = counts.map_err(|error| wrong(&error))?;
            }
            "--tokens" => self.ask.tokens = number()?,
            "--prompt" => self.ask.prompt = prompt(number()?),
            "--long" => self.long = number()?,
            "--long-streams" => self.long_streams = number()?,
            "--quiet-seconds" => self.quiet = seconds()?,
            "--soak" => self.soak = seconds()?,
            "--soak-clients" => self.soak_clients = number()?,
            "--model" => self.target.model = value,
            _ => return Err(format!("{option} is no option")),
        }
        Ok(())
    }

    fn run(&self) -> io::Result<Value> {
        let mut report = json!({ "prompt_characters": self.ask.prompt.len(), "tokens": self.ask.tokens });
        // What is done once (pages touched first, threads begun) is none of the streams'.
        self.target.ask(&self.ask)?.text(|| ())?;
        let rows: Vec<Value> = self
            .streams
            .iter()
            .filter(|&&count| count > 0)
            .map(|&count| measure::streams(&self.target, count, &self.ask, self.pid))
            .collect::<io::Result<_>>()?;
        report["load"] = rows.into();
        if self.long > 0 {
            report["long_prompt"] =
                measure::long_prompt(&self.target, self.long_streams, &self.ask, self.long, self.quiet)?;
        }
        if !self.soak.is_zero() {
            report["soak"] = soak::soak(&self.target, self.soak_clients, &self.ask, self.soak, self.pid)?;
        }
        Ok(report)
    }
}

/// The report as tables in Markdown.
fn table(report: &Value) -> String {
    let rows = report["load"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut text = String::new();
    if !rows.is_empty() {
        text += "| streams | tokens/s | of the first row | with prompts | first token p50 / p99 (ms) | between tokens p50 / p99 (ms) | MiB per stream |\n|---|---|---|---|---|---|---|\n";
    }
    let first = rows.first().and_then(|row| row["tokens_per_s"].as_f64()).unwrap_or(f64::NAN);
    let pair = |times: &Value| format!("{} / {}", times["p50"], times["p99"]);
    for row in rows {
        let memory =
            row["bytes_per_stream"].as_f64().map_or("-".into(), |bytes| format!("{:.2}", bytes / (1 << 20) as f64));
        // Where the first text ends before the last prompt is read, all are never written at once.
        let rate = row["tokens_per_s"].as_f64();
        let [rate, ratio] = [rate.map(|rate| rate.to_string()), rate.map(|rate| format!("{:.2} x", rate / first))]
            .map(|shown| shown.unwrap_or("-".into()));
        text += &format!(
            "| {} | {rate} | {ratio} | {} | {} | {} | {memory} |\n",
            row["streams"],
            row["tokens_per_s_with_prompts"],
            pair(&row["first_token_ms"]),
            pair(&row["between_tokens_ms"])
        );
    }
    if let Some(long) = report.get("long_prompt") {
        text += &format!(
            "\nA prompt of {} tokens beside {} streams: read in {:.1} s; between tokens of the others p50 / p99 {} ms before, {} ms meanwhile: {} x at p99\n",
            long["prompt_tokens"],
            long["streams"],
            long["first_token_s"].as_f64().unwrap_or(f64::NAN),
            pair(&long["between_tokens_ms_alone"]),
            pair(&long["between_tokens_ms_beside"]),
            long["p99_ratio"]
        );
    }
    if let Some(soak) = report.get("soak") {
        text += &soak_table(soak);
    }
    text
}

fn soak_table(soak: &Value) -> String {
    let mib = |bytes: &Value| bytes.as_f64().map_or("-".into(), |bytes| format!("{:.1}", bytes / (1 << 20) as f64));
    let memory: Vec<String> = soak["resident_bytes"].as_array().into_iter().flatten().map(mib).collect();
    let mut text = format!("\n| {} s of {} clients | |\n|---|---|\n", soak["seconds"], soak["clients"]);
    for (what, name) in soak::ROWS {
        text += &format!("| {name} | {} |\n", soak[*what]);
    }
    text += &format!("| MiB of memory over time | {} |\n", memory.join(" "));
    if let Some(growth) = soak["growth"].as_f64() {
        text += &format!("| most of the later half of it, divided by that of the earlier | {growth:.3} |\n");
    }
    for what in soak["did_not_happen"].as_array().into_iter().flatten() {
        text += &format!("| did not happen | {what} |\n");
    }
    for failure in soak["first_failures"].as_array().into_iter().flatten() {
        text += &format!("| failed | {failure} |\n");
    }
    text
}

/// Whether a soak has shown what it should not: a failure, memory that grows, or nothing of what it is there to show.
fn has_failed(soak: &Value) -> bool {
    let failures = soak["failures"].as_u64().unwrap_or(0);
    let grows = soak["seconds"].as_u64().is_some_and(|seconds| seconds >= STEADY)
        && soak["growth"].as_f64().is_some_and(|growth| growth > MOST_GROWTH);
    failures > 0 || grows || soak["did_not_happen"].as_array().is_some_and(|what| !what.is_empty())
}

fn main() -> ExitCode {
    let plan = match Plan::read(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(wrong) => {
            eprintln!("error: {wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match plan.run() {
        Ok(report) => {
            if plan.json {
                println!("{report}");
            } else {
                print!("{}", table(&report));
            }
            ExitCode::from(u8::from(has_failed(&report["soak"])))
        }
        Err(error) => {
            eprintln!("error: {}: {error}", plan.target.address);
            ExitCode::from(3)
        }
    }
}
