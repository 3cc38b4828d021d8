//! The page at `/`: static files in the program. They hold nothing secret and need no token; what they ask the server for does.

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::app::App;

/// Only what this server gives, no script or style within a document, and no other page around it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// A file of the page.
#[derive(Debug)]
struct File {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Files that are called as their source is.
macro_rules! files {
    ($($kind:expr => $($name:literal),+;)+) => {
        [$($(File { path: concat!("/page/", $name), kind: $kind, content: include_str!(concat!("../page/", $name)) },)+)+]
    };
}

static DOCUMENT: File =
    File { path: "/", kind: "text/html; charset=utf-8", content: include_str!("../page/index.html") };

static PARTS: [File; 16] = files! {
    SCRIPT => "access.js", "api.js", "failure.js", "format.js", "inspector.js", "keys.js", "lane.js", "main.js", "settings.js", "states.js",
        "stream.js", "tokens.js", "written.js";
    STYLE => "base.css", "parts.css";
    "image/svg+xml" => "icon.svg";
};

fn files() -> impl Iterator<Item = &'static File> {
    std::iter::once(&DOCUMENT).chain(&PARTS)
}

/// Whether a file of the page has this address.
pub(crate) fn has(path: &str) -> bool {
    files().any(|file| file.path == path)
}

/// The routes of the page.
pub(crate) fn routes() -> Router<Arc<App>> {
    files().fold(Router::new(), |router, file| {
        let tag = tag(file.content);
        router.route(file.path, get(move |headers: HeaderMap| ready(answer(file, &tag, &headers))))
    })
}

/// Names the content of a file.
fn tag(content: &str) -> String {
    let digest = Sha256::digest(content);
    let digits: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// The file, or that it is what the browser has already: it asks each time, so that a new server shows its own page.
fn answer(file: &'static File, tag: &str, headers: &HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    let is_known = known.split(',').any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, file.kind)], file.content).into_response(),
    };
    for (name, value) in [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
