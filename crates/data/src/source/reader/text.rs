//! A stream that is one document.

use std::io::Read;
use std::ops::ControlFlow;

use super::super::binary;
use super::super::decompress::Unpacked;
use super::super::read::{Documents, Flow, Pieces, Step, send};
use super::super::{Remark, SkipReason};
use crate::tokenizer::{LOOKAHEAD, is_continuation};
use crate::{Binary, Targets};

/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// Sends the next range of the stream that `open` opens at a position.
pub(super) fn read<'r>(
    open: impl FnOnce(u64) -> std::io::Result<Unpacked<'r>>,
    documents: &mut Documents<'_, '_>,
) -> Flow {
    let range = documents.next_range();
    if range.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    send!(documents, documents.begin(0, range.start));
    let reader = match open(range.start) {
        Ok(reader) => reader,
        Err(error) => return documents.send(Step::Bad(SkipReason::Unreadable, error.to_string())),
    };
    let garbage = reader.garbage();
    let mut reader = reader.take(range.end - range.start);
    let (mut buffer, mut ended, mut broken) = (Vec::new(), false, None);
    let mut at_start = range.start == 0;
    loop {
        while !ended && (buffer.len() < LOOKAHEAD || documents.reading.pieces == Pieces::Whole) {
            match reader.by_ref().take(BUFFER as u64).read_to_end(&mut buffer) {
                Ok(read) => ended = read == 0,
                Err(error) => (ended, broken) = (true, Some(error.to_string())),
            }
        }
        if std::mem::take(&mut at_start)
            && let Some(kind) = binary::looks(&buffer)
        {
            match documents.reading.binary {
                Binary::Skip => {
                    return documents.send(Step::Bad(SkipReason::LooksBinary, format!("it looks like {kind}")));
                }
                Binary::Keep => send!(documents, Step::Remark(Remark::LooksBinary, format!("it looks like {kind}"))),
            }
        }
        if broken.is_some() {
            // No half character: the rest of it is lost.
            buffer.truncate(whole_characters(&buffer));
        }
        let mut start = 0;
        while start < buffer.len() && (ended || buffer.len() - start >= LOOKAHEAD) {
            let length = documents.reading.piece_length(&buffer[start..]);
            send!(documents, Step::Piece(buffer[start..start + length].to_vec()));
            start += length;
        }
        buffer.drain(..start);
        if ended {
            break;
        }
    }
    if let Some(cause) = broken {
        return documents.send(Step::Broken(cause));
    }
    if garbage.is_there() && documents.garbage()?.is_break() {
        return Ok(ControlFlow::Break(()));
    }
    documents.send(Step::End { targets: Targets::ALL })
}

/// Bytes of `text` without a character at its end of which bytes are missing.
fn whole_characters(text: &[u8]) -> usize {
    let tail = text.len().saturating_sub(4);
    match text.iter().skip(tail).rposition(|&byte| !is_continuation(byte)).map(|at| tail + at) {
        Some(lead) if std::str::from_utf8(&text[lead..]).is_err_and(|error| error.error_len().is_none()) => lead,
        _ => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cut_character_is_taken_off() {
        for (text, length) in
            [(&b"ab"[..], 2), (b"a\xc3", 1), (b"a\xc3\xa9", 3), (b"a\xf0\x9f\x98", 1), (b"a\xff", 2), (b"", 0)]
        {
            assert_eq!(whole_characters(text), length, "{text:?}");
        }
    }
}
