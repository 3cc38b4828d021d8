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

use serde_json::{Value, json};

use client::{Ask, Target};

const USAGE: &str =
    "load ADDRESS --model NAME [--json] [--token-file FILE] [--pid PID] [--streams 1,64] [--tokens 256] [--prompt 128]
     [--long 100000] [--long-streams 16] [--quiet-seconds 10] [--soak SECONDS] [--soak-clients 32]
  --pid: the server's process, for its memory    --prompt: characters of a prompt    --long 0: without the long prompt";

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

impl Plan {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self {
            target: Target { address: String::new(), model: String::new(), token: None },
            json: false,
            pid: None,
            streams: vec![1, 64],
            ask: Ask { prompt: String::new(), tokens: 256, seed: 0 },
            long: 100_000,
            long_streams: 16,
            quiet: Duration::from_secs(10),
            soak: Duration::ZERO,
            soak_clients: 32,
        };
        let mut prompt = 128;
        while let Some(argument) = arguments.next() {
            if argument == "--json" {
                plan.json = true;
                continue;
            }
            if !argument.starts_with("--") {
                plan.target.address = argument;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{argument} wants a value"))?;
            let number = || value.parse::<usize>().map_err(|_| format!("{argument} wants a number, not {value}"));
            match argument.as_str() {
                "--model" => plan.target.model = value,
                "--token-file" => {
                    plan.target.token = Some(
                        std::fs::read_to_string(&value).map_err(|error| format!("{value}: {error}"))?.trim().into(),
                    )
                }
                "--pid" => plan.pid = Some(number()? as u32),
                "--streams" => {
                    plan.streams = value
                        .split(',')
                        .map(|count| count.parse().map_err(|_| format!("--streams: {count}")))
                        .collect::<Result<_, _>>()?
                }
                "--tokens" => plan.ask.tokens = number()?,
                "--prompt" => prompt = number()?,
                "--long" => plan.long = number()?,
                "--long-streams" => plan.long_streams = number()?,
                "--quiet-seconds" => plan.quiet = Duration::from_secs(number()? as u64),
                "--soak" => plan.soak = Duration::from_secs(number()? as u64),
                "--soak-clients" => plan.soak_clients = number()?,
                _ => return Err(format!("{argument} is no option")),
            }
        }
        plan.ask.prompt = TEXT.chars().cycle().take(prompt).collect();
        let local = plan
            .target
            .address
            .to_socket_addrs()
            .is_ok_and(|mut found| found.all(|address| address.ip().is_loopback()));
        match local {
            true => Ok(plan),
            false => Err(format!("`{}` is no address and port of this machine", plan.target.address)),
        }
    }

    fn run(&self) -> io::Result<Value> {
        let mut report = json!({ "prompt_characters": self.ask.prompt.len(), "tokens": self.ask.tokens });
        // What is done once (pages touched first, threads begun) is none of the streams'.
        self.target.ask(&self.ask)?.text(|| ())?;
        let rows: Vec<Value> = self
            .streams
            .iter()
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
    let mut text = String::from(
        "| streams | tokens/s | with prompts | first token p50 / p99 (ms) | between tokens p50 / p99 (ms) | MiB per stream |\n|---|---|---|---|---|---|\n",
    );
    let pair = |times: &Value| format!("{} / {}", times["p50"], times["p99"]);
    for row in report["load"].as_array().into_iter().flatten() {
        let memory =
            row["bytes_per_stream"].as_f64().map_or("-".into(), |bytes| format!("{:.2}", bytes / (1 << 20) as f64));
        text += &format!(
            "| {} | {} | {} | {} | {} | {memory} |\n",
            row["streams"],
            row["tokens_per_s"],
            row["tokens_per_s_with_prompts"],
            pair(&row["first_token_ms"]),
            pair(&row["between_tokens_ms"])
        );
    }
    if let Some(long) = report.get("long_prompt") {
        text += &format!(
            "\nA prompt of {} characters beside {} streams: read in {:.1} s; between tokens of the others p50 / p99 {} ms before, {} ms meanwhile: {} x at p99\n",
            long["prompt_characters"],
            long["streams"],
            long["first_token_s"].as_f64().unwrap_or(f64::NAN),
            pair(&long["between_tokens_ms_alone"]),
            pair(&long["between_tokens_ms_beside"]),
            long["p99_ratio"]
        );
    }
    if let Some(soak) = report.get("soak") {
        let memory = soak["resident_bytes"].as_array().into_iter().flatten().filter_map(Value::as_f64);
        let memory: Vec<String> = memory.map(|bytes| format!("{:.0}", bytes / (1 << 20) as f64)).collect();
        text += &format!("\nSoak: {soak}\nMiB over time: {}\n", memory.join(" "));
    }
    text
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
            // A soak with a failure is one that failed.
            ExitCode::from(u8::from(report["soak"]["failures"].as_u64().unwrap_or(0) > 0))
        }
        Err(error) => {
            eprintln!("error: {}: {error}", plan.target.address);
            ExitCode::from(3)
        }
    }
}
