//! How the bytes of a file become documents: a reader for each kind of file, chosen here by the ending of its name.

mod csv;
mod json;
mod jsonl;
mod limit;
#[cfg(feature = "parquet")]
mod parquet;
mod record;
mod rows;
mod text;
mod zip;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::Compression;
use super::decompress::Unpacked;
use super::read::{Documents, Flow};
use super::{Filter, Numbers, SkipReason, Stamp};
use crate::Format;
pub(crate) use zip::Member;

/// How a file is read.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) compression: Compression,
    pub(crate) layout: Layout,
    /// Key of the text in records.
    pub(crate) key: String,
}

/// What a file holds once it is decompressed.
#[derive(Debug, Clone)]
pub(crate) enum Layout {
    /// One document.
    Text,
    /// A JSON record per line.
    Jsonl,
    /// One JSON record, an array of records, or one record after the other.
    Json,
    /// A table with a header, whose fields are separated by this byte.
    Table(u8),
    /// A Parquet table.
    Parquet,
    /// Files, each read by the ending of its own name.
    Zip(Arc<[Member]>),
}

impl Layout {
    /// What the numbers of its documents count.
    pub(crate) fn numbers(&self) -> Numbers {
        match self {
            Layout::Json | Layout::Parquet => Numbers::Records,
            Layout::Text | Layout::Jsonl | Layout::Table(_) | Layout::Zip(_) => Numbers::Lines,
        }
    }
}

impl Reader {
    /// How a file of this name is read; the members of an archive are listed.
    ///
    /// # Errors
    /// Why it cannot be, in words.
    pub(crate) fn of(path: &Path, format: Format, key: &str, filter: &Filter<'_>) -> Result<Self, String> {
        let edition = filter.edition();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (compression, inner) = Compression::of(&name, edition);
        let layout = match layout(inner, format, edition) {
            Named::Layout(layout) => layout,
            Named::Zip | Named::Parquet if compression != Compression::None => {
                return Err("it is compressed twice: decompress it first".into());
            }
            Named::Zip => Layout::Zip(zip::members(path, format, key, filter)?),
            Named::Parquet if cfg!(feature = "parquet") => Layout::Parquet,
            Named::Parquet => {
                return Err("this build does not read Parquet: build it with the Cargo feature `parquet`".into());
            }
        };
        Ok(Self { compression, layout, key: key.into() })
    }

    /// What the tokens of a file depend on besides its content.
    pub(crate) fn describe(&self, file: &Stamp) -> String {
        let ending = file.path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let key = &self.key;
        let layout = match &self.layout {
            Layout::Text => format!("text {ending}"),
            Layout::Jsonl => format!("records {ending} {key}"),
            Layout::Json => format!("json {ending} {key}"),
            Layout::Table(separator) => format!("table {separator} {ending} {key}"),
            Layout::Parquet => format!("parquet {key}"),
            // The content says nothing about which of its members are read.
            Layout::Zip(members) => {
                let indices: Vec<_> = members.iter().map(|member| member.index.to_string()).collect();
                format!("zip {key} members {}", indices.join(" "))
            }
        };
        // What the first edition decompressed goes by the ending alone.
        match self.compression {
            Compression::Xz | Compression::Bz2 => format!("{layout} decompressed"),
            _ => layout,
        }
    }

    /// Sends the documents of a file.
    pub(super) fn read(&self, file: &Stamp, documents: &mut Documents<'_, '_>) -> Flow {
        match &self.layout {
            Layout::Zip(members) => zip::read(file, members, documents),
            #[cfg(feature = "parquet")]
            Layout::Parquet => parquet::read(file, &self.key, documents),
            _ => {
                let reading = documents.reading;
                self.stream(documents, |start| reading.open(&file.path, self.compression, start))
            }
        }
    }

    /// Sends the documents of a stream that `open` opens at a position of its decompressed bytes.
    fn stream<'r>(
        &self,
        documents: &mut Documents<'_, '_>,
        open: impl FnOnce(u64) -> std::io::Result<Unpacked<'r>>,
    ) -> Flow {
        if matches!(self.layout, Layout::Text) {
            return text::read(open, documents);
        }
        let reader = match open(0) {
            Ok(reader) => reader,
            Err(error) => return documents.bad(0, SkipReason::Unreadable, error.to_string()),
        };
        let garbage = reader.garbage();
        let flow = match &self.layout {
            Layout::Json => json::read(reader, &self.key, documents),
            Layout::Table(separator) => csv::read(reader, *separator, &self.key, documents),
            _ => jsonl::read(reader, &self.key, documents),
        }?;
        if flow.is_continue() && garbage.is_there() { documents.garbage() } else { Ok(flow) }
    }
}

/// What the ending of a name says.
enum Named {
    Layout(Layout),
    Zip,
    Parquet,
}

/// What a file of this name (in lower case, without an ending of compression) holds.
fn layout(name: &str, format: Format, edition: u8) -> Named {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match (format, ending) {
        (_, "zip") if edition > 1 => Named::Zip,
        (Format::Text, _) => Named::Layout(Layout::Text),
        (Format::Jsonl, _) | (Format::Auto, "jsonl" | "ndjson") => Named::Layout(Layout::Jsonl),
        (Format::Auto, _) if edition == 1 => Named::Layout(Layout::Text),
        (Format::Json, _) | (Format::Auto, "json") => Named::Layout(Layout::Json),
        (Format::Csv, _) | (Format::Auto, "csv") => Named::Layout(Layout::Table(b',')),
        (Format::Tsv, _) | (Format::Auto, "tsv") => Named::Layout(Layout::Table(b'\t')),
        (Format::Parquet, _) | (Format::Auto, "parquet") => Named::Parquet,
        (Format::Auto, _) => Named::Layout(Layout::Text),
    }
}

/// Removes a byte order mark from the start of a text.
fn without_mark<'r>(mut reader: impl Read + 'r) -> std::io::Result<impl Read + 'r> {
    let mut start = Vec::new();
    reader.by_ref().take(3).read_to_end(&mut start)?;
    if start == b"\xef\xbb\xbf" {
        start.clear();
    }
    Ok(std::io::Cursor::new(start).chain(reader))
}
