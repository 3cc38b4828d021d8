//! Telling what Percept writes from text.
//!
//! A run trained with `--data .` lies inside its own text. So every folder that Percept makes gets a marker, the token cache the
//! [standard's](https://bford.info/cachedir/) `CACHEDIR.TAG`, and a folder that is listed as text leaves all of that out. Runs get no such tag:
//! programs that make backups leave out what bears it. Folders of older versions are known by their shape ([`shape`]), single files by
//! what they begin with ([`file`]).

mod file;
mod shape;

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use percept_fault::{Fault, IoContext, Result};

pub(crate) use file::of_file;

use crate::DataConfig;
use crate::identity::Identity;

/// The hidden file that marks a folder.
const MARKER: &str = ".percept";
/// How its one line begins; what the folder is follows.
const BEGINNING: &str = "Percept wrote this folder: ";
/// The file that marks a folder as a cache, by a standard that backup programs know.
const TAG: &str = "CACHEDIR.TAG";
/// How that file begins, by the standard.
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
/// What our tag says below it, so that our cache is told from others.
const OURS: &str = "# This folder is the token cache of Percept. It may be removed.";
/// A marker or tag is not looked at beyond this.
const LONGEST: u64 = 4096;

/// What a folder of Percept's holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// A training run.
    Run,
    /// A comparison with its runs.
    Comparison,
    /// Weights for use, exported or imported.
    Weights,
    /// States that a server keeps.
    States,
}

impl Made {
    fn label(self) -> &'static str {
        match self {
            Made::Run => "a run",
            Made::Comparison => "a comparison",
            Made::Weights => "weights",
            Made::States => "states",
        }
    }
}

/// What a folder is, where it is no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Percept wrote it: `a run`.
    Percept(Cow<'static, str>),
    /// A tag calls it a cache, of whatever program.
    Cache,
}

/// A folder that was marked, and what was not there before.
#[derive(Debug)]
pub struct Marked {
    /// The folder itself is new.
    pub is_new: bool,
    /// The marker, where it is new.
    marker: Option<PathBuf>,
}

impl Marked {
    /// Takes back the mark of a folder that was there before: it is text again. A folder that is new stays.
    ///
    /// # Errors
    /// An environment fault where the file cannot be removed.
    pub fn unmark(self) -> Result<()> {
        match self.marker {
            Some(marker) if !self.is_new => fs::remove_file(&marker).at("remove", &marker),
            _ => Ok(()),
        }
    }
}

/// Makes `folder` where there is none, and marks it, so that nobody takes what is in it for text. To be called before
/// anything else is written there.
///
/// # Errors
/// An environment fault where the folder cannot be written.
///
/// ```
/// use percept_data::{Corpus, DataConfig, Made, Tokenizer, mark_folder};
/// # let folder = tempfile::tempdir().unwrap();
/// # let texts = folder.path().join("texts");
/// # std::fs::create_dir(&texts).unwrap();
/// std::fs::write(texts.join("book.txt"), "Call me Ishmael.").unwrap();
/// // A program writes its results into the folder of the texts ...
/// mark_folder(&texts.join("results"), Made::Run)?;
/// std::fs::write(texts.join("results/log.txt"), "step 1").unwrap();
///
/// // ... and what it wrote is no text.
/// # let cache = Some(folder.path().join("cache"));
/// let config = DataConfig { cache, ..DataConfig::from_paths([texts.display().to_string()]) };
/// let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {})?;
/// assert_eq!((corpus.documents(), corpus.passed_over().percept.count), (1, 1));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn mark_folder(folder: &Path, made: Made) -> Result<Marked> {
    let is_new = !folder.exists();
    fs::create_dir_all(folder).at("make", folder)?;
    let marker = folder.join(MARKER);
    if marker.exists() {
        return Ok(Marked { is_new, marker: None });
    }
    percept_files::write_with_folder(
        &marker,
        format!("{BEGINNING}{}. It is not read as text.\n", made.label()).as_bytes(),
    )?;
    Ok(Marked { is_new, marker: Some(marker) })
}

/// Makes the folder `name` of a cache. Whichever of the two is new is tagged as a cache: a folder that was there before may hold
/// other things.
pub(crate) fn tagged_folder(cache: &Path, name: &str) -> Result<PathBuf> {
    let folder = cache.join(name);
    let new = match (cache.exists(), folder.exists()) {
        (false, _) => Some(cache),
        (true, false) if !cache.join(TAG).exists() => Some(folder.as_path()),
        _ => None,
    };
    fs::create_dir_all(&folder).at("create", &folder)?;
    new.map_or(Ok(()), tag)?;
    Ok(folder)
}

/// Tags a folder of ours as a cache.
pub(crate) fn tag(cache: &Path) -> Result<()> {
    percept_files::write_with_folder(&cache.join(TAG), [SIGNATURE, b"\n", OURS.as_bytes(), b"\n"].concat().as_slice())
}

/// What a folder is, where it is no text.
pub(crate) fn of_folder(folder: &Path) -> Option<Mark> {
    let marker = head(&folder.join(MARKER));
    if let Some(what) = marker.as_deref().and_then(marked_as) {
        return Some(Mark::Percept(what.into()));
    }
    if let Some(tag) = head(&folder.join(TAG)).filter(|tag| tag.starts_with(SIGNATURE)) {
        return Some(match String::from_utf8_lossy(&tag).contains(OURS) {
            true => Mark::Percept("a token cache".into()),
            false => Mark::Cache,
        });
    }
    shape::of(folder).map(|what| Mark::Percept(what.into()))
}

/// What the marker says.
fn marked_as(marker: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(marker).ok()?.lines().next()?.strip_prefix(BEGINNING)?;
    Some(line.split('.').next().unwrap_or(line).to_owned())
}

/// The beginning of a small file, if it is there.
fn head(path: &Path) -> Option<Vec<u8>> {
    if !path.is_file() {
        return None;
    }
    let mut head = Vec::new();
    File::open(path).ok()?.take(LONGEST).read_to_end(&mut head).ok()?;
    Some(head)
}

/// # Errors
/// A usage fault where a folder that is named as text is Percept's own. (A foreign cache that is named is taken.)
pub(crate) fn check_named(folder: &Path) -> Result<()> {
    match of_folder(folder) {
        Some(Mark::Percept(what)) => {
            Err(Fault::usage(format!("{} is {what} that Percept wrote, no text", folder.display()))
                .hint("name the folder of your texts; a single file in it may be named, too. Where it is one of texts all the same, remove its file .percept"))
        }
        _ => Ok(()),
    }
}

/// Whether a folder is there that is not Percept's own and holds something: marked, nothing in it is read as text any more.
pub fn holds_others(folder: &Path) -> bool {
    let visible = |entry: fs::DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
    of_folder(folder).is_none() && fs::read_dir(folder).into_iter().flatten().flatten().any(visible)
}

/// Checks that `folder`, to which something is written, is none of the folders of the text.
///
/// # Errors
/// A usage fault that names it.
///
/// ```
/// use percept_data::{DataConfig, check_apart};
/// # let folder = tempfile::tempdir().unwrap();
/// let texts = folder.path();
/// let config = DataConfig::from_paths([texts.display().to_string()]);
/// assert!(check_apart(texts, &config).unwrap_err().is_usage());
/// // A folder inside is none of the texts once it is marked.
/// check_apart(&texts.join("runs"), &config)?;
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn check_apart(folder: &Path, config: &DataConfig) -> Result<()> {
    let Ok(own) = Identity::at(folder) else { return Ok(()) };
    let mut sources = [&config.sources, &config.validation, &config.test].into_iter().flatten();
    match sources.find(|source| Identity::at(Path::new(&source.path)).is_ok_and(|identity| identity == own)) {
        Some(source) => Err(Fault::usage(format!(
            "{} is the folder of the text: a run can't be written among its own text",
            source.path
        ))
        .hint("choose another folder; one inside it will do")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
