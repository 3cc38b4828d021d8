//! A folder for what is written, apart from the text.

use std::path::Path;

use percept_fault::{Fault, Result};

use super::DataConfig;
use crate::identity::Identity;

/// Checks that `folder`, to which something is written, is none of the folders of the text.
///
/// # Errors
/// A usage fault that names it.
///
/// ```
/// use percept_data::{DataConfig, check_apart};
/// # let folder = tempfile::tempdir().unwrap();
/// let texts = folder.path();
/// let config = DataConfig::from_paths([texts.display().to_string()]);
/// assert!(check_apart(texts, &config).unwrap_err().is_usage());
/// // A folder inside is none of the texts once it is marked.
/// check_apart(&texts.join("runs"), &config)?;
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn check_apart(folder: &Path, config: &DataConfig) -> Result<()> {
    let Ok(own) = Identity::at(folder) else { return Ok(()) };
    let mut sources = [&config.sources, &config.validation, &config.test].into_iter().flatten();
    match sources.find(|source| Identity::at(Path::new(&source.path)).is_ok_and(|identity| identity == own)) {
        Some(source) => Err(Fault::usage(format!(
            "{} is the folder of the text: a run can't be written among its own text",
            source.path
        ))
        .hint("choose another folder; one inside it will do")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_run_keeps_apart_from_its_text() {
        let folder = Folder::with(&[("a.txt", b"a")]);
        let check = |name: &str| check_apart(Path::new(&folder.path(name)), &folder.config());
        let fault = check("").unwrap_err();
        assert!(fault.is_usage() && fault.to_string().contains("the folder of the text"), "{fault}");
        check("runs").unwrap();
        check("..").unwrap();
    }
}
