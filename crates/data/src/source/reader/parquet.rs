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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::ByteArrayType;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use crate::testing::{Folder, corpus, texts, words};
    use crate::{DataConfig, Tokenizer};

    /// A table with two columns of strings, the second of which may be null, in two row groups.
    fn table() -> Vec<u8> {
        let schema = "message table { required binary title (UTF8); optional binary text (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::default())).unwrap();
        for (titles, rows, defined) in
            [(&["A", "B"][..], &["first", "second"][..], &[1, 1][..]), (&["C", "D"], &["fourth"], &[0, 1])]
        {
            let mut group = writer.next_row_group().unwrap();
            for (values, levels) in [(titles, None), (rows, Some(defined))] {
                let values: Vec<_> = values.iter().map(|&value| value.into()).collect();
                let mut column = group.next_column().unwrap().unwrap();
                column.typed::<ByteArrayType>().write_batch(&values, levels, None).unwrap();
                column.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.into_inner().unwrap()
    }

    #[test]
    fn rows_are_documents() {
        let folder = Folder::with(&[("a.parquet", &table())]);
        let title = DataConfig { text_key: "title".into(), ..folder.config() };
        let bytes = Tokenizer::bytes();
        assert_eq!(texts(&corpus(&title, &bytes).unwrap().0, &bytes), ["A", "B", "C", "D"]);
        let fault = corpus(&folder.config(), &bytes).unwrap_err();
        assert!(fault.to_string().ends_with("a.parquet:3: the value of `text` is not a string"), "{fault}");
        let skipping = DataConfig { on_error: crate::OnError::Skip, ..folder.config() };
        let (kept, _) = corpus(&skipping, &bytes).unwrap();
        assert_eq!(texts(&kept, &bytes), ["first", "second", "fourth"]);
        assert!(kept.document(2).name.ends_with("a.parquet:4"));
    }

    #[test]
    fn broken_tables_and_missing_columns_are_named() {
        let cut = &table()[..40];
        let folder = Folder::with(&[("a.parquet", cut), ("b/b.parquet", &table()), ("c.parquet", b"")]);
        for name in ["a.parquet", "c.parquet"] {
            let fault = corpus(&folder.config_of(&[name]), &Tokenizer::bytes()).unwrap_err();
            assert!(fault.to_string().contains(&format!("{name}: ")), "{fault}");
        }
        let body = DataConfig { text_key: "body".into(), ..folder.config_of(&["b"]) };
        let words = words(corpus(&body, &Tokenizer::bytes()).unwrap_err());
        assert!(words.contains("the table has no column `body`; its columns: title, text"), "{words}");
    }
}
