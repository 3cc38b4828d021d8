//! A table with a header: a document per row, from one column.

use std::io::Read;
use std::ops::ControlFlow;

use csv::{ByteRecord, ReaderBuilder};

use super::super::SkipReason;
use super::super::read::{Documents, Flow};
use super::limit::Limited;
use super::rows::Watched;
use super::{record, without_mark};

/// Bytes read at a time.
const BUFFER: usize = 1 << 16;
/// A last row of ours behind the table. Whatever quote is open there takes it in, which is how that is known: the parser does not tell.
const LAST_ROW: &[u8] = b"\n\0percept 9e3779b97f4a7c15 the table ends here\0";

/// Sends the text in column `key` of each row; a row is named by the line on which it begins.
pub(super) fn read(reader: impl Read, separator: u8, key: &str, documents: &mut Documents<'_, '_>) -> Flow {
    let (limited, left) = Limited::new(reader);
    let reader = match without_mark(limited) {
        Ok(reader) => reader,
        Err(error) => return documents.bad(0, SkipReason::Unreadable, error.to_string()),
    };
    let (reader, lines) = Watched::new(reader.chain(LAST_ROW));
    let mut table =
        ReaderBuilder::new().delimiter(separator).flexible(true).buffer_capacity(BUFFER).from_reader(reader);
    let header = match table.byte_headers() {
        Ok(header) => header.clone(),
        Err(error) => return documents.bad(1, SkipReason::Unreadable, error.to_string()),
    };
    match End::of(&header) {
        Some(End::Proper) => return Ok(ControlFlow::Continue(())),
        Some(End::OpenQuote) => return documents.bad(1, SkipReason::BrokenRecord, OPEN_QUOTE.into()),
        None => {}
    }
    let Some(column) = header.iter().position(|name| name == key.as_bytes()) else {
        return missing(&header, key, documents);
    };
    let mut row = ByteRecord::new();
    loop {
        let line = table.position().line();
        left.renew();
        lines.row_ends(table.position().byte());
        match table.read_byte_record(&mut row) {
            Ok(false) => return Ok(ControlFlow::Continue(())),
            Ok(true) => {}
            Err(error) => return documents.bad(line, SkipReason::Unreadable, error.to_string()),
        }
        let line = line + lines.before_row();
        let end = End::of(&row);
        if end == Some(End::Proper) {
            return Ok(ControlFlow::Continue(()));
        }
        let text = || match row.get(column) {
            _ if end == Some(End::OpenQuote) => Err(OPEN_QUOTE.into()),
            Some(text) if row.len() == header.len() => Ok(text),
            _ => Err(format!("the row has {} fields, the header has {}", row.len(), header.len())),
        };
        if documents.record(line, text)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

/// What is wrong with a row that the end of the file closes.
const OPEN_QUOTE: &str = "a quoted field of this row has no closing quote";

/// How a table ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// After a row.
    Proper,
    /// Within quotes.
    OpenQuote,
}

impl End {
    /// The end, where this row reaches it.
    fn of(row: &ByteRecord) -> Option<Self> {
        let last = row.iter().next_back()?;
        match row.len() {
            1 if last == &LAST_ROW[1..] => Some(Self::Proper),
            _ => last.ends_with(LAST_ROW).then_some(Self::OpenQuote),
        }
    }
}

fn missing(header: &ByteRecord, key: &str, documents: &mut Documents<'_, '_>) -> Flow {
    let names: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
    match names.as_slice() {
        [] => Ok(ControlFlow::Continue(())),
        names => {
            let cause = record::no_column(key, names.iter().map(|name| name.as_ref()));
            documents.bad(1, SkipReason::BrokenRecord, cause)
        }
    }
}
