//! What cargo tells of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What cargo prints, as JSON.
pub(crate) fn cargo(arguments: &[&str]) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/unify lies two folders deep");
    let mut command = Command::new(env!("CARGO"));
    // The unit graph (what cargo would build, and how) is an unstable option of the pinned, stable cargo.
    command.current_dir(root).env("RUSTC_BOOTSTRAP", "1").args(arguments).arg("--offline");
    let output = command.output().expect("cargo starts");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// The packages of the workspace.
pub(crate) fn packages() -> Vec<Value> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    metadata["packages"].as_array().expect("a list of packages").clone()
}

/// The libraries and programs of the workspace, each with the name of its package and its root file.
pub(crate) fn roots() -> Vec<(String, PathBuf)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut roots = Vec::new();
    for package in packages() {
        for target in package["targets"].as_array().expect("a list of targets") {
            if ["lib", "bin"].contains(&text(&target["kind"][0]).as_str()) {
                roots.push((text(&package["name"]), text(&target["src_path"]).into()));
            }
        }
    }
    roots
}
