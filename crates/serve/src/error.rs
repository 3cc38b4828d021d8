//! What a client is told when a request fails, in the API's own shape.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percept_fault::{Fault, Kind};
use schemars::JsonSchema;
use serde::Serialize;

use crate::json::Json;
use crate::states::StateError;

/// Result with an [`ApiError`].
pub(crate) type ApiResult<T> = std::result::Result<T, ApiError>;

/// Why a request failed.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
    /// What is for the log alone.
    pub(crate) cause: Option<Cause>,
}

/// Why the server failed at a request: for its log, not for clients.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) String);

/// An error, as it is answered.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ErrorDetail {
    /// What went wrong, and what to do.
    message: String,
    /// The kind of the error.
    r#type: &'static str,
    /// The field of the request that is at fault.
    param: Option<String>,
    /// A word for programs.
    code: Option<&'static str>,
}

impl ApiError {
    fn new(status: StatusCode, r#type: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        let error = ErrorDetail { message: message.into(), r#type, param: None, code };
        Self { status, body: ErrorBody { error }, cause: None }
    }

    /// The request asks for what can't be given: 400.
    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", None, message);
        error.body.error.param = (!param.is_empty()).then(|| param.to_owned());
        error
    }

    /// A request that is refused as a whole, with another status than 400.
    pub(crate) fn refused(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", Some(code), message)
    }

    /// A model that is not served: 404.
    pub(crate) fn unknown_model(names: &str) -> Self {
        let mut error = Self::refused(
            StatusCode::NOT_FOUND,
            "model_not_found",
            format!("no such model; these are served: {names}"),
        );
        error.body.error.param = Some("model".into());
        error
    }

    /// A state that is not there, or another's: 404.
    pub(crate) fn unknown_state() -> Self {
        let mut error = Self::refused(StatusCode::NOT_FOUND, "state_not_found", "no such state");
        error.body.error.param = Some("state".into());
        error
    }

    /// A state that another model has made: 409.
    pub(crate) fn other_model() -> Self {
        let mut error = Self::refused(
            StatusCode::CONFLICT,
            "other_model",
            "this state belongs to another model: name the one that made it",
        );
        error.body.error.param = Some("state".into());
        error
    }

    /// A state from which nothing can be written: 422. One of a stranger may hold any numbers.
    pub(crate) fn no_distribution(fault: &Fault) -> Self {
        let mut error = Self::refused(StatusCode::UNPROCESSABLE_ENTITY, "no_distribution", fault.to_string());
        error.body.error.param = Some("state".into());
        error
    }

    /// A state that is larger than one may be: 413.
    pub(crate) fn too_large(bytes: usize, most: usize) -> Self {
        let message = format!("the state has {bytes} bytes: {most} are allowed");
        Self::refused(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// No token, or none that is known: 401.
    pub(crate) fn unauthorized() -> Self {
        let message = "this server wants a bearer token: send `Authorization: Bearer TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", Some("invalid_api_key"), message)
    }

    /// A request for another machine than this one: 421.
    pub(crate) fn misdirected() -> Self {
        let message = "this server answers as localhost only: ask for that, or let it ask for tokens";
        Self::refused(StatusCode::MISDIRECTED_REQUEST, "wrong_host", message)
    }

    /// Too much waits already: 429.
    pub(crate) fn busy() -> Self {
        let message = "too many requests wait already: try again later";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("queue_full"), message)
    }

    /// Too much of this client waits already: 429.
    pub(crate) fn share() -> Self {
        let message = "too many of your prompts wait already: ask for fewer at once, or try again once some have ended";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("share_full"), message)
    }

    /// The server stops: 503.
    pub(crate) fn stopping() -> Self {
        let message = "the server is being stopped";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("stopping"), message)
    }

    /// The request took too long: 504.
    pub(crate) fn late() -> Self {
        let message = "the request took longer than this server allows: ask for fewer tokens, or try again later";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", Some("deadline"), message)
    }

    /// A bug of ours: 500. What happened is for the log, not for the client.
    pub(crate) fn internal() -> Self {
        let message = "the server failed at this request; the log of the server tells it by its request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", Some("internal"), message)
    }

    /// A fault of the field `param`, or of ours.
    pub(crate) fn of(fault: &Fault, param: &str) -> Self {
        match (fault.kind(), fault.hint_text()) {
            (Kind::Usage, Some(hint)) => Self::invalid(param, format!("{fault}: {hint}")),
            (Kind::Usage, None) => Self::invalid(param, fault.to_string()),
            _ => Self::failed(fault),
        }
    }

    /// A failure of ours, or of the machine: 500.
    fn failed(fault: &Fault) -> Self {
        let because = std::error::Error::source(fault).map_or_else(String::new, |error| format!(": {error}"));
        Self { cause: Some(Cause(format!("{fault}{because}"))), ..Self::internal() }
    }
}

impl From<StateError> for ApiError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Unknown => Self::unknown_state(),
            StateError::NoRoom(why) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "server_error", Some("no_room"), why)
            }
            StateError::Fault(fault) => Self::failed(&fault),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry = match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some(HeaderValue::from_static("1")),
            _ => None,
        };
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
