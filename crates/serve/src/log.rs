//! What a server tells its owner of each request, and of bugs. Nothing of what clients write is in it.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use serde::Serialize;

use crate::clock::now;
use crate::error::Cause;

/// A line of the log.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LogLine {
    /// A request was answered, or its client went.
    Request(RequestLine),
    /// A bug: something panicked. The server goes on.
    Panic {
        /// Seconds since 1970.
        time: f64,
        /// Where: `request ID`, or `engine MODEL`.
        place: String,
        /// What the panic said.
        message: String,
    },
    /// The server, or its disk, failed at a request.
    Failed {
        /// Seconds since 1970.
        time: f64,
        /// The request's id.
        request: String,
        /// Why.
        message: String,
    },
}

/// What is told of a request once its answer is at its end.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RequestLine {
    /// When it came, in seconds since 1970.
    pub time: f64,
    /// The request's id, which the client has from `x-request-id`.
    pub request: String,
    /// The method, where it is a known one.
    pub method: String,
    /// The route, not what the client wrote.
    pub route: String,
    /// Status of the answer.
    pub status: u16,
    /// Whether the whole answer was handed over; the client may not have taken the last of it.
    pub whole: bool,
    /// Milliseconds to the first byte of the answer.
    pub first_ms: f64,
    /// Milliseconds to its last one.
    pub ms: f64,
    /// The number of the client's token, where there are tokens.
    pub token: Option<u32>,
    /// The model, where one was asked.
    pub model: Option<String>,
    /// Tokens of the prompts.
    pub prompt_tokens: u64,
    /// Tokens of the texts that came to their end.
    pub completion_tokens: u64,
}

/// Takes the lines of the log.
pub type Log = Arc<dyn Fn(&LogLine) + Send + Sync>;

/// Tells why a request failed, where that is not the client's affair.
pub(crate) fn failed(log: &Log, request: &str, Cause(message): &Cause) {
    log(&LogLine::Failed { time: now().as_secs_f64(), request: request.to_owned(), message: message.clone() });
}

/// Tells of a panic that was caught.
pub(crate) fn panicked(log: &Log, place: String, payload: &(dyn Any + Send)) {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a message".to_owned(),
    };
    log(&LogLine::Panic { time: now().as_secs_f64(), place, message });
}

/// What a handler notes of its request for the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    model: Mutex<Option<String>>,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
}

impl Notes {
    pub(crate) fn model(&self, name: &str) {
        *self.0.model.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
    }

    pub(crate) fn prompt_tokens(&self, tokens: usize) {
        self.0.prompt_tokens.fetch_add(tokens as u64, Ordering::Relaxed);
    }

    pub(crate) fn completion_tokens(&self, tokens: usize) {
        self.0.completion_tokens.fetch_add(tokens as u64, Ordering::Relaxed);
    }
}

/// The line of a request on its way: it is told when this is dropped, whatever ends the answer.
struct Pending {
    log: Log,
    line: RequestLine,
    notes: Notes,
    begin: Instant,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Noted { model, prompt_tokens, completion_tokens } = &*self.notes.0;
        self.line.ms = self.begin.elapsed().as_secs_f64() * 1e3;
        self.line.model = model.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.line.prompt_tokens = prompt_tokens.load(Ordering::Relaxed);
        self.line.completion_tokens = completion_tokens.load(Ordering::Relaxed);
        (self.log)(&LogLine::Request(self.line.clone()));
    }
}

/// The body of an answer, whose end is told.
struct Told {
    body: Body,
    pending: Pending,
}

/// `body`, which tells `line` at its end.
pub(crate) fn told_at_end(body: Body, log: Log, line: RequestLine, notes: Notes, begin: Instant) -> Body {
    Body::new(Told {
        pending: Pending { log, line: RequestLine { whole: body.is_end_stream(), ..line }, notes, begin },
        body,
    })
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.pending.line.whole = true;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
