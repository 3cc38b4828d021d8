//! The text of a JSON record.

use std::fmt;

use percept_fault::nearest;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The string under `key` of the record in `line`, or what is wrong with the line.
pub(super) fn text(line: &[u8], key: &str) -> Result<String, String> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let found = Record { key }.deserialize(&mut json).and_then(|found| json.end().map(|()| found));
    match found.map_err(|error| place(&error))? {
        Found::Text(text) => Ok(text),
        Found::NoText => Err(no_text(key)),
        Found::Keys(keys) => Err(no_key(key, keys.iter().map(String::as_str))),
    }
}

/// The string under `key` of a record, or what is wrong with it.
pub(super) fn text_of<'v>(record: &'v Value, key: &str) -> Result<&'v str, String> {
    let Value::Object(record) = record else { return Err("not a JSON record: it is no object".into()) };
    match record.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(no_text(key)),
        None => Err(no_key(key, record.keys().map(String::as_str))),
    }
}

fn no_text(key: &str) -> String {
    format!("the value of `{key}` is not a string")
}

fn no_key<'k>(key: &str, keys: impl Iterator<Item = &'k str> + Clone) -> String {
    format!("the record has no key `{key}`; {}", others("keys", key, keys))
}

/// The table has no such column.
pub(super) fn no_column<'k>(key: &str, columns: impl Iterator<Item = &'k str> + Clone) -> String {
    format!("the table has no column `{key}`; {}", others("columns", key, columns))
}

/// What could have been meant by `key`.
fn others<'k>(what: &str, key: &str, names: impl Iterator<Item = &'k str> + Clone) -> String {
    match nearest(key, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its {what}: {}", names.collect::<Vec<_>>().join(", ")),
    }
}

/// The cause without the line number, which counts from this line.
fn place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let cause = text.split(" at line ").next().unwrap_or(&text);
    format!("not a JSON record: {cause} (column {})", error.column())
}

enum Found {
    Text(String),
    NoText,
    Keys(Vec<String>),
}

/// Reads one value of an object and passes over the others.
struct Record<'a> {
    key: &'a str,
}

impl<'de> DeserializeSeed<'de> for Record<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Record<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let (mut found, mut keys) = (None, Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            if key == self.key && found.is_none() {
                found = Some(map.next_value_seed(Text)?);
            } else {
                map.next_value::<IgnoredAny>()?;
                keys.push(key);
            }
        }
        Ok(match found {
            Some(Some(text)) => Found::Text(text),
            Some(None) => Found::NoText,
            None => Found::Keys(keys),
        })
    }
}

/// A string, or `None` for any other value.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(text))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_found_among_other_values() {
        let line = br#"{"id": [1, {"text": "no"}], "text": "a\n\u00e9\u0000", "text2": null}"#;
        assert_eq!(text(line, "text").unwrap(), "a\né\0");
    }

    #[test]
    fn broken_lines_say_what_is_wrong() {
        let cases: [(&[u8], &str); 8] = [
            (br#"{"text": "a""#, "EOF"),
            (br#"["text"]"#, "expected an object"),
            (br#"{"text": 3}"#, "the value of `text` is not a string"),
            (br#"{"text": ["a", {"b": null}]}"#, "the value of `text` is not a string"),
            (br#"{"texts": "a"}"#, "did you mean `texts`?"),
            (br#"{"body": "a", "id": 1}"#, "its keys: body, id"),
            (br#"{"text": "a"} x"#, "trailing characters"),
            (b"{\"text\": \"\xff\"}", "invalid unicode"),
        ];
        for (line, message) in cases {
            let error = text(line, "text").unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
