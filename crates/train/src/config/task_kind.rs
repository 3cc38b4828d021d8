//! What a run trains.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a run trains, and with it which tables of its configuration count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// A language model, `[model]`: each token predicts those after it.
    #[default]
    NextToken,
    /// An encoder, `[encoder]`, tells tokens that are masked as `[masking]` says.
    Masked,
}

impl TaskKind {
    /// The tables of other tasks, which say nothing here.
    pub(crate) fn foreign_tables(self) -> &'static [&'static str] {
        match self {
            Self::NextToken => &["encoder", "masking"],
            Self::Masked => &["model", "sample"],
        }
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NextToken => "next-token",
            Self::Masked => "masked",
        })
    }
}
