//! Files stay short; functions do by clippy.toml.

use std::path::{Path, PathBuf};

use crate::cargo::packages;

/// Most lines of a file, without blank lines and comments.
const MOST: usize = 400;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let below = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

fn lines(file: &Path) -> usize {
    let text = std::fs::read_to_string(file).expect("a source is readable");
    text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[test]
fn files_are_short() {
    let manifest = |package: &serde_json::Value| PathBuf::from(package["manifest_path"].as_str().expect("a path"));
    let mut files: Vec<_> =
        packages().iter().flat_map(|package| sources(&manifest(package).with_file_name(""))).collect();
    assert!(files.len() > 100, "{} files", files.len());
    files.retain(|file| lines(file) > MOST);
    assert!(files.is_empty(), "more than {MOST} lines: {files:?}\nhint: one concept per file");
}
