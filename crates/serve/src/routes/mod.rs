//! What is answered where. One table makes the router and the OpenAPI document.

mod around;
mod completions;
mod models;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::app::App;
use crate::error::ApiError;
use crate::json::Json;
use crate::metrics;
use crate::openapi::{self, Operation};
use crate::page;
use crate::types::{
    Completion, CompletionRequest, DetokenizeRequest, Detokenized, Health, ModelCard, ModelList, TokenizeRequest,
    Tokenized,
};

pub(crate) use around::Peer;

/// A way in: its operation and who answers it.
struct Route {
    operation: Operation,
    handler: MethodRouter<Arc<App>>,
}

type Make = fn(&mut SchemaGenerator) -> Schema;

/// The schema of a type.
fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn read(path: &'static str, summary: &'static str, answer: Option<Make>, handler: MethodRouter<Arc<App>>) -> Route {
    Route { operation: Operation { path, summary, request: None, answer }, handler }
}

fn write(
    (path, summary): (&'static str, &'static str),
    request: Make,
    answer: Make,
    handler: MethodRouter<Arc<App>>,
) -> Route {
    Route { operation: Operation { path, summary, request: Some(request), answer: Some(answer) }, handler }
}

fn routes() -> Vec<Route> {
    vec![
        write(
            ("/v1/completions", "Go on with texts, or score them"),
            schema::<CompletionRequest>,
            schema::<Completion>,
            post(completions::completions),
        ),
        read("/v1/models", "The models that are served", Some(schema::<ModelList>), get(models::models)),
        read("/v1/models/{model}", "One of them", Some(schema::<ModelCard>), get(models::model)),
        write(
            ("/v1/tokenize", "The tokens of a text"),
            schema::<TokenizeRequest>,
            schema::<Tokenized>,
            post(models::tokenize),
        ),
        write(
            ("/v1/detokenize", "The text of tokens"),
            schema::<DetokenizeRequest>,
            schema::<Detokenized>,
            post(models::detokenize),
        ),
        read("/health", "Whether requests are taken; needs no token", Some(schema::<Health>), get(health)),
        read("/metrics", "Counts and times for Prometheus", None, get(prometheus)),
        read("/openapi.json", "This document", None, get(document)),
    ]
}

/// All routes, with what is around each.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = page::routes();
    for Route { operation, handler } in routes() {
        router = router.route(operation.path, handler);
    }
    router
        .fallback(|| async {
            ApiError::refused(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address")
        })
        .method_not_allowed_fallback(|| async {
            ApiError::refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "another method is wanted here")
        })
        .layer(DefaultBodyLimit::max(app.config.limits.body_bytes))
        .layer(from_fn_with_state(app.clone(), around::around))
        .with_state(app)
}

async fn health(State(app): State<Arc<App>>) -> Response {
    match app.is_stopping() {
        true => (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "stopping" })).into_response(),
        false => Json(Health { status: "ok" }).into_response(),
    }
}

async fn prometheus(State(app): State<Arc<App>>) -> impl IntoResponse {
    let models: Vec<_> = app.models.values().map(|served| (served.name.as_str(), served.engine.metrics())).collect();
    let text = metrics::text(&app.answers, models.into_iter());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn document() -> Json<Value> {
    let operations: Vec<Operation> = routes().into_iter().map(|route| route.operation).collect();
    Json(openapi::document(&operations))
}
