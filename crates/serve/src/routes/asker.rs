//! Who asks.

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::access::Client;
use crate::app::RequestId;
use crate::error::ApiError;
use crate::log::Notes;

/// Who asks, and where it is noted: what stands around all routes has found it out.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) client: Client,
    pub(super) id: RequestId,
    pub(super) notes: Notes,
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        type Found = (Extension<Client>, Extension<RequestId>, Extension<Notes>);
        let found = Found::from_request_parts(parts, state).await;
        let (Extension(client), Extension(id), Extension(notes)) = found.map_err(|_| ApiError::internal())?;
        Ok(Self { client, id, notes })
    }
}
