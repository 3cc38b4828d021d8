//! Folders of versions that set no marker, by what lies in them.

use std::path::Path;

/// What a folder looks like, where it looks like Percept's.
pub(super) fn of(folder: &Path) -> Option<&'static str> {
    let file = |name: &str| folder.join(name).is_file();
    let below = |name: &str| folder.join(name).is_dir();
    let trained = || below("checkpoints") || file("environment.json");
    if (file("config.toml") || file("metrics.jsonl")) && trained() || file("lock") && below("samples") {
        return Some("a run");
    }
    if file("model.safetensors") {
        return match (file("progress.json"), file("config.toml")) {
            (true, _) => Some("a checkpoint"),
            (_, true) => Some("weights"),
            _ => None,
        };
    }
    // The runs of a comparison say that they are done; those of a folder that just holds runs don't.
    if file("report.json")
        && ["runs", "sweep"].iter().any(|name| any(&folder.join(name), |run| run.join("done.json").is_file()))
    {
        return Some("a comparison");
    }
    let tokens = |path: &Path| path.extension().is_some_and(|ending| ending == "tokens");
    (below("index") && any(&folder.join("tokens"), tokens)).then_some("a token cache")
}

/// Whether something in the folder is `wanted`.
fn any(folder: &Path, wanted: impl Fn(&Path) -> bool) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| wanted(&entry.path()))
}
