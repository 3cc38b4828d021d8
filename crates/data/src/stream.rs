//! Sources that are no files: they give their text once, and wait for it.

use std::fs::{File, FileType};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use percept_fault::{Fault, Result};

use crate::identity::Identity;

/// Something that can be read only once: a pipe, a device, or what the process was started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard input.
    Stdin,
    /// A path.
    Path(PathBuf),
}

impl Stream {
    /// The stream that a source names; `None` for files, folders and what does not exist.
    ///
    /// # Errors
    /// A usage fault for what cannot be read as a stream either: a socket, a descriptor of a folder.
    pub(crate) fn of(source: &str) -> Result<Option<Self>> {
        let path = Path::new(source);
        if ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].contains(&source) {
            return Ok(Some(Self::Stdin));
        }
        let Ok(kind) = std::fs::metadata(path).map(|metadata| metadata.file_type()) else { return Ok(None) };
        if kind.is_dir() && is_descriptor(path) {
            return Err(Fault::usage(format!("{source} is a folder that only this process has open"))
                .hint("name the folder itself"));
        }
        if is_socket(kind) {
            return Err(Fault::usage(format!("{source} is a socket, which is no text"))
                .hint("pipe what it sends into the command, and name `-`"));
        }
        let is_stream = !kind.is_dir() && (!kind.is_file() || is_descriptor(path));
        Ok(is_stream.then(|| Self::Path(path.to_owned())))
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".into(),
            Self::Path(path) => path.display().to_string(),
        }
    }

    /// Opens it; a pipe waits here until somebody writes to it.
    pub(crate) fn open(&self) -> std::io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Stdin => Box::new(std::io::stdin().lock()),
            Self::Path(path) => Box::new(File::open(path)?),
        })
    }

    /// Whether two names mean one stream.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let identity = |stream: &Self| match stream {
            Self::Stdin => None,
            Self::Path(path) => Identity::at(path).ok(),
        };
        self == other || identity(self).is_some_and(|own| identity(other) == Some(own))
    }

    /// The ending of its name, by which its text is read: `jsonl.gz` of a pipe `books.jsonl.gz`.
    pub(crate) fn ending(&self) -> Option<String> {
        let Self::Path(path) = self else { return None };
        let name = path.file_name()?.to_str()?;
        name.trim_start_matches('.').split_once('.').map(|(_, ending)| ending.to_owned())
    }
}

/// Whether a path names something that can be read only once: `-`, a pipe, a device, `/dev/fd/3`.
pub fn is_stream(path: &str) -> bool {
    matches!(Stream::of(path), Ok(Some(_)))
}

/// The bytes of a small file. Those of a stream are remembered as long as the process runs: several parts of a command may ask.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    static READ: Mutex<Vec<(Stream, Vec<u8>)>> = Mutex::new(Vec::new());
    let Ok(Some(stream)) = Stream::of(&path.to_string_lossy()) else { return std::fs::read(path) };
    let mut all = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, bytes)) = all.iter().find(|(other, _)| stream.is(other)) {
        return Ok(bytes.clone());
    }
    let mut bytes = Vec::new();
    stream.open()?.read_to_end(&mut bytes)?;
    all.push((stream, bytes.clone()));
    Ok(bytes)
}

/// Whether a path stands for something that this process has open, which no later one finds there.
fn is_descriptor(path: &Path) -> bool {
    let of_process = path.starts_with("/proc") && path.parent().is_some_and(|folder| folder.ends_with("fd"));
    path.starts_with("/dev/fd") || of_process
}

#[cfg(unix)]
fn is_socket(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&kind)
}

#[cfg(not(unix))]
fn is_socket(_: FileType) -> bool {
    false
}
