//! Which file a path means, whatever its name: links and hard links to one file are that file.

use std::fs::Metadata;
use std::io::Result;
use std::path::{Path, PathBuf};

/// What two names of one file or folder have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Its number on its device.
    Number {
        /// The device.
        device: u64,
        /// The number.
        file: u64,
    },
    /// Its path without links, where the system gives no numbers.
    Path(PathBuf),
}

impl Identity {
    /// That of what lies at `path`, links followed.
    ///
    /// # Errors
    /// There is nothing, or it cannot be looked at.
    pub fn at(path: &Path) -> Result<Self> {
        Ok(Self::of(path, &std::fs::metadata(path)?))
    }

    /// That of what lies at `path`, of which `metadata` are known.
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> Self {
        match number(metadata) {
            // Some network file systems number nothing.
            Some((_, 0)) | None => Self::Path(std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())),
            Some((device, file)) => Self::Number { device, file },
        }
    }
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> Option<(u64, u64)> {
    None
}
