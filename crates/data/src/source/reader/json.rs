//! A JSON file: one record, an array of records, or one record after the other.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::Value;

use super::super::SkipReason;
use super::super::read::{Documents, Flow};
use super::limit::{Left, Limited};
use super::{record, without_mark};

/// Bytes read at a time.
const BUFFER: usize = 1 << 16;

/// Sends a document per record, numbered from 1. One record at a time is in memory.
pub(super) fn read(reader: impl Read, key: &str, documents: &mut Documents<'_, '_>) -> Flow {
    let (limited, left) = Limited::new(reader);
    let unreadable = |error: std::io::Error| (SkipReason::Unreadable, error.to_string());
    let opened = without_mark(limited).map(|reader| BufReader::with_capacity(BUFFER, reader));
    let mut records = Records { key, left, documents, number: 0, end: Ok(ControlFlow::Continue(())) };
    let broken = match opened {
        Err(error) => Some(unreadable(error)),
        Ok(mut reader) => match first_byte(&mut reader) {
            Err(error) => Some(unreadable(error)),
            Ok(first) => {
                let mut json = serde_json::Deserializer::from_reader(reader);
                let read = match first {
                    Some(b'[') => records.array(&mut json),
                    _ => records.sequence(&mut json),
                };
                read.err().map(|error| broken(&error))
            }
        },
    };
    let Records { end, number, documents, .. } = records;
    match broken {
        Some((reason, cause)) if matches!(end, Ok(ControlFlow::Continue(()))) => {
            documents.bad(number + 1, reason, cause)
        }
        _ => end,
    }
}

/// The first byte that is no white space, which stays unread.
fn first_byte(reader: &mut impl BufRead) -> std::io::Result<Option<u8>> {
    loop {
        let bytes = reader.fill_buf()?;
        match bytes.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(at) => return Ok(Some(bytes[at])),
            None if bytes.is_empty() => return Ok(None),
            None => {
                let length = bytes.len();
                reader.consume(length);
            }
        }
    }
}

fn broken(error: &serde_json::Error) -> (SkipReason, String) {
    match error.is_io() {
        true => (SkipReason::Unreadable, error.to_string()),
        false => {
            let text = error.to_string();
            let cause = text.split(" at line ").next().unwrap_or(&text);
            let place = format!("line {}, column {} of the file", error.line(), error.column());
            (SkipReason::BrokenRecord, format!("not JSON: {cause} ({place})"))
        }
    }
}

/// The records of a file, sent one by one.
struct Records<'a, 'd, 'r, 's> {
    key: &'a str,
    left: Left,
    documents: &'d mut Documents<'r, 's>,
    /// Records so far.
    number: u64,
    /// What the receiver of the documents answered last.
    end: Flow,
}

impl Records<'_, '_, '_, '_> {
    /// Sends a record; false where the receiver wants no more.
    fn send(&mut self, value: &Value) -> bool {
        self.left.renew();
        self.number += 1;
        self.end = self.documents.record(self.number, || record::text_of(value, self.key));
        matches!(self.end, Ok(ControlFlow::Continue(())))
    }

    fn sequence<R: Read>(
        &mut self,
        json: &mut serde_json::Deserializer<serde_json::de::IoRead<R>>,
    ) -> serde_json::Result<()> {
        while json.end().is_err() {
            if !self.send(&Value::deserialize(&mut *json)?) {
                break;
            }
        }
        Ok(())
    }

    fn array<R: Read>(
        &mut self,
        json: &mut serde_json::Deserializer<serde_json::de::IoRead<R>>,
    ) -> serde_json::Result<()> {
        json.deserialize_seq(Elements(self))?;
        json.end()
    }
}

/// Sends each element of an array.
struct Elements<'e, 'a, 'd, 'r, 's>(&'e mut Records<'a, 'd, 'r, 's>);

impl<'de> Visitor<'de> for Elements<'_, '_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(value) = sequence.next_element::<Value>()? {
            if !self.0.send(&value) {
                // The caller knows why.
                return Err(A::Error::custom("no more is wanted"));
            }
        }
        Ok(())
    }
}
