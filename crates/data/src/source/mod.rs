//! Where text comes from: files, folders, records, standard input and synthetic tasks, as one stream of documents.

mod identity;
mod list;
mod passed_over;
mod read;
mod record;
mod spool;
mod stream;
mod synthetic;
mod task;
mod walk;

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use percept_fault::{IoContext, Result};
use serde::{Deserialize, Serialize};

pub use identity::Identity;
pub(crate) use list::{Filter, list};
pub use passed_over::{Group, PassedOver};
pub(crate) use read::{Pieces, Reading, Step};
pub(crate) use spool::keep_in_cache;
pub use spool::keep_streams;
pub use stream::is_stream;
pub(crate) use stream::read as read_stream_or_file;
pub(crate) use synthetic::Synthetic;
pub use task::{Answer, Exercise, Task};

/// Why a document was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// It has no text.
    Empty,
    /// It has fewer bytes than `data.min_bytes`.
    TooShort,
    /// The file cannot be read or decompressed.
    Unreadable,
    /// A text tokenizer met bytes that are not UTF-8.
    NotUtf8,
    /// A text tokenizer met a NUL byte.
    Binary,
    /// A line of a `.jsonl` file is not a JSON record with the text key.
    BrokenRecord,
}

impl SkipReason {
    /// Words for a report, as in `3 documents skipped: not UTF-8`.
    pub fn label(self) -> &'static str {
        match self {
            SkipReason::Empty => "empty",
            SkipReason::TooShort => "too short",
            SkipReason::Unreadable => "unreadable",
            SkipReason::NotUtf8 => "not UTF-8",
            SkipReason::Binary => "binary, not text",
            SkipReason::BrokenRecord => "broken record",
        }
    }
}

/// One input of a corpus, in the order in which it is read.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// What messages and reports call it.
    pub(crate) name: String,
    pub(crate) kind: InputKind,
}

#[derive(Debug, Clone)]
pub(crate) enum InputKind {
    /// A file that is one document.
    Text(Stamp),
    /// A file with a JSON record per line, whose text is under `key`.
    Records { file: Stamp, key: String },
    /// Documents made here.
    Synthetic(Synthetic),
    /// Something in a folder that cannot be looked at, and why.
    Unreadable(String),
}

impl Input {
    /// The file behind it, if there is one.
    pub(crate) fn file(&self) -> Option<&Stamp> {
        match &self.kind {
            InputKind::Text(file) | InputKind::Records { file, .. } => Some(file),
            InputKind::Synthetic(_) | InputKind::Unreadable(_) => None,
        }
    }
}

/// A file as it was when it was listed: what the cache index trusts instead of reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) path: PathBuf,
    /// Bytes on disk.
    pub(crate) size: u64,
    /// Nanoseconds since 1970, 0 where the system does not say.
    pub(crate) modified: u128,
    /// Which file it is, under whatever name.
    pub(crate) identity: Identity,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).at("read", path)?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            path: path.to_path_buf(),
            size: metadata.len(),
            modified: modified.map_or(0, |time| time.as_nanos()),
            identity: Identity::of(path, &metadata),
        })
    }
}

#[cfg(test)]
mod tests;
