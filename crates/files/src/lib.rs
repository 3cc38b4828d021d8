//! Files and folders that are complete or absent, also after a power cut.
//!
//! Everything is written beside its place under a temporary, hidden name, forced to the disk, and renamed; the folder that
//! holds the name is forced to the disk after it. A crash leaves at most a hidden file behind, which nobody reads as text.
//! [`write_file`] and [`write_folder`] do all of it; [`begin`] and [`finish`] are for files that are written piece by piece.
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("answer.txt");
//! percept_files::write_file(&path, b"42")?;
//! assert_eq!(std::fs::read(&path).unwrap(), b"42");
//! # Ok::<(), percept_fault::Fault>(())
//! ```

pub mod json;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percept_fault::{Fault, IoContext, Result};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

/// Partial files older than this were left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// Prefix of temporary names; whatever bears it after a crash is rubbish.
pub const TEMPORARY: &str = ".tmp-";
/// Prefix of the name under which an old folder waits until the new one is in its place.
pub const ASIDE: &str = ".tmp-old-";

/// The line in a page of ours that says so.
pub const PAGE_MARK: &str = "<meta name=\"generator\" content=\"Percept\">";
/// The line in a chart of ours (SVG) that says so.
pub const CHART_MARK: &str = "<!-- written by Percept -->";
/// Suffix of files that are still being written.
pub const PARTIAL: &str = ".partial";

/// Replaces `path` by a file with these contents. Its folder must be there.
///
/// # Errors
/// Environment: `path` can't be written to; what stood there is kept.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// let fault = percept_files::write_file(&folder.path().join("missing/file"), b"").unwrap_err();
/// assert!(fault.is_environment());
/// ```
pub fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    let mut file = temporary_file(path)?;
    file.write_all(contents).at("write", path)?;
    finish(file, path)
}

/// As [`write_file`], for contents that `write` puts into the file at the path that it is given.
///
/// # Errors
/// As [`write_file`], and whatever `write` meets.
pub fn replace_file(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let file = temporary_file(path)?;
    write(file.path())?;
    finish(file, path)
}

/// As [`write_file`], and makes the folder where there is none.
///
/// # Errors
/// As [`write_file`].
pub fn write_with_folder(path: &Path, contents: &[u8]) -> Result<()> {
    let mut file = begin(path)?;
    file.write_all(contents).at("write", path)?;
    finish(file, path)
}

/// An empty file beside `path`, whose folder is made where there is none, under a temporary name; for [`finish`].
///
/// # Errors
/// Environment: the folder can't be made or written in.
///
/// ```
/// use std::io::Write;
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("new/long.txt");
/// let mut file = percept_files::begin(&path)?;
/// file.write_all(b"piece by piece").unwrap();
/// assert!(!path.exists());
/// percept_files::finish(file, &path)?;
/// assert!(path.exists());
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn begin(path: &Path) -> Result<NamedTempFile> {
    fs::create_dir_all(parent(path)).at("make", parent(path))?;
    temporary_file(path)
}

/// Forces `file` to the disk and renames it to `path`.
///
/// # Errors
/// Environment: the disk is full, or the name is a folder's.
pub fn finish(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().at("write", path)?;
    file.persist(path).map_err(|error| error.error).at("write", path)?;
    sync_folder(parent(path))
}

fn temporary_file(path: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).suffix(PARTIAL);
    // As any new file, rather than for the owner alone; the system's mask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(parent(path)).at("write", path)
}

/// Writes a folder: the files that `write` puts into the folder that it is given, all or none. `path` must be absent, or a
/// folder that holds none of them; whatever else is in it stays. `last`: the file that makes the folder usable.
///
/// # Errors
/// Whatever `write` meets; usage: a file is there already; environment: `path` can't be written to.
///
/// ```
/// use percept_fault::{Fault, IoContext};
/// use percept_files::write_folder;
/// # let folder = tempfile::tempdir().unwrap();
/// let model = folder.path().join("model");
/// // The second file can't be written, so the first one isn't there either.
/// let failed = write_folder(&model, "config.toml", |new| {
///     std::fs::write(new.join("weights"), "1 2 3").at("write", new)?;
///     Err(Fault::environment("no space left"))
/// });
/// assert!(failed.is_err() && !model.exists());
///
/// write_folder(&model, "config.toml", |new| {
///     std::fs::write(new.join("weights"), "1 2 3").at("write", new)?;
///     std::fs::write(new.join("config.toml"), "").at("write", new)
/// })?;
/// assert!(model.join("weights").exists());
/// # Ok::<(), Fault>(())
/// ```
pub fn write_folder(path: &Path, last: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = &std::path::absolute(path).at("find", path)?;
    // Into a folder that is there, files can be moved from inside it only: it may be a file system of its own.
    let staging = if path.is_dir() { path.join(format!("{TEMPORARY}files")) } else { temporary_beside(path)? };
    let written = remove_folder(&staging).and_then(|()| fill(&staging, write)).and_then(|()| match path.is_dir() {
        true => move_files(&staging, path, last),
        false => fs::rename(&staging, path).at("write", path).and_then(|()| sync_folder(parent(path))),
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&staging);
    }
    written
}

/// Makes a folder, lets `write` fill it, and forces its files to the disk.
fn fill(folder: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    fs::create_dir_all(folder).at("make", folder)?;
    write(folder)?;
    for entry in fs::read_dir(folder).at("read", folder)? {
        sync_file(&entry.at("read", folder)?.path())?;
    }
    sync_folder(folder)
}

/// Moves all files of the folder `from` to `to`, `last` after the others, and removes `from`. A failure leaves none in `to`.
fn move_files(from: &Path, to: &Path, last: &str) -> Result<()> {
    let entries = fs::read_dir(from).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).at("read", from)?;
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.file_name()).collect();
    names.sort_by_key(|name| name == last);
    if let Some(taken) = names.iter().map(|name| to.join(name)).find(|path| path.exists()) {
        return Err(Fault::usage(format!("{} is there already", taken.display())).hint("choose another folder"));
    }
    for (moved, name) in names.iter().enumerate() {
        if let Err(error) = fs::rename(from.join(name), to.join(name)) {
            names[..moved].iter().for_each(|name| drop(fs::remove_file(to.join(name))));
            return Err(error).at("write", to.join(name));
        }
    }
    sync_folder(to)?;
    remove_folder(from)
}

/// Forces a file's contents to the disk.
pub fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).at("write", path)
}

/// Forces a folder's names to the disk. Only Unix can open a folder as a file.
pub fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) { sync_file(path) } else { Ok(()) }
}

/// Replaces the folder `to` by the complete folder `from`, both on the same file system.
///
/// The old folder steps aside first and is removed last, so that one of the two is there at any time.
///
/// ```
/// # use std::fs;
/// # let folder = tempfile::tempdir().unwrap();
/// let (old, new) = (folder.path().join("best"), folder.path().join("best.partial"));
/// # fs::create_dir(&old).unwrap();
/// # fs::write(old.join("step-100"), "").unwrap();
/// # fs::create_dir(&new).unwrap();
/// # fs::write(new.join("step-200"), "").unwrap();
/// percept_files::replace_folder(&new, &old)?;
/// // Nothing of the old folder is left, and nothing beside the new one.
/// assert!(old.join("step-200").exists() && !old.join("step-100").exists());
/// assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn replace_folder(from: &Path, to: &Path) -> Result<()> {
    sync_folder(from)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let aside = parent(to).join(format!("{ASIDE}{name}"));
    if to.exists() {
        remove_folder(&aside)?;
        fs::rename(to, &aside).at("replace", to)?;
    }
    fs::rename(from, to).at("write", to)?;
    sync_folder(parent(to))?;
    remove_folder(&aside)
}

/// Removes the partial files that killed processes left beside `path` a day ago or longer; where that fails, it is only space.
pub fn remove_abandoned(path: &Path) {
    let entries = fs::read_dir(parent(path)).ok();
    for entry in entries.into_iter().flatten().flatten() {
        let is_partial = entry.file_name().to_string_lossy().ends_with(PARTIAL);
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = modified.and_then(|time| time.elapsed().ok()).unwrap_or_default();
        if is_partial && age > ABANDONED {
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// Removes a folder if it is there.
pub fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Removes a file if it is there.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// The SHA-256 of a file in hexadecimal digits.
///
/// # Errors
/// Environment: the file can't be read.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("weights");
/// percept_files::write_file(&path, b"abc")?;
/// assert!(percept_files::sha256(&path)?.starts_with("ba7816bf8f01cfea"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn sha256(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).at("read", path)?;
    std::io::copy(&mut file, &mut hasher).at("read", path)?;
    Ok(hex(&hasher.finalize()))
}

/// Hexadecimal digits, in lower case.
///
/// ```
/// assert_eq!(percept_files::hex(&[0, 171]), "00ab");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A temporary name in the same folder.
pub fn temporary_beside(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| Fault::internal(format!("{} has no file name", path.display())))?;
    Ok(parent(path).join(format!("{TEMPORARY}{}", name.to_string_lossy())))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latest");
        write_file(&path, b"one").unwrap();
        write_file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_made_where_asked_and_a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/file");
        write_with_folder(&path, b"one").unwrap();
        write_with_folder(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(write_with_folder(&folder.path().join("taken"), b"x").unwrap_err().is_environment());
        assert_eq!(names(folder.path()), ["new", "taken"]);
    }

    #[test]
    fn what_is_written_elsewhere_takes_the_place_of_the_file_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, "old").unwrap();
        let failed = replace_file(&path, |path| {
            fs::write(path, "ha").at("write", path)?;
            Err(Fault::environment("no space left"))
        });
        assert_eq!((failed.is_err(), fs::read(&path).unwrap()), (true, b"old".into()));
        replace_file(&path, |path| fs::write(path, "new").at("write", path)).unwrap();
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["weights".into()], b"new".into()));
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_it_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plain"), "").unwrap();
        write_file(&folder.path().join("ours"), b"").unwrap();
        let mode = |name| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode("ours"), mode("plain"));
    }

    #[test]
    fn an_impossible_write_is_an_environment_fault_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let fault = write_file(&folder.path().join("no/latest"), b"").unwrap_err();
        assert!(fault.is_environment() && fault.to_string().contains("no/latest"), "{fault}");
    }

    #[test]
    fn a_folder_replaces_another() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(&from).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(from.join("new"), "").unwrap();
        fs::write(to.join("old"), "").unwrap();
        replace_folder(&from, &to).unwrap();
        assert!(to.join("new").exists() && !to.join("old").exists() && !from.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |folder: &Path| {
            ["config", "weights"].iter().try_for_each(|name| fs::write(folder.join(name), "new").at("write", folder))
        };
        let fail = |folder: &Path| write(folder).and(Err(Fault::environment("no space left")));
        assert!(write_folder(&at("new"), "config", fail).unwrap_err().is_environment());
        assert_eq!(names(folder.path()), [""; 0]);
        write_folder(&at("new"), "config", write).unwrap();
        assert_eq!(
            (names(folder.path()), names(&at("new"))),
            (vec!["new".into()], vec!["config".into(), "weights".into()])
        );
        // A folder that is there keeps what is in it, and nothing is written over.
        fs::create_dir(at("mine")).unwrap();
        fs::write(at("mine/notes"), "old").unwrap();
        assert!(write_folder(&at("mine"), "config", fail).is_err());
        assert_eq!(names(&at("mine")), ["notes"]);
        write_folder(&at("mine"), "config", write).unwrap();
        assert_eq!(names(&at("mine")), ["config", "notes", "weights"]);
        fs::write(at("mine/weights"), "old").unwrap();
        fs::remove_file(at("mine/config")).unwrap();
        let fault = write_folder(&at("mine"), "config", write).unwrap_err();
        assert!(fault.is_usage() && fault.to_string().ends_with("weights is there already"), "{fault}");
        assert_eq!(
            (names(&at("mine")), fs::read(at("mine/weights")).unwrap()),
            (vec!["notes".into(), "weights".into()], b"old".into())
        );
        // Not even root can make a folder in a file.
        assert!(write_folder(&at("mine/notes/new"), "config", write).unwrap_err().is_environment());
        assert!(write_folder(&at("mine/notes"), "config", write).unwrap_err().is_environment());
        assert_eq!(names(folder.path()), ["mine", "new"]);
    }

    #[test]
    fn sha256_of_abc() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!(sha256(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
