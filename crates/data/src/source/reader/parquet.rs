//! A Parquet table: a document per row, from one column.

use std::fs::File;
use std::ops::ControlFlow;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::super::read::{Documents, Flow};
use super::super::{SkipReason, Stamp};
use super::record;

/// Sends the text in column `key` of each row, numbered from 1. A page of one column at a time is in memory.
pub(super) fn read(file: &Stamp, key: &str, documents: &mut Documents<'_, '_>) -> Flow {
    let opened = File::open(&file.path).map_err(Into::into).and_then(SerializedFileReader::new);
    let table = match opened {
        Ok(table) => table,
        Err(error) => return documents.bad(0, SkipReason::Unreadable, error.to_string()),
    };
    let schema = table.metadata().file_metadata().schema();
    let Some(column) = schema.get_fields().iter().find(|field| field.name() == key) else {
        let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
        return documents.bad(0, SkipReason::BrokenRecord, record::no_column(key, names.into_iter()));
    };
    let projection = Type::group_type_builder(schema.name()).with_fields(vec![column.clone()]).build();
    let rows = match projection.and_then(|projection| table.get_row_iter(Some(projection))) {
        Ok(rows) => rows,
        Err(error) => return documents.bad(0, SkipReason::Unreadable, error.to_string()),
    };
    for (row, number) in rows.zip(1..) {
        let flow = match row {
            Ok(row) => documents.record(number, || text(&row, key))?,
            Err(error) => return documents.bad(number, SkipReason::Unreadable, error.to_string()),
        };
        if flow.is_break() {
            return Ok(flow);
        }
    }
    documents.reading.passed(file.size);
    Ok(ControlFlow::Continue(()))
}

/// The text of the only column.
fn text<'r>(row: &'r Row, key: &str) -> Result<&'r [u8], String> {
    match row.get_column_iter().next() {
        Some((_, Field::Str(text))) => Ok(text.as_bytes()),
        Some((_, Field::Bytes(bytes))) => Ok(bytes.data()),
        _ => Err(format!("the value of `{key}` is not a string")),
    }
}
