//! What JSON cannot hold: paths that are no Unicode, whose other bytes become U+FFFD, and infinity, which is written as null.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serializer};

/// Reads null back as infinity; for `#[serde(deserialize_with = "json::infinite_where_null")]`.
///
/// ```
/// use percept_files::json::infinite_where_null;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Cell {
///     #[serde(deserialize_with = "infinite_where_null")]
///     nll: f64,
/// }
/// let text = serde_json::to_string(&Cell { nll: f64::INFINITY }).unwrap();
/// assert_eq!(text, r#"{"nll":null}"#);
/// assert_eq!(serde_json::from_str::<Cell>(&text).unwrap().nll, f64::INFINITY);
/// ```
pub fn infinite_where_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

/// For `#[serde(serialize_with = "json::path")]`.
pub fn path<S: Serializer>(path: &(impl AsRef<Path> + ?Sized), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_ref().display())
}

/// For `#[serde(serialize_with = "json::paths")]`.
pub fn paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(texts(paths))
}

/// Paths as text for JSON.
pub fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_too_large_is_read_back() {
        let read = |text: &str| infinite_where_null(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!((read("2.5"), read("null")), (2.5, f64::INFINITY));
    }
}
