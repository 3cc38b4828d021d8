//! Paths that have to be written as text.

use std::path::Path;

use crate::{Fault, Result};

/// A path as text that is read back as the same path: TOML and JSON hold nothing but Unicode.
///
/// # Errors
/// A usage fault that names `what` the path is of, and the path, with its bytes that are no UTF-8 escaped.
///
/// ```
/// # use std::path::Path;
/// assert_eq!(percept_fault::path_text(Path::new("texts/größe"), "data.sources").unwrap(), "texts/größe");
/// ```
pub fn path_text<'a>(path: &'a Path, what: &str) -> Result<&'a str> {
    path.to_str().ok_or_else(|| {
        Fault::usage(format!("{what}: the path {path:?} is not UTF-8, so no configuration can hold it"))
            .hint("rename that folder or file, or reach it through a link whose whole path is UTF-8")
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_refused_and_shown() {
        let fault = path_text(Path::new(OsStr::from_bytes(b"caf\xe9/a b")), "data.sources").unwrap_err();
        assert!(fault.is_usage(), "{fault}");
        assert!(fault.to_string().starts_with(r#"data.sources: the path "caf\xE9/a b" is not UTF-8"#), "{fault}");
    }
}
