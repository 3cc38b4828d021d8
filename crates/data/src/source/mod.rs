//! Where text comes from: files, folders, records, standard input and synthetic tasks, as one stream of documents.

mod binary;
mod decompress;
mod list;
mod own_output;
mod passed_over;
mod read;
mod reader;
mod spool;
mod synthetic;
mod task;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use percept_fault::{IoContext, Result};
use serde::{Deserialize, Serialize};

pub(crate) use decompress::Compression;
pub(crate) use list::{Filter, list};
pub use passed_over::{Group, PassedOver};
pub(crate) use read::{Pieces, Reading, Step};
pub(crate) use reader::{Layout, Member, Reader};
pub(crate) use spool::keep_in_cache;
pub use spool::keep_streams;
pub(crate) use synthetic::Synthetic;
pub use task::{Answer, Exercise, Task};

use crate::identity::Identity;

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
    /// A record is none, or has no text under its key.
    BrokenRecord,
    /// `data.binary` is `skip`, and it looks binary.
    LooksBinary,
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
            SkipReason::LooksBinary => "looks binary",
        }
    }
}

/// Something about a document that was read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    /// It looks like a picture, a program or another thing that is no text.
    LooksBinary,
    /// Its file breaks off: what stands before the break is read.
    CutShort,
    /// Bytes after the end of a gzip file were ignored.
    TrailingGarbage,
}

impl Remark {
    /// Words for a report that follow a number of files.
    pub fn label(self) -> &'static str {
        match self {
            Remark::LooksBinary => "read though binary by their looks (data.binary = \"skip\" leaves such files out)",
            Remark::CutShort => "read only up to where they break",
            Remark::TrailingGarbage => "read without the bytes after the end of the archive",
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
    /// A file, and how it is read.
    File { file: Stamp, reader: Reader },
    /// Documents made here.
    Synthetic(Synthetic),
    /// Something in a folder that cannot be looked at, and why.
    Unreadable(String),
}

impl Input {
    /// The file behind it, if there is one.
    pub(crate) fn file(&self) -> Option<&Stamp> {
        match &self.kind {
            InputKind::File { file, .. } => Some(file),
            InputKind::Synthetic(_) | InputKind::Unreadable(_) => None,
        }
    }

    /// Whether it is one document.
    pub(crate) fn is_one_text(&self) -> bool {
        matches!(&self.kind, InputKind::File { reader: Reader { layout: Layout::Text, .. }, .. })
    }

    /// How messages and reports call its documents.
    pub(crate) fn names(&self) -> Names {
        let members = match &self.kind {
            InputKind::File { reader: Reader { layout: Layout::Zip(members), .. }, .. } => members.clone(),
            _ => Arc::default(),
        };
        let numbers = match &self.kind {
            InputKind::File { reader, .. } => reader.layout.numbers(),
            InputKind::Synthetic(_) => Numbers::Records,
            InputKind::Unreadable(_) => Numbers::Lines,
        };
        Names { name: self.name.clone(), members, numbers }
    }
}

/// Bits of a document's place that number the lines within a member of an archive; those above number the members.
const LINE_BITS: u32 = 40;

/// What the numbers of a file's documents count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    Lines,
    Records,
}

/// How messages and reports call the documents of an input.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    name: String,
    /// Of an archive, else empty.
    members: Arc<[Member]>,
    numbers: Numbers,
}

impl Names {
    /// The name of the document at `place`, as [`Step::Begin`] has it.
    pub(crate) fn of(&self, place: u64) -> String {
        let (file, _, number) = self.parts(place);
        if number == 0 { file } else { format!("{file}:{number}") }
    }

    /// What a fault in this document says of where it is: `a.jsonl:3`, a line, but `a.json, record 3`.
    pub(crate) fn place(&self, place: u64) -> String {
        match self.parts(place) {
            (file, Numbers::Records, number) if number > 0 => format!("{file}, record {number}"),
            _ => self.of(place),
        }
    }

    /// The file, and the number of the document in it, 0 where it is the whole file.
    fn parts(&self, place: u64) -> (String, Numbers, u64) {
        let (member, number) = (place >> LINE_BITS, place & ((1 << LINE_BITS) - 1));
        match member.checked_sub(1).and_then(|member| self.members.get(member as usize)) {
            Some(member) => (format!("{}/{}", self.name, member.name), member.numbers(), number),
            None => (self.name.clone(), self.numbers, number),
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
