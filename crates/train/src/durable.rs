//! Files and folders that are complete or absent, also after a power cut.
//!
//! Everything is written beside its place under a temporary name, forced to the disk, and renamed;
//! the folder that holds the name is forced to the disk after it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use percept_fault::{Fault, IoContext, Result};
use sha2::{Digest, Sha256};

/// Prefix of temporary names; whatever bears it after a crash is rubbish.
pub(crate) const TEMPORARY: &str = ".tmp-";
/// Prefix of the name under which an old folder waits until the new one is in its place.
pub(crate) const ASIDE: &str = ".tmp-old-";

/// Replaces `path` by a file with these contents.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    let temporary = temporary_beside(path)?;
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
        .at("write", path);
    if let Err(fault) = written {
        let _ = fs::remove_file(&temporary);
        return Err(fault);
    }
    fs::rename(&temporary, path).at("write", path)?;
    sync_folder(parent(path))
}

/// Writes a folder: the files that `write` puts into the folder that it is given, all or none. `path` must be absent, or a
/// folder that holds none of them; whatever else is in it stays. `last`: the file that makes the folder usable.
///
/// # Errors
/// Whatever `write` meets; usage: a file is there already; environment: `path` can't be written to.
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
pub(crate) fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).at("write", path)
}

/// Forces a folder's names to the disk. Only Unix can open a folder as a file.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) { sync_file(path) } else { Ok(()) }
}

/// Replaces the folder `to` by the complete folder `from`, both on the same file system.
///
/// The old folder steps aside first and is removed last, so that one of the two is there at any time.
pub(crate) fn replace_folder(from: &Path, to: &Path) -> Result<()> {
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

/// Removes a folder if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Removes a file if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// The SHA-256 of a file in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).at("read", path)?;
    std::io::copy(&mut file, &mut hasher).at("read", path)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A temporary name in the same folder.
pub(crate) fn temporary_beside(path: &Path) -> Result<PathBuf> {
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
