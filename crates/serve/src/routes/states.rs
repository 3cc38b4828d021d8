//! `/v1/states`: what a model has kept of a text, made, listed, named, copied, sent and removed.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State as Shared};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::de::DeserializeOwned;

use super::asker::Asker;
use super::named::Named;
use super::texts::Texts;
use super::upload;
use crate::app::{App, RequestId};
use crate::body::{self, Received};
use crate::clock::now;
use crate::error::{ApiError, ApiResult};
use crate::json::Json;
use crate::states::{
    DeletedState, LONGEST_NAME, ListStates, Listing, MOST_LISTED, MakeState, NamedState, NewState, State, StateId,
    StateList, UploadState,
};
use crate::types::CompletionRequest;

/// States in a list, where a request does not say how many.
const LISTED: usize = 20;
/// Bytes of a file that are sent at once.
const SENT: usize = 64 << 10;

/// Who asks for what.
type Asked = (Asker, Named);

/// Reads a prompt and keeps the state after it: a completion of no tokens.
pub(super) async fn make(Shared(app): Shared<Arc<App>>, asker: Asker, request: Request) -> ApiResult<Response> {
    let deadline = Instant::now() + app.config.limits.request;
    let Received { asked: MakeState { model, prompt, name, pinned, state }, room } = body::json(&app, request).await?;
    let NamedState { name, pinned } = checked(NamedState { name, pinned })?;
    let asked = CompletionRequest {
        model,
        prompt,
        state,
        max_tokens: Some(0),
        keep_state: Some(true),
        ..CompletionRequest::default()
    };
    let mut texts = Texts::begin(app, asker, Received { asked, room }, deadline).await?;
    (texts.keep.name, texts.keep.pinned) = (name, pinned == Some(true));
    while let Some(choice) = texts.next().await? {
        if let Some(state) = choice.state {
            return Ok(created(*state));
        }
    }
    Err(ApiError::internal())
}

/// Takes a file as `percept state save` writes it.
pub(super) async fn take(
    Shared(app): Shared<Arc<App>>,
    Asker { client, id, notes }: Asker,
    request: Request,
) -> ApiResult<Response> {
    let UploadState { model, name, pinned } = query(request.uri())?;
    let NamedState { name, pinned } = checked(NamedState { name, pinned })?;
    let served = app.model(model.as_deref())?;
    notes.model(&served.name);
    let (file, position) = upload::receive(&app, served, &id, request).await?;
    let new = NewState {
        owner: app.config.access.owner(client),
        fingerprint: served.model.fingerprint().to_owned(),
        model: served.name.clone(),
        name,
        pinned: pinned == Some(true),
        position,
        drawn: 0,
    };
    let record = app.aside(&id, move |app| Ok(app.states.insert(new, &file, now())?)).await?;
    Ok(created(app.state(&record)))
}

pub(super) async fn list(
    Shared(app): Shared<Arc<App>>,
    Asker { client, id, .. }: Asker,
    uri: Uri,
) -> ApiResult<Json<StateList>> {
    let ListStates { model, limit, after } = query(&uri)?;
    let limit = limit.unwrap_or(LISTED);
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("limit is {limit}: it lies in 1..{MOST_LISTED}")));
    }
    let fingerprint = match model {
        Some(name) => Some(app.model(Some(&name))?.model.fingerprint().to_owned()),
        None => None,
    };
    let after = after.map(|id| StateId::parse(&id).ok_or_else(ApiError::unknown_state)).transpose()?;
    let listing = Listing { owner: app.config.access.owner(client), fingerprint, after, limit };
    let (records, has_more) = app.aside(&id, move |app| Ok(app.states.list(listing, now())?)).await?;
    let data: Vec<State> = records.iter().map(|record| app.state(record)).collect();
    let [first_id, last_id] = [data.first(), data.last()].map(|state| state.map(|state| state.id.clone()));
    Ok(Json(StateList { object: "list", data, first_id, last_id, has_more }))
}

pub(super) async fn get(Shared(app): Shared<Arc<App>>, asked: Asked) -> ApiResult<Json<State>> {
    let (id, owner, asked) = parsed(&app, asked)?;
    let record = app.aside(&asked, move |app| Ok(app.states.get(&id, &owner, now())?)).await?;
    Ok(Json(app.state(&record)))
}

pub(super) async fn change(Shared(app): Shared<Arc<App>>, asked: Asked, request: Request) -> ApiResult<Json<State>> {
    let (id, owner, asked) = parsed(&app, asked)?;
    let Received { asked: change, room: _room } = body::json(&app, request).await?;
    let change = checked(change)?;
    let record = app.aside(&asked, move |app| Ok(app.states.change(&id, &owner, change, now())?)).await?;
    Ok(Json(app.state(&record)))
}

pub(super) async fn fork(Shared(app): Shared<Arc<App>>, asked: Asked, request: Request) -> ApiResult<Response> {
    let (id, owner, asked) = parsed(&app, asked)?;
    let Received { asked: named, room: _room } = body::json(&app, request).await?;
    let named = checked(named)?;
    let record = app.aside(&asked, move |app| Ok(app.states.fork(&id, &owner, named, now())?)).await?;
    Ok(created(app.state(&record)))
}

pub(super) async fn delete(Shared(app): Shared<Arc<App>>, asked: Asked) -> ApiResult<Json<DeletedState>> {
    let (id, owner, asked) = parsed(&app, asked)?;
    let deleted = DeletedState { id: id.to_string(), object: "state.deleted", deleted: true };
    app.aside(&asked, move |app| Ok(app.states.delete(&id, &owner, now())?)).await?;
    Ok(Json(deleted))
}

/// Sends the file, a part at a time.
pub(super) async fn file(Shared(app): Shared<Arc<App>>, asked: Asked) -> ApiResult<Response> {
    let (id, owner, asked) = parsed(&app, asked)?;
    let name = format!("attachment; filename=\"{id}.safetensors\"");
    let (record, file) = app.aside(&asked, move |app| Ok(app.states.open_file(&id, &owner, now())?)).await?;
    let parts = stream::try_unfold(file, |file| async {
        let read = tokio::task::spawn_blocking(move || part(file)).await;
        let (part, file) = read.map_err(std::io::Error::from)??;
        Ok::<_, std::io::Error>((!part.is_empty()).then_some((part, file)))
    });
    let head = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, record.bytes.to_string()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((head, Body::from_stream(parts)).into_response())
}

/// The next part of a file; it is empty at the end.
fn part(mut file: File) -> std::io::Result<(Bytes, File)> {
    let mut part = Vec::with_capacity(SENT);
    (&mut file).take(SENT as u64).read_to_end(&mut part)?;
    Ok((part.into(), file))
}

fn created(state: State) -> Response {
    (StatusCode::CREATED, Json(state)).into_response()
}

/// The state that is meant, whose it has to be, and the request.
fn parsed(app: &App, (asker, Named(id)): Asked) -> ApiResult<(StateId, String, RequestId)> {
    let id = StateId::parse(&id).ok_or_else(ApiError::unknown_state)?;
    Ok((id, app.config.access.owner(asker.client), asker.id))
}

fn checked(named: NamedState) -> ApiResult<NamedState> {
    match named.name.as_ref().is_some_and(|name| name.chars().count() > LONGEST_NAME) {
        true => Err(ApiError::invalid("name", format!("a name has at most {LONGEST_NAME} characters"))),
        false => Ok(named),
    }
}

/// What stands behind the `?`.
fn query<T: DeserializeOwned>(uri: &Uri) -> ApiResult<T> {
    match Query::try_from_uri(uri) {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err(ApiError::invalid("", rejection.body_text())),
    }
}
