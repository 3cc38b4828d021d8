//! Folders that are already split.

use std::path::{Path, PathBuf};

use crate::{SourceConfig, mark};

/// Names of the parts, as folders or as files without their endings.
const TRAIN: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 4] = ["valid", "validation", "val", "dev"];
const TEST: [&str; 1] = ["test"];

/// The parts of a folder that holds `train` and `valid` or `test`, each in the order of the names.
#[derive(Debug, PartialEq)]
pub(super) struct Given {
    pub(super) train: Vec<SourceConfig>,
    pub(super) validation: Vec<SourceConfig>,
    pub(super) test: Vec<SourceConfig>,
}

/// The parts that `source` comes in, if it is such a folder.
pub(super) fn given(source: &SourceConfig) -> Option<Given> {
    let entries = std::fs::read_dir(&source.path).ok()?.flatten().map(|entry| entry.path());
    // A run that is called `test` holds no text, and nobody named a pipe.
    let is_text = |path: &PathBuf| path.is_file() || path.is_dir() && mark::of_folder(path).is_none();
    let mut paths: Vec<PathBuf> = entries.filter(is_text).collect();
    paths.sort();
    let part = |names: &[&str]| -> Vec<SourceConfig> {
        let of_part = paths.iter().filter(|path| names.contains(&part_name(path).as_str()));
        of_part.map(|path| SourceConfig { path: path.display().to_string(), ..source.clone() }).collect()
    };
    let given = Given { train: part(&TRAIN), validation: part(&VALIDATION), test: part(&TEST) };
    let holds_out = !given.validation.is_empty() || !given.test.is_empty();
    (holds_out && !given.train.is_empty()).then_some(given)
}

/// The file name up to its first dot, in lower case.
fn part_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.split('.').next().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_named_by_part_are_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let source = SourceConfig::new(folder.path().display().to_string());
        std::fs::create_dir(folder.path().join("train")).unwrap();
        assert_eq!(given(&source), None);
        std::fs::write(folder.path().join("Valid.jsonl.gz"), "").unwrap();
        std::fs::write(folder.path().join("README"), "").unwrap();
        let given = given(&source).unwrap();
        assert_eq!((given.train.len(), given.validation.len(), given.test.len()), (1, 1, 0));
        assert!(given.validation[0].path.ends_with("Valid.jsonl.gz"));
    }
}
