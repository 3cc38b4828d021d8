//! Files that are complete or absent.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use percept_fault::{IoContext, Result};
use tempfile::NamedTempFile;

/// Suffix of files that are still being written; a crash leaves at most such a file behind, hidden, so that nobody reads it as text.
pub(crate) const PARTIAL: &str = ".partial";
/// Partial files older than this were left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// An empty file beside `path` under a temporary name, to be given to [`finish`].
pub(crate) fn begin(path: &Path) -> Result<NamedTempFile> {
    let folder = folder_of(path);
    std::fs::create_dir_all(folder).at("create", folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".build-").suffix(PARTIAL);
    // As any new file, rather than for the owner alone; the system's mask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).at("write in", folder)
}

/// Flushes `file` to the disk and renames it to `path`.
pub(crate) fn finish(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().at("write", path)?;
    file.persist(path).map_err(|error| error.error).at("write", path)?;
    // The rename is durable once the folder is; not every system can sync a folder.
    if cfg!(unix) {
        let folder = folder_of(path);
        File::open(folder).and_then(|folder| folder.sync_all()).at("write", folder)?;
    }
    Ok(())
}

/// Writes `bytes` to `path`, completely or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = begin(path)?;
    file.write_all(bytes).at("write", path)?;
    finish(file, path)
}

/// Removes what killed processes left beside `path`; where that fails, it is only space.
pub(crate) fn remove_abandoned(path: &Path) {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let is_partial = entry.file_name().to_string_lossy().ends_with(PARTIAL);
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = modified.and_then(|time| time.elapsed().ok()).unwrap_or_default();
        if is_partial && age > ABANDONED {
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
