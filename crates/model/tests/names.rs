//! Nothing but a mixer's own file (and the line of its registry) names it or its keys.

use std::path::{Path, PathBuf};

use percept_model::ModelConfig;
use percept_model::mixer::MixerKind;

/// Files that may: what is measured or read there is of certain models by its nature.
const MAY: [&str; 5] = [
    // The default schedule.
    "model/src/config.rs",
    // The sizes of the authors' fixtures, under the names of their format.
    "/fixtures.rs",
    // The shapes that the benchmarks have always had.
    "/bench/subject.rs",
    "/bench/context/mod.rs",
    // Kernels know patterns of attention, not mixers; a row of their benchmark is called so.
    "/bench/cases.rs",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_file_but_its_own_names_a_mixer_or_its_keys() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&crates).expect("the crates") {
        let folder = entry.expect("a readable entry").path().join("src");
        if folder.is_dir() {
            sources(&folder, &mut files);
        }
    }
    let names = MixerKind::all_names().map(|name| format!("\"{name}\""));
    let variants = MixerKind::ALL.iter().map(|kind| format!("MixerKind::{kind:?}"));
    let fields = MixerKind::ALL.iter().map(|kind| format!(".{}.", kind.name().replace('-', "_")));
    let keys = ModelConfig::flat_keys().into_keys().flat_map(|key| [format!("\"{key}\""), format!("\"model.{key}")]);
    let words: Vec<String> = names.chain(variants).chain(fields).chain(keys).collect();
    let (mut named, mut read) = (Vec::new(), 0);
    for file in files {
        let path = file.strip_prefix(&crates).expect("below the crates").to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let tests = ["verify/src/shift.rs", "/tests.rs", "/broken.rs", "/recurrent.rs", "/by_hand.rs"];
        if path.starts_with("model/src/mixer/") || MAY.iter().chain(&tests).any(|end| path.ends_with(end)) {
            continue;
        }
        read += 1;
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let word = words.iter().find(|word| line.contains(word.as_str()));
            named.extend(word.map(|word| format!("{path}: {word} in {}", line.trim())));
        }
    }
    assert!(read > 200, "only {read} files were read");
    assert!(named.is_empty(), "{}", named.join("\n"));
}
