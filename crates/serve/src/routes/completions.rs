//! `POST /v1/completions`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use super::asker::Asker;
use super::texts::Texts;
use crate::app::App;
use crate::body::{self, Received};
use crate::choices::join;
use crate::error::ApiResult;
use crate::json::Json;
use crate::log::failed;
use crate::types::{Choice, Completion, CompletionRequest, Logprobs, Usage};

pub(super) async fn completions(State(app): State<Arc<App>>, asker: Asker, request: Request) -> ApiResult<Response> {
    let deadline = Instant::now() + app.config.limits.request;
    let received: Received<CompletionRequest> = body::json(&app, request).await?;
    let request = &received.asked;
    let stream = request.stream == Some(true);
    let usage = request.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true);
    let logprobs = request.logprobs.is_some();
    let mut texts = Texts::begin(app, asker, received, deadline).await?;
    match stream {
        true => texts.stream(if usage { AtEnd::Usage } else { AtEnd::Nothing }).await,
        false => Ok(Json(texts.whole(logprobs).await?).into_response()),
    }
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
    Texts(Option<Box<Choice>>),
    /// Only the last line is missing.
    Done,
    Closed,
}

impl Texts {
    /// All texts at once.
    async fn whole(&mut self, logprobs: bool) -> ApiResult<Completion> {
        let empty = |index| Choice {
            text: String::new(),
            index,
            logprobs: logprobs.then(Logprobs::default),
            finish_reason: None,
            state_bytes: None,
            state: None,
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
        let stage = Stage::Texts(first.map(Box::new));
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
            Stage::Texts(Some(first)) => (Ok(Some(*first)), Stage::Texts(None)),
            Stage::Texts(None) => (self.next().await, Stage::Texts(None)),
        };
        match (next, at_end) {
            (Ok(Some(choice)), _) => Some((data(&self.completion(vec![choice], None)), after)),
            (Ok(None), AtEnd::Usage) => Some((data(&self.completion(Vec::new(), Some(self.usage))), Stage::Done)),
            (Ok(None), AtEnd::Nothing) => Some((SseEvent::default().data("[DONE]"), Stage::Closed)),
            // The status is sent already: the client learns it from the last event, and no `[DONE]` comes.
            (Err(error), _) => {
                if let Some(cause) = &error.cause {
                    failed(&self.app.log, &self.id.0, cause);
                }
                Some((data(&error.body), Stage::Closed))
            }
        }
    }
}

/// JSON as an event; strings and numbers can't fail to become it.
fn data(value: &impl Serialize) -> SseEvent {
    SseEvent::default().data(serde_json::to_string(value).unwrap_or_default())
}
