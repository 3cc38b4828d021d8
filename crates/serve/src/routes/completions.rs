//! `POST /v1/completions`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::access::Client;
use crate::app::{App, RequestId};
use crate::body::{self, Received};
use crate::choices::{ChoiceBuilder, join};
use crate::clock::now;
use crate::engine::{Event, Events, Failure, NotTaken};
use crate::error::{ApiError, ApiResult};
use crate::json::Json;
use crate::log::Notes;
use crate::plan::Plan;
use crate::types::{Choice, Completion, CompletionRequest, Logprobs, Usage};

pub(super) async fn completions(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Extension(id): Extension<RequestId>,
    Extension(notes): Extension<Notes>,
    request: Request,
) -> ApiResult<Response> {
    let deadline = Instant::now() + app.config.limits.request;
    let Received { asked: request, room } = body::json::<CompletionRequest>(&app, request).await?;
    let name = app.model(request.model.as_deref())?.name.clone();
    let stream = request.stream == Some(true);
    let usage = request.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true);
    let logprobs = request.logprobs.is_some();
    // Long prompts take a while to become tokens: elsewhere, so that nobody waits for it.
    let (of, shared) = (name.clone(), app.clone());
    let plan = move || Plan::new(request, shared.model(Some(&of))?, &shared.config.limits);
    let Plan { texts, choices, prompt_tokens } = app.aside(&id, plan).await??;
    notes.model(&name);
    notes.prompt_tokens(prompt_tokens);
    let served = app.model(Some(&name))?;
    let events = served.engine.submit(client, texts, deadline).map_err(|reason| match reason {
        NotTaken::Full => ApiError::busy(),
        NotTaken::Stopping => ApiError::stopping(),
    })?;
    let head = Head {
        id: format!("cmpl-{}", id.0),
        created: now().as_secs(),
        model: name,
        fingerprint: served.model.fingerprint().to_owned(),
    };
    let usage_so_far = Usage { prompt_tokens, completion_tokens: 0, total_tokens: prompt_tokens };
    let open = choices.len();
    let mut texts =
        Texts { app: app.clone(), deadline, events, open, choices, usage: usage_so_far, head, notes, _room: room };
    match stream {
        true => texts.stream(if usage { AtEnd::Usage } else { AtEnd::Nothing }).await,
        false => Ok(Json(texts.whole(logprobs).await?).into_response()),
    }
}

/// What all answers of a request begin with.
#[derive(Debug)]
struct Head {
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
}

/// The texts of a request, as they come.
#[derive(Debug)]
struct Texts {
    app: Arc<App>,
    deadline: Instant,
    events: Events,
    choices: Vec<ChoiceBuilder>,
    /// Texts that are not at their end.
    open: usize,
    usage: Usage,
    head: Head,
    notes: Notes,
    /// What it asked for is held for as long.
    _room: OwnedSemaphorePermit,
}

/// What comes after the texts of a stream.
#[derive(Debug, Clone, Copy)]
enum AtEnd {
    Nothing,
    Usage,
}

/// Where a stream is.
#[derive(Debug)]
enum Stage {
    /// The texts go on; the first choice is there already.
    Texts(Option<Choice>),
    /// Only the last line is missing.
    Done,
    Closed,
}

impl Texts {
    /// The next piece of any text; `None` once all have ended.
    async fn next(&mut self) -> ApiResult<Option<Choice>> {
        if self.open == 0 {
            return Ok(None);
        }
        let Some((index, event)) = self.events.recv().await else { return Err(self.cut()) };
        let Some(choice) = self.choices.get_mut(index) else { return Err(ApiError::internal()) };
        match event {
            Event::Piece(piece) => Ok(Some(choice.piece(piece))),
            Event::Ended { tokens, stopped, state_bytes } => {
                self.open -= 1;
                self.usage.completion_tokens += tokens;
                self.usage.total_tokens += tokens;
                self.notes.completion_tokens(tokens);
                Ok(Some(choice.end(stopped, state_bytes)))
            }
            Event::Failed(failure) => Err(match failure {
                Failure::Late => ApiError::late(),
                Failure::Stopping => ApiError::stopping(),
                Failure::Fault(fault) => ApiError::of(&fault, "prompt"),
            }),
        }
    }

    /// Why there are no more events: a text that ends while its reader has no room can't say it.
    fn cut(&self) -> ApiError {
        match Instant::now() >= self.deadline {
            true => ApiError::late(),
            false if self.app.is_stopping() => ApiError::stopping(),
            false => ApiError::internal(),
        }
    }

    /// All texts at once.
    async fn whole(&mut self, logprobs: bool) -> ApiResult<Completion> {
        let empty = |index| Choice {
            text: String::new(),
            index,
            logprobs: logprobs.then(Logprobs::default),
            finish_reason: None,
            state_bytes: None,
        };
        let mut all: Vec<Choice> = (0..self.choices.len()).map(empty).collect();
        while let Some(piece) = self.next().await? {
            if let Some(whole) = all.get_mut(piece.index) {
                join(whole, piece);
            }
        }
        Ok(self.completion(all, Some(self.usage)))
    }

    fn completion(&self, choices: Vec<Choice>, usage: Option<Usage>) -> Completion {
        Completion {
            id: self.head.id.clone(),
            object: "text_completion",
            created: self.head.created,
            model: self.head.model.clone(),
            choices,
            usage,
            system_fingerprint: self.head.fingerprint.clone(),
        }
    }

    /// The texts as they grow. Until the first piece is there, a failure still has a status of its own.
    async fn stream(mut self, at_end: AtEnd) -> ApiResult<Response> {
        let first = self.next().await?;
        let stage = Stage::Texts(first);
        let events = stream::unfold((self, stage), move |(mut texts, stage)| async move {
            let (event, stage) = texts.event(stage, at_end).await?;
            Some((Ok::<_, Infallible>(event), (texts, stage)))
        });
        Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
    }

    /// The next event, and where the stream is after it.
    async fn event(&mut self, stage: Stage, at_end: AtEnd) -> Option<(SseEvent, Stage)> {
        let (next, after) = match stage {
            Stage::Closed => return None,
            Stage::Done => return Some((SseEvent::default().data("[DONE]"), Stage::Closed)),
            Stage::Texts(Some(first)) => (Ok(Some(first)), Stage::Texts(None)),
            Stage::Texts(None) => (self.next().await, Stage::Texts(None)),
        };
        match (next, at_end) {
            (Ok(Some(choice)), _) => Some((data(&self.completion(vec![choice], None)), after)),
            (Ok(None), AtEnd::Usage) => Some((data(&self.completion(Vec::new(), Some(self.usage))), Stage::Done)),
            (Ok(None), AtEnd::Nothing) => Some((SseEvent::default().data("[DONE]"), Stage::Closed)),
            // The status is sent already: the client learns it from the last event, and no `[DONE]` comes.
            (Err(error), _) => Some((data(&error.body), Stage::Closed)),
        }
    }
}

/// JSON as an event; strings and numbers can't fail to become it.
fn data(value: &impl Serialize) -> SseEvent {
    SseEvent::default().data(serde_json::to_string(value).unwrap_or_default())
}
