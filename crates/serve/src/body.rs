//! Requests in JSON.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::error::{ApiError, ApiResult};

/// Reads a request: its type, its size, its time and each of its fields are checked.
pub(crate) async fn json<T: DeserializeOwned>(app: &App, request: Request) -> ApiResult<T> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        // A page of another origin can't send this type without being asked whether it may.
        return Err(ApiError::refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send JSON, with `Content-Type: application/json`",
        ));
    }
    let read = tokio::time::timeout(app.config.limits.receive, Bytes::from_request(request, &()));
    let body = match read.await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let most = app.config.limits.body_bytes;
            let message = format!("a request may have {most} bytes");
            return Err(ApiError::refused(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
        }
        Ok(Err(_)) => return Err(ApiError::invalid("", "the request ended too early")),
        Err(_) => {
            let message = "the request was not sent in time";
            return Err(ApiError::refused(StatusCode::REQUEST_TIMEOUT, "timeout", message));
        }
    };
    parse(&body)
}

/// Reads JSON; what is wrong is named by its place.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let param = if path == "." { "" } else { &path };
        ApiError::invalid(param, format!("the request is not what is expected: {}", error.inner()))
    })?;
    json.end().map_err(|error| ApiError::invalid("", format!("the request is not what is expected: {error}")))?;
    Ok(value)
}
