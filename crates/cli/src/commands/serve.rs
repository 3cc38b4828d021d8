//! `percept serve RUN...`: trained models over HTTP.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use percept::fault::IoContext;
use percept::model::properties::Properties;
use percept::model::{InferenceModel, WeightPrecision};
use percept::train::Memory;
use percept::{Fault, Result};
use percept_serve::{Access, Limits, LogLine, ServedModel, Server, ServerConfig, Tokens};
use serde::Serialize;

use crate::arguments::run::Checkpoint;
use crate::arguments::{Global, KeysValuesArgs, Weights, keys_values, run};
use crate::crash;
use crate::human;
use crate::interrupt;
use crate::terminal::{Format, Terminal, talk};

/// Where tokens are looked for without --tokens.
const VARIABLE: &str = "PERCEPT_TOKENS";

/// Arguments of `percept serve`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept serve runs/my-run --listen 127.0.0.1:8080\n\
    Clients for OpenAI's API then use http://127.0.0.1:8080/v1 and the name my-run.")]
pub(crate) struct Serve {
    /// Run folders or checkpoints, each as RUN or NAME=RUN; without a name, the folder's
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Checkpoint of each: best (lowest validation loss), latest, or a step
    #[arg(long, value_name = "WHICH", default_value = "best")]
    checkpoint: Checkpoint,
    /// How exactly weights are kept; fewer bits read faster and change the text a little
    #[arg(long, value_name = "WEIGHTS", value_enum, default_value_t = Weights::F32)]
    weights: Weights,
    #[command(flatten)]
    keys_values: KeysValuesArgs,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,
    /// File with the tokens that clients must show, one a line; or in the environment, as PERCEPT_TOKENS
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Let anybody who reaches the address use it, from other machines too
    #[arg(long, conflicts_with = "tokens")]
    allow_anonymous: bool,
    #[command(flatten)]
    states: StateArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What is kept of texts that were read.
#[derive(Debug, Args)]
#[command(next_help_heading = "States")]
struct StateArgs {
    /// Folder that keeps the states of clients; without it they go with the server
    #[arg(long, value_name = "FOLDER")]
    states: Option<PathBuf>,
    /// Bytes of all states; those that were not used for longest go first, but none that is pinned
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().states_bytes)]
    states_limit: u64,
    /// Bytes of the states of one client, by its token: its own go first; without it there is no such limit
    #[arg(long, value_name = "BYTES")]
    states_limit_each: Option<u64>,
    /// Seconds after which a state goes that nobody uses; without it none goes for its age
    #[arg(long, value_name = "SECONDS")]
    states_ttl: Option<u64>,
    /// Bytes of one state
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().state_bytes)]
    max_state: usize,
    /// Bytes of memory, for each model, for states of the beginnings of prompts, so that none is read twice; 0 for none
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().prefix_bytes)]
    prefix_cache: usize,
}

/// How much may be asked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Texts of one model that are read or written at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().streams)]
    max_streams: usize,
    /// Of them, texts of one client, by its token or address; without it one client may have all
    #[arg(long, value_name = "N")]
    max_streams_each: Option<usize>,
    /// Prompts of one model that wait for a place
    #[arg(long, value_name = "N", default_value_t = Limits::default().queue)]
    max_waiting: usize,
    /// Of them, prompts of one client; without it one client may have all
    #[arg(long, value_name = "N")]
    max_waiting_each: Option<usize>,
    /// Tokens of a prompt
    #[arg(long, value_name = "N", default_value_t = Limits::default().prompt_tokens)]
    max_prompt: usize,
    /// Tokens written after a prompt
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_tokens)]
    max_tokens: usize,
    /// Bytes of a request
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_bytes)]
    max_body: usize,
    /// Characters of each prompt that the log shows; without it, nothing of what clients write stands there
    #[arg(long, value_name = "CHARACTERS", default_value_t = Limits::default().logged)]
    log_prompts: usize,
    /// Seconds that a request may take
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().request.as_secs())]
    deadline: u64,
    /// Seconds that texts may still be written once the server is asked to stop
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().grace.as_secs())]
    grace: u64,
}

/// What `--json` prints once the server listens.
#[derive(Debug, Serialize)]
struct Listening {
    address: SocketAddr,
    models: Vec<String>,
}

impl Serve {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let config = self.config()?;
        // What is refused is refused before models are loaded.
        config.validate()?;
        let runs = self.named()?;
        let loaded = runs.iter().map(|(name, path)| self.load(global, name, path));
        let models: Vec<(ServedModel, u64)> = loaded.collect::<Result<_>>()?;
        self.check_memory(&models)?;
        let models = models.into_iter().map(|(model, _)| model).collect();
        let names = runs.into_iter().map(|(name, _)| name).collect();
        let server = Server::bind(config, models, log(terminal))?;
        let address = server.address();
        terminal.text(format!("listening on http://{address}"))?;
        terminal.json(&Listening { address, models: names })?;
        server.run(interrupt::end_in_order())
    }

    fn config(&self) -> Result<ServerConfig> {
        let limits = Limits {
            streams: self.limits.max_streams,
            streams_each: self.limits.max_streams_each,
            queue: self.limits.max_waiting,
            queue_each: self.limits.max_waiting_each,
            prompt_tokens: self.limits.max_prompt,
            max_tokens: self.limits.max_tokens,
            body_bytes: self.limits.max_body,
            logged: self.limits.log_prompts,
            request: Duration::from_secs(self.limits.deadline),
            grace: Duration::from_secs(self.limits.grace),
            state_bytes: self.states.max_state,
            states_bytes: self.states.states_limit,
            states_bytes_each: self.states.states_limit_each,
            states_ttl: self.states.states_ttl.map(Duration::from_secs),
            prefix_bytes: self.states.prefix_cache,
            ..Limits::default()
        };
        Ok(ServerConfig { listen: self.listen, access: self.access()?, limits, states: self.states.states.clone() })
    }

    fn access(&self) -> Result<Access> {
        if self.allow_anonymous {
            return Ok(Access::Anonymous);
        }
        let tokens = match (&self.tokens, std::env::var(VARIABLE)) {
            (Some(path), _) => {
                let (bytes, place) = (std::fs::read(path).at("read", path)?, path.display().to_string());
                let text = String::from_utf8(bytes).map_err(|error| {
                    Fault::usage(format!("{place} is no text")).because(error).hint("one token a line, in ASCII")
                })?;
                Tokens::of_lines(&text, &place)?
            }
            (None, Ok(text)) => Tokens::of_lines(&text, VARIABLE)?,
            (None, Err(std::env::VarError::NotPresent)) => return Ok(Access::Loopback),
            (None, Err(error)) => return Err(Fault::usage(VARIABLE).because(error).hint("one token a line, in ASCII")),
        };
        Ok(Access::Tokens(tokens))
    }

    /// The name and the folder of each run.
    fn named(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut names = BTreeSet::new();
        let mut named = Vec::new();
        for run in &self.runs {
            let (name, path) = name_of(run)?;
            if !names.insert(name.clone()) {
                return Err(Fault::usage(format!("two runs are called {name}")).hint("name one of them: NAME=RUN"));
            }
            named.push((name, path));
        }
        Ok(named)
    }

    /// Refuses more texts than their devices have memory for: each keeps its state, of so many bytes.
    fn check_memory(&self, models: &[(ServedModel, u64)]) -> Result<()> {
        let streams = self.limits.max_streams;
        for (served, _) in models {
            let device = served.model.device();
            let here: Vec<u64> =
                models.iter().filter(|(other, _)| other.model.device() == device).map(|(_, state)| *state).collect();
            let needed = here.iter().sum::<u64>().saturating_mul(streams as u64);
            Memory::check(needed, &format!("the state of {streams} texts of each model"), &device)
                .map_err(|fault| fault.hint("give a lower --max-streams, or serve fewer runs"))?;
            let beginnings = (self.states.prefix_cache as u64).saturating_mul(here.len() as u64);
            let both = needed.saturating_add(beginnings);
            Memory::check(both, "what is kept of texts and of the beginnings of prompts", &device)
                .map_err(|fault| fault.hint("give a lower --prefix-cache or --max-streams, or serve fewer runs"))?;
        }
        Ok(())
    }

    /// A model, and the bytes that a text's state takes at most.
    fn load(&self, global: &Global, name: &str, path: &Path) -> Result<(ServedModel, u64)> {
        let loaded = run::load(global, path, self.checkpoint)?;
        let (precision, properties) = (self.keys_values.precision(), Properties::of(&loaded.config.model)?);
        let weights: WeightPrecision = self.weights.into();
        let model = InferenceModel::new(loaded.model).with_weight_precision(weights)?;
        let model = model.with_key_value_precision(precision)?;
        let state = properties.state_limit(precision) as u64;
        // Made now: the first client should not wait for them.
        model.fingerprint();
        model.decoder();
        let (path, step) = (path.display(), loaded.step);
        let (state_bytes, note) = (human::bytes(state), keys_values::note(&model)?);
        global.terminal().say(format!("{name}: {path} at step {step}, {state_bytes} of state per text{note}"));
        Ok((ServedModel { name: name.to_owned(), model: Arc::new(model), tokenizer: loaded.tokenizer }, state))
    }
}

/// Where to listen. A name could mean several addresses, of which some can be reached from elsewhere.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "an address is made of numbers, and has a port: 127.0.0.1:8080, or [::1]:8080")
}

/// `NAME=RUN`, or a folder that is there and is called by its last part.
fn name_of(run: &Path) -> Result<(String, PathBuf)> {
    let named = run.to_str().filter(|_| !run.exists()).and_then(|text| text.split_once('='));
    let (name, path) = match named {
        Some((name, path)) => (name.to_owned(), PathBuf::from(path)),
        None => {
            let whole = run.canonicalize().at("read", run)?;
            let last = whole.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            (last.to_owned(), run.to_owned())
        }
    };
    let good = |character: char| character.is_ascii_alphanumeric() || "-_.:".contains(character);
    match !name.is_empty() && name.chars().all(good) {
        true => Ok((name, path)),
        false => Err(Fault::usage(format!("{name:?} is no name for a model"))
            .hint("letters, digits and -_.: make a name; give one with NAME=RUN")),
    }
}

/// Lines of JSON on stderr: of requests unless quiet, of failures always, and of bugs with their place in the program.
fn log(terminal: Terminal) -> percept_serve::Log {
    let json = |line: &LogLine| serde_json::to_string(line).unwrap_or_default();
    Arc::new(move |line: &LogLine| match line {
        LogLine::Request(_) => terminal.say(json(line)),
        LogLine::Failed { .. } => talk(&json(line)),
        LogLine::Stopping { .. } if terminal.format == Format::Text => {
            talk("\nstopping: no more requests are taken (Ctrl-C again stops at once)");
        }
        LogLine::Stopping { .. } => talk(&json(line)),
        LogLine::Panic { time, place, .. } => {
            talk(&json(&LogLine::Panic { time: *time, place: place.clone(), message: crash::last() }));
        }
    })
}
