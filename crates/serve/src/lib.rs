//! Percept over HTTP: completions of several models for many clients at once, in the shape of OpenAI's API.
//!
//! - [`Server`]: binds an address, answers until it is told to stop
//! - [`ServerConfig`], [`Limits`], [`Access`]: where, how much, for whom
//!
//! Each model has a thread that owns its texts and reads the weights once per round for all of them; handlers only translate.
//! What is written of a text depends on its request alone: not on the texts beside it, and not on when it came.

mod access;
mod app;
mod body;
mod choices;
mod clock;
mod config;
mod connections;
mod engine;
mod error;
mod json;
mod log;
mod metrics;
mod openapi;
mod page;
mod patient;
mod plan;
mod prompt;
mod routes;
mod states;
mod types;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use percept_data::Tokenizer;
use percept_fault::{Fault, Result};
use percept_model::InferenceModel;
use percept_model::properties::Properties;
use tokio::runtime::Runtime;

pub use access::{Access, Tokens};
pub use config::{Limits, ServerConfig};
pub use log::{Log, LogLine, RequestLine};

use app::{App, Served};
use engine::Engine;
use states::States;

/// Threads that read requests and send answers; the models have their own.
const THREADS: usize = 2;
/// Threads that wait for the disk; each may have a state in memory.
const DISK_THREADS: usize = 8;

/// A model to be served.
#[derive(Debug, Clone)]
pub struct ServedModel {
    /// What clients call it.
    pub name: String,
    /// Its weights.
    pub model: Arc<InferenceModel>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

/// A server that listens.
///
/// ```
/// # use std::io::{Read, Write};
/// # use std::sync::Arc;
/// # use std::sync::atomic::{AtomicBool, Ordering};
/// # use percept_data::Tokenizer;
/// # use percept_model::{LanguageModel, ModelConfig};
/// # use percept_serve::{Access, Limits, ServedModel, Server, ServerConfig};
/// # let config = ModelConfig { layers: "llp(segment=8)".into(), vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// let model = ServedModel { name: "tiny".into(), model, tokenizer: Tokenizer::bytes() };
/// let listen = "127.0.0.1:0".parse().unwrap();
/// let config = ServerConfig { listen, access: Access::Loopback, limits: Limits::default(), states: None };
/// let server = Server::bind(config, vec![model], Arc::new(|_| ()))?;
/// let (address, stop) = (server.address(), AtomicBool::new(false));
/// let answer = std::thread::scope(|scope| {
///     scope.spawn(|| server.run(&stop));
///     let mut client = std::net::TcpStream::connect(address).unwrap();
///     let mut answer = String::new();
///     client.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
///     client.read_to_string(&mut answer).unwrap();
///     stop.store(true, Ordering::Relaxed);
///     answer
/// });
/// assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(r#"{"status":"ok"}"#));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    runtime: Runtime,
}

impl Server {
    /// Starts the models and listens: connections wait until [`Server::run`].
    ///
    /// # Errors
    /// Usage: a configuration that is refused, no model, or two of one name. Environment: the address can't be had, or no
    /// further thread, or the folder of the states can't be used.
    pub fn bind(config: ServerConfig, models: Vec<ServedModel>, log: Log) -> Result<Self> {
        config.validate()?;
        if models.is_empty() {
            return Err(Fault::usage("there is no model to serve").hint("name a run"));
        }
        let fault = |error| {
            Fault::environment(format!("cannot listen on {}", config.listen))
                .because(error)
                .hint("another program may use it: choose another --listen")
        };
        let listener = TcpListener::bind(config.listen).map_err(fault)?;
        listener.set_nonblocking(true).map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let states = States::open(config.states.as_deref(), &config.limits)?;
        let mut served = BTreeMap::new();
        for one in models {
            if served.contains_key(&one.name) {
                return Err(Fault::usage(format!("two models are called {}", one.name))
                    .hint("give one of them another name: NAME=RUN"));
            }
            let engine = Engine::start(&one, &config.limits, log.clone())?;
            let ServedModel { name, model, tokenizer } = one;
            let state_limit = Properties::of(model.config())?.state_limit(model.key_value_precision());
            served.insert(name.clone(), Served { name, model, tokenizer, engine, state_limit });
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(DISK_THREADS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(|error| Fault::environment("cannot start the server's threads").because(error))?;
        Ok(Self { listener, address, app: Arc::new(App::new(config, served, states, log)), runtime })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is set. Then no more is taken, and texts have [`Limits::grace`] to come to their end.
    ///
    /// # Errors
    /// Environment: the system refuses to watch the address.
    pub fn run(self, stop: &AtomicBool) -> Result<()> {
        let Self { listener, app, runtime, .. } = self;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)
                .map_err(|error| Fault::environment("cannot watch for connections").because(error))?;
            connections::serve(listener, app, stop).await;
            Ok(())
        })
    }
}
