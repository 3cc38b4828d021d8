//! What is answered where. One table makes the router and the OpenAPI document.

mod around;
mod asker;
mod completions;
mod models;
mod named;
mod states;
mod texts;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::app::App;
use crate::error::ApiError;
use crate::json::Json;
use crate::metrics;
use crate::openapi::{self, Content, Make, Operation};
use crate::page;
use crate::states::{DeletedState, ListStates, MakeState, NamedState, State as KeptState, StateList, UploadState};
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

/// The schema of a type.
fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn read(path: &'static str, summary: &'static str, answer: Content, handler: MethodRouter<Arc<App>>) -> Route {
    let (request, query) = (Content::None, None);
    Route { operation: Operation { method: "get", path, summary, query, request, status: 200, answer }, handler }
}

fn write(
    (path, summary): (&'static str, &'static str),
    request: Content,
    answer: Content,
    handler: MethodRouter<Arc<App>>,
) -> Route {
    Route { operation: Operation { method: "post", path, summary, query: None, request, status: 200, answer }, handler }
}

impl Route {
    /// It answers 201: something was made.
    fn makes(mut self) -> Self {
        self.operation.status = 201;
        self
    }

    /// It takes what stands behind a `?`.
    fn with_query(mut self, query: Make) -> Self {
        self.operation.query = Some(query);
        self
    }
}

fn of_states() -> Vec<Route> {
    let (one, state) = ("/v1/states/{state}", Content::Json(schema::<KeptState>));
    let take = write(("/v1/states/upload", "Take the file of a state"), Content::File, state, post(states::take));
    let file = read("/v1/states/{state}/file", "The file of a state", Content::File, get(states::file));
    let mut removed = read(one, "Remove a state", Content::Json(schema::<DeletedState>), delete(states::delete));
    removed.operation.method = "delete";
    let made = ("/v1/states", "Read a text and keep the state after it");
    vec![
        write(made, Content::Json(schema::<MakeState>), state, post(states::make)).makes(),
        read("/v1/states", "The states that are kept", Content::Json(schema::<StateList>), get(states::list))
            .with_query(schema::<ListStates>),
        take.makes().with_query(schema::<UploadState>),
        read(one, "A state", state, get(states::get)),
        write((one, "Name a state, or pin it"), Content::Json(schema::<NamedState>), state, post(states::change)),
        removed,
        file,
        write(
            ("/v1/states/{state}/fork", "A second state with the same content"),
            Content::Json(schema::<NamedState>),
            state,
            post(states::fork),
        )
        .makes(),
    ]
}

fn routes() -> Vec<Route> {
    let mut routes = vec![
        write(
            ("/v1/completions", "Go on with texts, or score them"),
            Content::Json(schema::<CompletionRequest>),
            Content::JsonOrEvents(schema::<Completion>),
            post(completions::completions),
        ),
        read("/v1/models", "The models that are served", Content::Json(schema::<ModelList>), get(models::models)),
        read("/v1/models/{model}", "One of them", Content::Json(schema::<ModelCard>), get(models::model)),
        write(
            ("/v1/tokenize", "The tokens of a text"),
            Content::Json(schema::<TokenizeRequest>),
            Content::Json(schema::<Tokenized>),
            post(models::tokenize),
        ),
        write(
            ("/v1/detokenize", "The text of tokens"),
            Content::Json(schema::<DetokenizeRequest>),
            Content::Json(schema::<Detokenized>),
            post(models::detokenize),
        ),
        read("/health", "Whether requests are taken; needs no token", Content::Json(schema::<Health>), get(health)),
        read("/metrics", "Counts and times for Prometheus", Content::None, get(prometheus)),
        read("/openapi.json", "This document", Content::None, get(document)),
    ];
    routes.extend(of_states());
    routes
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
    let text = metrics::text(&app.answers, &app.states.numbers, models.into_iter());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn document() -> Json<Value> {
    let operations: Vec<Operation> = routes().into_iter().map(|route| route.operation).collect();
    Json(openapi::document(&operations))
}
