//! Paths in JSON. It holds nothing but Unicode: bytes of a path that are none become U+FFFD.

use std::path::{Path, PathBuf};

use serde::Serializer;

/// For `#[serde(serialize_with = "lossy::path")]`.
pub fn path<S: Serializer>(path: &(impl AsRef<Path> + ?Sized), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_ref().display())
}

/// For `#[serde(serialize_with = "lossy::paths")]`.
pub fn paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(texts(paths))
}

/// Paths as text for JSON.
pub fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}
