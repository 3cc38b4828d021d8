//! What is around every request: its id, whose it is, the log, and a net for panics.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use crate::access::{Access, Client};
use crate::app::{App, RequestId};
use crate::clock::now;
use crate::error::{ApiError, Cause};
use crate::log::{Notes, RequestLine, failed, panicked, told_at_end};
use crate::page;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Where no token is asked for, beside the page.
const HEALTH: &str = "/health";

pub(super) async fn around(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let (begin, time, id) = (Instant::now(), now().as_secs_f64(), app.request_id());
    let notes = Notes::default();
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let client = client(&app, &request);
    let mut response = match client {
        _ if !is_addressed(&app, &request) => ApiError::misdirected().into_response(),
        None if route != HEALTH && !page::has(&route) => ApiError::unauthorized().into_response(),
        _ => {
            request.extensions_mut().insert(RequestId(id.clone()));
            if let Some(client) = client {
                request.extensions_mut().insert(client);
            }
            request.extensions_mut().insert(notes.clone());
            match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => response,
                Err(payload) => {
                    panicked(&app.log, format!("request {id}"), &*payload);
                    ApiError::internal().into_response()
                }
            }
        }
    };
    if let Some(cause) = response.extensions().get::<Cause>() {
        failed(&app.log, &id, cause);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let status = response.status().as_u16();
    app.answers.note(status);
    let line = RequestLine {
        time,
        request: id,
        // A client may send any word as a method.
        method: known_method(&method).to_owned(),
        route,
        status,
        first_ms: begin.elapsed().as_secs_f64() * 1e3,
        token: match client {
            Some(Client::Token(number)) => Some(number),
            _ => None,
        },
        ..RequestLine::default()
    };
    response.map(|body| told_at_end(body, app.log.clone(), line, notes, begin))
}

/// Whose request it is.
fn client(app: &App, request: &Request) -> Option<Client> {
    let Peer(address) = *request.extensions().get::<Peer>()?;
    let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    app.config.access.client(address, authorization)
}

/// Whether the request names this machine, where only that may ask. Else a page of a stranger, whose name was made to point here
/// (DNS rebinding), could ask in the name of whoever looks at it. What is no browser need not name anything.
fn is_addressed(app: &App, request: &Request) -> bool {
    if !matches!(app.config.access, Access::Loopback) {
        return true;
    }
    let named = request.headers().get(header::HOST).map(|host| host.to_str().ok().and_then(|host| host.parse().ok()));
    let target = request.uri().authority().cloned().map(Some);
    named.into_iter().chain(target).all(|authority| authority.is_some_and(|name: Authority| is_here(name.host())))
}

/// Whether a name means this machine, whoever is asked.
fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn known_method(method: &axum::http::Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH") => known,
        _ => "-",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::log::LogLine;
    use crate::states::States;
    use crate::{Limits, ServerConfig};

    fn app(access: Access) -> (Arc<App>, Arc<Mutex<Vec<LogLine>>>) {
        let limits = Limits::default();
        let states = States::open(None, &limits).unwrap();
        let config = ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), access, limits, states: None };
        let lines: Arc<Mutex<Vec<LogLine>>> = Arc::default();
        let told = lines.clone();
        let log = Arc::new(move |line: &LogLine| told.lock().unwrap().push(line.clone()));
        (Arc::new(App::new(config, BTreeMap::new(), states, log)), lines)
    }

    async fn broken() -> String {
        panic!("what {} wrote", "somebody")
    }

    async fn answer(app: &Arc<App>, path: &str, host: Option<&str>) -> (u16, String) {
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/panic", get(broken))
            .layer(from_fn_with_state(app.clone(), around));
        let mut request = Request::builder().uri(path);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        let peer = Peer(IpAddr::from([127, 0, 0, 1]));
        let request = request.extension(peer).body(Body::empty()).unwrap();
        let response = TowerToHyperService::new(router).call(request).await.unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(to_bytes(response.into_body(), 1000).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_panic_of_a_handler_is_told_to_the_log_and_not_to_the_client() {
        let (app, lines) = app(Access::Anonymous);
        let (status, body) = answer(&app, "/panic", None).await;
        assert!(status == 500 && body.contains("\"server_error\"") && !body.contains("somebody"), "{body}");
        let lines = lines.lock().unwrap();
        let [LogLine::Panic { place, message, .. }, LogLine::Request(line)] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!((message.as_str(), line.status, line.route.as_str()), ("what somebody wrote", 500, "/panic"));
        assert_eq!(*place, format!("request {}", line.request));
    }

    #[tokio::test]
    async fn health_says_that_the_server_stops() {
        let (app, _) = app(Access::Loopback);
        let health = |app: &Arc<App>| super::super::health(State(app.clone()));
        assert_eq!(health(&app).await.status(), 200);
        app.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
        let stopping = health(&app).await;
        assert_eq!(stopping.status(), 503);
        assert_eq!(to_bytes(stopping.into_body(), 1000).await.unwrap(), r#"{"status":"stopping"}"#);
    }

    #[tokio::test]
    async fn a_panic_of_work_that_is_done_aside_is_told_too() {
        let (app, lines) = app(Access::Anonymous);
        let done: Result<(), ApiError> = app.aside(&RequestId("7".into()), |_| panic!("a bug")).await;
        assert_eq!(done.unwrap_err().status, 500);
        let lines = lines.lock().unwrap();
        let [LogLine::Panic { place, message, .. }] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((place.as_str(), message.as_str()), ("request 7", "a bug"));
    }

    #[tokio::test]
    async fn pages_of_strangers_whose_name_points_here_get_nothing() {
        let (here, _) = app(Access::Loopback);
        for host in [None, Some("localhost"), Some("LOCALHOST:80"), Some("127.0.0.1:8080"), Some("[::1]:8080")] {
            assert_eq!(answer(&here, "/", host).await, (200, "here".into()), "{host:?}");
        }
        for host in ["evil.example", "localhost.evil.example:80", "10.0.0.1", "127.0.0.1.evil", "", "a b"] {
            assert_eq!(answer(&here, "/", Some(host)).await.0, 421, "{host:?}");
        }
        assert_eq!(answer(&here, "http://evil.example/", Some("localhost")).await.0, 421);
        let (anybody, _) = app(Access::Anonymous);
        assert_eq!(answer(&anybody, "/", Some("public.example")).await.0, 200);
    }
}
