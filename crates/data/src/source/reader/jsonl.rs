//! A JSON record per line.

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;

use super::super::SkipReason;
use super::super::read::{Documents, Flow};
use super::limit::LONGEST;
use super::record;

/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// Sends a document per line that is not blank.
pub(super) fn read(reader: impl Read, key: &str, documents: &mut Documents<'_, '_>) -> Flow {
    let mut lines = BufReader::with_capacity(BUFFER, reader);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        match lines.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(read) if read as u64 == LONGEST => {
                return documents.bad(number, SkipReason::BrokenRecord, "the line is longer than 1 GiB".into());
            }
            Ok(_) => {}
            Err(error) => return documents.bad(number, SkipReason::Unreadable, error.to_string()),
        }
        let json = line.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(&line).trim_ascii();
        if json.is_empty() {
            continue;
        }
        if documents.record(number, || record::text(json, key))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
