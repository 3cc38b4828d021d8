//! A zip archive: each member is read by the ending of its own name, as a file of a folder is.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use zip::ZipArchive;

use super::super::read::{Documents, Flow};
use super::super::{Filter, Numbers, SkipReason, Stamp};
use super::{Layout, Reader};
use crate::Format;

/// A file in an archive.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Its place among the archive's entries.
    pub(super) index: usize,
    pub(crate) name: String,
    /// How it is read, or why it cannot be.
    reader: Result<Reader, String>,
}

impl Member {
    /// What the numbers of its documents count.
    pub(crate) fn numbers(&self) -> Numbers {
        self.reader.as_ref().map_or(Numbers::Lines, |reader| reader.layout.numbers())
    }
}

/// The files in an archive in the order of their names. Left out is what is hidden, as in folders, what `data.exclude` names, and
/// links, which hold only the path of another file.
///
/// # Errors
/// It is no zip archive, in words.
pub(super) fn members(path: &Path, format: Format, key: &str, filter: &Filter<'_>) -> Result<Arc<[Member]>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let name = match archive.name_for_index(index) {
            Some(Ok(name)) => without_dots(&name),
            Some(Err(error)) => return Err(error.to_string()),
            None => continue,
        };
        let hidden = name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX");
        let is_file = !name.is_empty() && !name.ends_with('/');
        if hidden || !is_file || filter.excludes(Path::new(&name)) {
            continue;
        }
        // A member that cannot be opened is reported when it is read.
        if archive.by_index_raw(index).is_ok_and(|member| member.is_symlink()) {
            continue;
        }
        members.push(Member { index, reader: inner(&name, format, key, filter), name });
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members.into())
}

/// A name without the parts that mean the folder itself: `a/b.txt` of `./a/./b.txt`.
fn without_dots(name: &str) -> String {
    name.split('/').filter(|&part| part != ".").collect::<Vec<_>>().join("/")
}

/// How a member of this name is read.
fn inner(name: &str, format: Format, key: &str, filter: &Filter<'_>) -> Result<Reader, String> {
    let name = Path::new(name);
    if name.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip")) {
        return Err("it is an archive within an archive: unpack it first".into());
    }
    match Reader::of(name, format, key, filter)? {
        Reader { layout: Layout::Parquet, .. } => {
            Err("a Parquet table is not read from an archive: unpack it first".into())
        }
        reader => Ok(reader),
    }
}

/// Sends the documents of all members.
pub(super) fn read(file: &Stamp, members: &[Member], documents: &mut Documents<'_, '_>) -> Flow {
    let opened = documents.reading.file(&file.path).map(BufReader::new);
    let mut archive = match opened.map_err(zip::result::ZipError::from).and_then(ZipArchive::new) {
        Ok(archive) => archive,
        Err(error) => return documents.bad(0, SkipReason::Unreadable, error.to_string()),
    };
    for (member, number) in members.iter().zip(1..) {
        documents.enter(number);
        let flow = match &member.reader {
            Err(cause) => documents.bad(0, SkipReason::Unreadable, cause.clone()),
            Ok(reader) => reader.stream(documents, |start| {
                let packed = archive.by_index(member.index)?;
                let mut unpacked = reader.compression.unpack(packed)?;
                std::io::copy(&mut unpacked.by_ref().take(start), &mut std::io::sink())?;
                Ok(unpacked)
            }),
        }?;
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}
