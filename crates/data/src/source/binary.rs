//! What is no text, by the looks of its first bytes.

/// Bytes that are looked at.
const LOOKED_AT: usize = 1024;
/// One control byte in so many is more than text has.
const CONTROL: usize = 10;

/// What the file that starts with `start` looks like, if not like text.
pub(super) fn looks(start: &[u8]) -> Option<String> {
    let head = &start[..start.len().min(LOOKED_AT)];
    let controls = head.iter().filter(|&&byte| is_control(byte)).count();
    let doubt = match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16 text, which is read as bytes"),
        _ if head.contains(&0) => Some("binary data: it holds NUL bytes"),
        _ if controls * CONTROL > head.len() => Some("binary data: it holds control bytes"),
        _ => None,
    };
    let kind = infer::get(start).filter(|kind| kind.matcher_type() != infer::MatcherType::Text);
    let kind = kind.map(|kind| kind.mime_type());
    match kind {
        // Two letters make some of the signatures: a word may begin with them, too.
        Some(kind) if doubt.is_some() || !is_utf8(head) || kind == PDF => Some(format!("a file of the kind {kind}")),
        _ => doubt.map(Into::into),
    }
}

/// A format that begins with text.
const PDF: &str = "application/pdf";

/// Whether `head` is text but perhaps for a character that is cut.
fn is_utf8(head: &[u8]) -> bool {
    std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// Control bytes that no text file has, but for an escape now and then.
fn is_control(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c) || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_documents_archives_and_control_bytes_are_told() {
        let cases: [(&[u8], &str); 7] = [
            (b"\xff\xd8\xff\xe0\x10JFIF", "image/jpeg"),
            (b"\x89PNG\r\n\x1a\n", "image/png"),
            (b"%PDF-1.7\n%", "application/pdf"),
            (b"PK\x03\x04\x14", "application/zip"),
            (b"\x1f\x8b\x08", "application/gzip"),
            (b"ab\0cd", "NUL bytes"),
            (b"\x01\x02\x03abcdefgh", "control bytes"),
        ];
        for (start, kind) in cases {
            let looks = looks(start).unwrap_or_default();
            assert!(looks.contains(kind), "{looks} instead of {kind}");
        }
        assert!(looks(&"text".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).is_some());
    }

    #[test]
    fn text_is_text() {
        let long = "naïve 日本語\t\r\n".repeat(99);
        let texts: [&[u8]; 10] = [
            b"",
            b"plain",
            long.as_bytes(),
            b"caf\xe9 in Latin-1",
            b"<!DOCTYPE html><html>",
            b"<?xml version=\"1.0\"?>",
            b"#!/bin/sh\necho",
            b"BMW builds cars",
            b"MZ is no program",
            b"\x1b[1mbold\x1b[0m text of a terminal",
        ];
        for text in texts {
            assert_eq!(looks(text), None, "{text:?}");
        }
    }
}
