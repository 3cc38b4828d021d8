//! Requests in JSON.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::{App, BODY_UNIT};
use crate::error::{ApiError, ApiResult};

/// A request that was read. It keeps its room until it is dropped.
#[derive(Debug)]
pub(crate) struct Received<T> {
    pub(crate) asked: T,
    pub(crate) room: OwnedSemaphorePermit,
}

/// Reads a request: its type, its size, its time and each of its fields are checked.
pub(crate) async fn json<T: DeserializeOwned>(app: &App, request: Request) -> ApiResult<Received<T>> {
    let most = app.config.limits.body_bytes;
    let length = length(&request)?.unwrap_or(most).min(most);
    let units = u32::try_from(length.div_ceil(BODY_UNIT)).unwrap_or(u32::MAX);
    let room = app.bodies.clone().try_acquire_many_owned(units).map_err(|_| ApiError::busy())?;
    let read = tokio::time::timeout(app.config.limits.receive, Bytes::from_request(request, &()));
    let body = match read.await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("a request may have {most} bytes");
            return Err(ApiError::refused(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
        }
        Ok(Err(_)) => return Err(ApiError::invalid("", "the request ended too early")),
        Err(_) => {
            let message = "the request was not sent in time";
            return Err(ApiError::refused(StatusCode::REQUEST_TIMEOUT, "timeout", message));
        }
    };
    Ok(Received { asked: parse(&body)?, room })
}

/// The length of a request in JSON, where it is said.
fn length(request: &Request) -> ApiResult<Option<usize>> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let kind = header(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    match kind.trim().eq_ignore_ascii_case("application/json") {
        true => Ok(header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok())),
        // A page of another origin can't send this type without being asked whether it may.
        false => Err(ApiError::refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send JSON, with `Content-Type: application/json`",
        )),
    }
}

/// Reads JSON; what is wrong is named by its place.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    // A list would be taken for an object whose names were left out.
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(ApiError::invalid("", "the request is not what is expected: send an object, `{...}`"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // Where no name was read, the path ends in a question mark.
        let path = path.trim_end_matches('?').trim_end_matches('.');
        ApiError::invalid(path, format!("the request is not what is expected: {}", error.inner()))
    })?;
    json.end().map_err(|error| ApiError::invalid("", format!("the request is not what is expected: {error}")))?;
    Ok(value)
}
