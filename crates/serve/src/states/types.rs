//! Requests and answers about states, as they are written in JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::prompt::Prompt;

/// States in a list at most.
pub(crate) const MOST_LISTED: usize = 100;
/// Characters of a name.
pub(crate) const LONGEST_NAME: usize = 200;

/// A state: what a model has kept of the tokens that it has read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct State {
    /// `state`
    pub(crate) object: &'static str,
    pub(crate) id: String,
    /// The model that it belongs to.
    pub(crate) model: String,
    pub(crate) name: Option<String>,
    /// Tokens read, the document token included.
    pub(crate) position: usize,
    /// Of its file.
    pub(crate) bytes: u64,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// When it was last gone on from, in seconds since 1970.
    pub(crate) used: u64,
    /// When it goes if it is not used, in seconds since 1970.
    pub(crate) expires: Option<u64>,
    /// Whether it stays until it is deleted.
    pub(crate) pinned: bool,
}

/// What `POST /v1/states` takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MakeState {
    /// As in a completion.
    pub(crate) model: Option<String>,
    /// What is read: a text, or token ids.
    pub(crate) prompt: Option<Prompt>,
    /// What to call it.
    #[schemars(length(max = LONGEST_NAME))]
    pub(crate) name: Option<String>,
    /// Keep it until it is deleted.
    pub(crate) pinned: Option<bool>,
    /// Read on from this one.
    pub(crate) state: Option<String>,
}

/// What `POST /v1/states/upload` takes beside the file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UploadState {
    /// As in a completion.
    pub(crate) model: Option<String>,
    /// What to call it.
    #[schemars(length(max = LONGEST_NAME))]
    pub(crate) name: Option<String>,
    /// Keep it until it is deleted.
    pub(crate) pinned: Option<bool>,
}

/// What a state is called, and whether it stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NamedState {
    /// What to call it; nothing where it is empty.
    #[schemars(length(max = LONGEST_NAME))]
    pub(crate) name: Option<String>,
    /// Keep it until it is deleted.
    pub(crate) pinned: Option<bool>,
}

/// What `GET /v1/states` takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListStates {
    /// Only those of this model.
    pub(crate) model: Option<String>,
    /// At most so many; 20 where it is left out.
    #[schemars(range(min = 1, max = MOST_LISTED))]
    pub(crate) limit: Option<usize>,
    /// Only those made before this one.
    pub(crate) after: Option<String>,
}

/// What `GET /v1/states` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StateList {
    /// `list`
    pub(crate) object: &'static str,
    /// The newest first.
    pub(crate) data: Vec<State>,
    pub(crate) first_id: Option<String>,
    pub(crate) last_id: Option<String>,
    /// Whether there are more after the last one.
    pub(crate) has_more: bool,
}

/// What `DELETE /v1/states/ID` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeletedState {
    pub(crate) id: String,
    /// `state.deleted`
    pub(crate) object: &'static str,
    pub(crate) deleted: bool,
}
