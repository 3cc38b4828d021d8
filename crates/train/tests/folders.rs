//! The folders of this crate use each other in one direction.

use std::fs;
use std::path::{Path, PathBuf};

/// Each may use itself and those before it.
const ORDER: [&str; 4] = ["machine", "config", "run", "training"];
/// Files beside the folders, and the last folder that they use.
const FILES: [(&str, usize); 2] = [("tensors", 0), ("sample", 1)];

fn place(name: &str) -> Option<usize> {
    let file = FILES.iter().find(|(file, _)| *file == name).map(|(_, place)| *place);
    ORDER.iter().position(|folder| *folder == name).or(file)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What follows each `crate::` of a file, but for its tests and comments.
fn used(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let names = lines.flat_map(|line| line.split("crate::").skip(1));
    names.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

#[test]
fn no_folder_uses_a_later_one() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut seen, mut wrong) = (0, Vec::new());
    for path in files(&source) {
        let relative = path.strip_prefix(&source).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let Some(own) = place(first) else { continue };
        for name in used(&fs::read_to_string(&path).unwrap()) {
            seen += 1;
            // What the crate hands out under its own name could come from anywhere.
            if place(&name).is_none_or(|used| used > own) {
                wrong.push(format!("{} uses crate::{name}", relative.display()));
            }
        }
    }
    assert!(seen > 50 && wrong.is_empty(), "{seen} uses: {wrong:#?}");
}
