//! A state that is received: checked by its head before there is memory for the rest.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use futures_util::StreamExt;
use percept_fault::Fault;
use percept_model::Session;
use percept_model::session::StateHead;

use crate::app::{App, RequestId, Served};
use crate::error::{ApiError, ApiResult};

/// Receives the file of a state of this model; its bytes, and the tokens that the state has read.
pub(super) async fn receive(
    app: &Arc<App>,
    served: &Served,
    id: &RequestId,
    request: Request,
) -> ApiResult<(Vec<u8>, usize)> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind != Some("application/octet-stream") {
        // A page of another origin can't send this type without being asked whether it may.
        return Err(ApiError::refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send the file, with `Content-Type: application/octet-stream`",
        ));
    }
    let _place = app.uploads.try_acquire().map_err(|_| ApiError::busy())?;
    let file = tokio::time::timeout(app.config.limits.request, whole(app, served, id, request.into_body()));
    let file = file.await.map_err(|_| late())??;
    let model = served.model.clone();
    app.aside(id, move |_| {
        let session = Session::from_bytes(&file, model).map_err(unfit)?;
        Ok((file, session.position()))
    })
    .await
}

/// Receives a file of the size that its head tells.
async fn whole(app: &Arc<App>, served: &Served, id: &RequestId, body: Body) -> ApiResult<Vec<u8>> {
    let wait = app.config.limits.receive;
    let mut file = Received { body: body.into_data_stream(), bytes: Vec::new(), wait };
    let prefix = *file.until(StateHead::PREFIX).await?.first_chunk().ok_or_else(ApiError::internal)?;
    let head_end = StateHead::PREFIX + StateHead::length(prefix).map_err(unfit)?;
    let head = file.until(head_end).await?[StateHead::PREFIX..head_end].to_vec();
    let model = served.model.clone();
    let size = app.aside(id, move |_| Ok(StateHead::check(&head, &model).map_err(unfit)?.file_bytes())).await?;
    let most = app.config.limits.state_bytes;
    if size > most {
        return Err(ApiError::too_large(size, most));
    }
    file.until(size).await?;
    match file.bytes.len() == size && file.more().await?.is_none() {
        true => Ok(file.bytes),
        false => Err(ApiError::invalid("", "there is more in the request than a state")),
    }
}

/// What has come of a body.
struct Received {
    body: BodyDataStream,
    bytes: Vec<u8>,
    /// How long each part of it may take.
    wait: Duration,
}

impl Received {
    /// What has come, once it is so many bytes or a few more.
    async fn until(&mut self, bytes: usize) -> ApiResult<&[u8]> {
        while self.bytes.len() < bytes {
            match self.more().await? {
                Some(more) => self.bytes.extend_from_slice(&more),
                None => return Err(ended_early()),
            }
        }
        Ok(&self.bytes)
    }

    /// The next part; `None` at the end.
    async fn more(&mut self) -> ApiResult<Option<Bytes>> {
        let next = tokio::time::timeout(self.wait, self.body.next()).await.map_err(|_| late())?;
        next.transpose().map_err(|_| ended_early())
    }
}

fn late() -> ApiError {
    ApiError::refused(StatusCode::REQUEST_TIMEOUT, "timeout", "the request was not sent in time")
}

fn ended_early() -> ApiError {
    ApiError::invalid("", "the request ended too early")
}

/// What is wrong with a file is told to who sent it.
fn unfit(fault: Fault) -> ApiError {
    match fault.hint_text() {
        Some(hint) => ApiError::invalid("", format!("{fault}: {hint}")),
        None => ApiError::invalid("", fault.to_string()),
    }
}
