//! What all handlers share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use percept_data::Tokenizer;
use percept_model::InferenceModel;
use tokio::sync::Semaphore;

use crate::clock::now;
use crate::config::ServerConfig;
use crate::engine::Engine;
use crate::error::{ApiError, ApiResult};
use crate::log::{Log, panicked};
use crate::metrics::Answers;

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

/// Bytes in which room for requests is counted.
pub(crate) const BODY_UNIT: usize = 1024;

/// What all handlers share.
pub(crate) struct App {
    pub(crate) config: ServerConfig,
    pub(crate) models: BTreeMap<String, Served>,
    pub(crate) answers: Answers,
    /// Room for what is asked, in units of [`BODY_UNIT`] bytes.
    pub(crate) bodies: Arc<Semaphore>,
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
        let room = config.limits.bodies_bytes.max(config.limits.body_bytes).div_ceil(BODY_UNIT);
        Self {
            config,
            models,
            answers: Answers::default(),
            bodies: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
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

    /// Work that takes a while, away from the threads that all requests share. A panic in it is told, and is an answer.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        id: &RequestId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> ApiResult<T> {
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            if let Ok(payload) = error.try_into_panic() {
                panicked(&self.log, format!("request {}", id.0), &*payload);
            }
            ApiError::internal()
        })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
