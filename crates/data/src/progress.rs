//! What long work tells its caller while it runs.

/// The part of the work that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Text comes from a pipe or another source that is no file.
    Receiving,
    /// Content of the files is hashed, to find or name their token cache.
    Hashing,
    /// Text becomes tokens.
    Tokenizing,
}

impl Phase {
    /// A word for a progress line.
    pub fn label(self) -> &'static str {
        match self {
            Phase::Receiving => "receiving",
            Phase::Hashing => "hashing",
            Phase::Tokenizing => "tokenizing",
        }
    }
}

/// One report from long work. Callers show it or ignore it; nothing depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// `done` of `total` bytes of input files (compressed bytes where they are compressed).
    Working {
        /// What is being done.
        phase: Phase,
        /// Bytes done.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// Something the user should read: a damaged cache that is rebuilt, skipped documents.
    Note(String),
}
