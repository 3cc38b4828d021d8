//! `GET /v1/models` and the tokenizers of models.

use std::sync::Arc;

use axum::extract::{Request, State};

use super::asker::Asker;
use super::named::Named;
use crate::app::{App, Served};
use crate::body::{self, Received};
use crate::error::{ApiError, ApiResult};
use crate::json::Json;
use crate::types::{DetokenizeRequest, Detokenized, ModelCard, ModelList, TokenizeRequest, Tokenized};

pub(super) async fn models(State(app): State<Arc<App>>) -> Json<ModelList> {
    let data = app.models.values().map(|served| card(&app, served)).collect();
    Json(ModelList { object: "list", data })
}

pub(super) async fn model(State(app): State<Arc<App>>, Named(name): Named) -> ApiResult<Json<ModelCard>> {
    app.model(Some(&name)).map(|served| Json(card(&app, served)))
}

fn card(app: &App, served: &Served) -> ModelCard {
    ModelCard {
        id: served.name.clone(),
        object: "model",
        created: app.started,
        owned_by: "percept",
        fingerprint: served.model.fingerprint().to_owned(),
        vocab: served.model.config().vocab,
        state_limit: served.state_limit,
    }
}

pub(super) async fn tokenize(
    State(app): State<Arc<App>>,
    asker: Asker,
    request: Request,
) -> ApiResult<Json<Tokenized>> {
    let Received { asked: request, room: _room } = body::json::<TokenizeRequest>(&app, request).await?;
    let tokenizer = app.model(request.model.as_deref())?.tokenizer.clone();
    let encode = move |_: &App| tokenizer.encode(request.text.as_bytes()).map_err(|fault| ApiError::of(&fault, "text"));
    let tokens = app.aside(&asker.id, encode).await?;
    Ok(Json(Tokenized { count: tokens.len(), tokens }))
}

pub(super) async fn detokenize(
    State(app): State<Arc<App>>,
    asker: Asker,
    request: Request,
) -> ApiResult<Json<Detokenized>> {
    let Received { asked: request, room: _room } = body::json::<DetokenizeRequest>(&app, request).await?;
    let tokenizer = app.model(request.model.as_deref())?.tokenizer.clone();
    let vocab = tokenizer.vocab_size();
    if let Some(token) = request.tokens.iter().find(|token| **token as usize >= vocab) {
        return Err(ApiError::invalid("tokens", format!("{token} is no token: ids are below {vocab}")));
    }
    let bytes = app.aside(&asker.id, move |_| Ok(tokenizer.decode(&request.tokens))).await?;
    Ok(Json(Detokenized { text: String::from_utf8_lossy(&bytes).into_owned() }))
}
