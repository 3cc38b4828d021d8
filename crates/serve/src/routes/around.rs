//! What is around every request: its id, whose it is, the log, and a net for panics.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use crate::access::Client;
use crate::app::{App, LogLine, RequestId, now};
use crate::error::ApiError;
use crate::page;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Where no token is asked for, beside the page.
const HEALTH: &str = "/health";

pub(super) async fn around(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let (begin, id) = (Instant::now(), app.request_id());
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let client = client(&app, &request);
    let mut response = match client {
        None if route != HEALTH && !page::has(&route) => ApiError::unauthorized().into_response(),
        _ => {
            request.extensions_mut().insert(RequestId(id.clone()));
            if let Some(client) = client {
                request.extensions_mut().insert(client);
            }
            match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => response,
                Err(_) => ApiError::internal().into_response(),
            }
        }
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let status = response.status().as_u16();
    app.answers.note(status);
    (app.log)(&LogLine {
        time: now().as_secs_f64(),
        request: id,
        // A client may send any word as a method.
        method: known_method(&method).to_owned(),
        route,
        status,
        ms: begin.elapsed().as_secs_f64() * 1e3,
        token: match client {
            Some(Client::Token(number)) => Some(number),
            _ => None,
        },
    });
    response
}

/// Whose request it is.
fn client(app: &App, request: &Request) -> Option<Client> {
    let Peer(address) = *request.extensions().get::<Peer>()?;
    let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    app.config.access.client(address, authorization)
}

fn known_method(method: &axum::http::Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH") => known,
        _ => "-",
    }
}
