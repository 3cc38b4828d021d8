//! One model at work: a thread that reads prompts and writes texts, for all requests together.

mod channel;
mod prefix;
mod queue;
mod turns;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use percept_fault::{Fault, Result};
use percept_generate::{GenerationConfig, Piece};
use percept_model::Session;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::ServedModel;
use crate::access::Client;
use crate::config::Limits;
use crate::log::Log;
use crate::metrics::ModelMetrics;
use channel::Channel;
use queue::Queue;
use worker::Worker;

pub(crate) use prefix::Prefixes;
pub(crate) use queue::{Course, NotTaken};

/// Events that wait for a slow reader before the text does.
const WAITING_EVENTS: usize = 64;

/// A text that is wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The prompt, with the document token in front of a text that begins.
    pub(crate) prompt: Vec<u32>,
    pub(crate) config: GenerationConfig,
    /// What it goes on from, where it does not begin anew.
    pub(crate) start: Option<Arc<Start>>,
    /// What its prompt may be found by, and left by for others; none where it may not.
    pub(crate) prefixes: Prefixes,
    pub(crate) at_end: AtEnd,
}

/// A state from which the texts of a request go on.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) session: Session,
    /// Its room among the states that are in memory before their texts have a place.
    _room: OwnedSemaphorePermit,
}

impl Start {
    pub(crate) fn new(session: Session, room: OwnedSemaphorePermit) -> Self {
        Self { session, _room: room }
    }
}

/// What becomes of the session of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// It is dropped.
    Drop,
    /// It is handed over, once it has seen the last token.
    Keep,
}

/// What happens to a text.
#[derive(Debug)]
pub(crate) enum Event {
    /// It goes on.
    Piece(Piece),
    /// It is at its end.
    Ended {
        /// Tokens that were written.
        tokens: usize,
        /// Whether a stop string ended it.
        stopped: bool,
        /// Bytes of its state.
        state_bytes: usize,
        /// Where it was to be kept.
        session: Option<Box<Session>>,
    },
    /// It can't go on.
    Failed(Failure),
}

/// Why a text can't go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It took too long.
    Late,
    /// The server is being stopped.
    Stopping,
    /// The model can't, for a reason that the client may know where it is the client's.
    Fault(Arc<Fault>),
}

/// The events of the texts of one request, each with the text's place in it. Dropping it ends the texts.
pub(crate) type Events = mpsc::Receiver<(usize, Event)>;

/// A text with the way back to who wants it.
#[derive(Debug)]
struct Job {
    wanted: Wanted,
    channel: Channel,
}

/// A model's thread, and the queue before it.
#[derive(Debug)]
pub(crate) struct Engine {
    queue: Arc<Queue<Client, Job>>,
    metrics: Arc<ModelMetrics>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// # Errors
    /// The system gives no further thread.
    pub(crate) fn start(served: &ServedModel, limits: &Limits, log: Log) -> Result<Self> {
        let queue = Arc::new(Queue::new(limits.queue, limits.queue_each));
        let metrics = Arc::new(ModelMetrics::default());
        let mut worker = Worker::new(served.clone(), limits, (queue.clone(), metrics.clone()), log);
        let thread =
            std::thread::Builder::new().name("engine".into()).spawn(move || worker.run()).map_err(|error| {
                Fault::environment("cannot start the thread of a model").because(error).hint("serve fewer runs")
            })?;
        Ok(Self { queue, metrics, thread: Some(thread) })
    }

    /// Puts texts into the queue: all of one request, or none.
    pub(crate) fn submit(&self, client: Client, texts: Vec<Wanted>, deadline: Instant) -> Result<Events, NotTaken> {
        let (sender, events) = mpsc::channel(WAITING_EVENTS);
        let jobs = texts.into_iter().enumerate().map(|(index, wanted)| {
            let channel = Channel::new((index, client), wanted.at_end, sender.clone(), deadline);
            Job { wanted, channel }
        });
        let pushed = self.queue.push(client, jobs.collect());
        match pushed {
            Ok(()) => Ok(events),
            Err(reason) => {
                self.metrics.refused.add(1);
                Err(reason)
            }
        }
    }

    pub(crate) fn metrics(&self) -> &ModelMetrics {
        self.metrics.waiting.set(self.queue.len() as u64);
        &self.metrics
    }

    /// Says how it goes on.
    pub(crate) fn set_course(&self, course: Course) {
        self.queue.set_course(course);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.set_course(Course::Ending);
        if let Some(thread) = self.thread.take() {
            // Its rounds catch what panics.
            drop(thread.join());
        }
    }
}
