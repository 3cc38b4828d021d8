//! What all handlers share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use percept_data::Tokenizer;
use percept_model::InferenceModel;
use serde::Serialize;

use crate::config::ServerConfig;
use crate::engine::Engine;
use crate::error::{ApiError, ApiResult};
use crate::metrics::Answers;

/// A line of the log. It holds nothing of what clients write.
#[derive(Debug, Clone, Serialize)]
pub struct LogLine {
    /// Seconds since 1970.
    pub time: f64,
    /// The request's id, which the client has from `x-request-id`.
    pub request: String,
    /// The method, where it is a known one.
    pub method: String,
    /// The route, not what the client wrote.
    pub route: String,
    /// Status of the answer.
    pub status: u16,
    /// Milliseconds to the first byte of the answer.
    pub ms: f64,
    /// The number of the client's token, where there are tokens.
    pub token: Option<u32>,
}

/// Takes the lines of the log.
pub type Log = Arc<dyn Fn(&LogLine) + Send + Sync>;

/// The id of a request: clients have it from `x-request-id`, the log has it too.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// A model with its thread.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) model: Arc<InferenceModel>,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) engine: Engine,
    /// Most bytes that the state of one stream takes.
    pub(crate) state_limit: usize,
}

/// What all handlers share.
pub(crate) struct App {
    pub(crate) config: ServerConfig,
    pub(crate) models: BTreeMap<String, Served>,
    pub(crate) answers: Answers,
    pub(crate) log: Log,
    pub(crate) stopping: AtomicBool,
    pub(crate) started: u64,
    requests: AtomicU64,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App of {:?}", self.models.keys())
    }
}

impl App {
    pub(crate) fn new(config: ServerConfig, models: BTreeMap<String, Served>, log: Log) -> Self {
        Self {
            config,
            models,
            answers: Answers::default(),
            log,
            stopping: AtomicBool::new(false),
            started: now().as_secs(),
            requests: AtomicU64::new(0),
        }
    }

    /// The model of a request.
    pub(crate) fn model(&self, name: Option<&str>) -> ApiResult<&Served> {
        let names = || self.models.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        match (name, self.models.len()) {
            (Some(name), _) => self.models.get(name).ok_or_else(|| ApiError::unknown_model(&names())),
            (None, 1) => self.models.values().next().ok_or_else(ApiError::internal),
            (None, _) => Err(ApiError::invalid("model", format!("say which model: {}", names()))),
        }
    }

    /// A number that no other request of this server has, or had since it was started.
    pub(crate) fn request_id(&self) -> String {
        format!("{:x}-{:x}", self.started, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Time since 1970.
pub(crate) fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
