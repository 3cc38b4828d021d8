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
use crate::states::{Record, State, States};

/// States that are in memory before their texts have a place.
const LOADED: usize = 8;
/// States that are received at once.
const UPLOADS: usize = 4;

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
    pub(crate) states: States,
    /// One permit for each state that is in memory before its text has a place.
    pub(crate) loaded: Arc<Semaphore>,
    /// One for each state that is being received.
    pub(crate) uploads: Semaphore,
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
    pub(crate) fn new(config: ServerConfig, models: BTreeMap<String, Served>, states: States, log: Log) -> Self {
        let room = config.limits.bodies_bytes.max(config.limits.body_bytes).div_ceil(BODY_UNIT);
        Self {
            loaded: Arc::new(Semaphore::new(LOADED)),
            uploads: Semaphore::new(UPLOADS),
            config,
            models,
            states,
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

    /// A state, as it is answered. Its model has the name under which it is served now.
    pub(crate) fn state(&self, record: &Record) -> State {
        let is_its = |served: &&Served| served.model.fingerprint() == record.fingerprint;
        let same = self.models.get(&record.model).filter(is_its).or_else(|| self.models.values().find(is_its));
        State {
            object: "state",
            id: record.id.to_string(),
            model: same.map_or(&record.model, |served| &served.name).clone(),
            name: record.name.clone(),
            position: record.position,
            bytes: record.bytes,
            created: record.created.as_secs(),
            used: record.used.as_secs(),
            expires: self.states.expires(record).map(|time| time.as_secs()),
            pinned: record.pinned,
        }
    }

    /// A number that no other request of this server has, or had since it was started.
    pub(crate) fn request_id(&self) -> String {
        format!("{:x}-{:x}", self.started, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Work that takes a while or waits for the disk, away from the threads that all requests share. A panic in it is told, and is
    /// an answer.
    pub(crate) async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        id: &RequestId,
        work: impl FnOnce(&Self) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let app = self.clone();
        tokio::task::spawn_blocking(move || work(&app)).await.unwrap_or_else(|error| {
            if let Ok(payload) = error.try_into_panic() {
                panicked(&self.log, format!("request {}", id.0), &*payload);
            }
            Err(ApiError::internal())
        })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
