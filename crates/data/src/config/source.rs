//! One source of text.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::Format;

/// One source of text. In TOML either a string (the path) or a table.
///
/// ```
/// use percept_data::{DataConfig, SourceConfig};
/// let config = DataConfig {
///     sources: vec![
///         "books".into(),
///         SourceConfig { name: Some("letters".into()), text_key: Some("body".into()), ..SourceConfig::new("mail.jsonl") },
///     ],
///     ..DataConfig::default()
/// };
/// // In TOML, the one with nothing but a path is that path.
/// let text = toml::to_string(&config).unwrap();
/// assert!(text.contains(r#"sources = ["books", { path = "mail.jsonl", name = "letters", text_key = "body" }]"#), "{text}");
/// assert_eq!(config.sources[1].label(), "letters");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceConfig {
    /// A file, a folder, `-` for standard input, or `synthetic:NAME?option=value&...`.
    pub path: String,
    /// Share of the training windows that come from this source, relative to the other weights.
    pub weight: Option<f64>,
    /// What reports and messages call it (of a folder, reports only); default: the path.
    pub name: Option<String>,
    /// Key of the text in records; default: that of the whole table.
    pub text_key: Option<String>,
    /// How files are read; default: by their name.
    pub format: Format,
}

impl SourceConfig {
    /// The source at `path`, with every other value at its default.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// What reports call it.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.path)
    }
}

impl From<&str> for SourceConfig {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

/// The table form of a [`SourceConfig`].
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    /// A file, a folder, `-` for standard input, or `synthetic:NAME?option=value&...`.
    path: String,
    /// Share of the training windows that come from this source, relative to the other weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    /// What reports call it; default: the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Key of the text in records; default: that of the whole table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text_key: Option<String>,
    /// How files are read; default: by their name.
    #[serde(default, skip_serializing_if = "Format::is_auto")]
    format: Format,
}

impl Serialize for SourceConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { path, weight, name, text_key, format } = self.clone();
        if weight.is_none() && name.is_none() && text_key.is_none() && format.is_auto() {
            return serializer.serialize_str(&path);
        }
        SourceTable { path, weight, name, text_key, format }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SourceConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrTable;
        impl<'de> Visitor<'de> for PathOrTable {
            type Value = SourceConfig;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a path, or a table with `path`")
            }

            fn visit_str<E>(self, path: &str) -> Result<SourceConfig, E> {
                Ok(SourceConfig::new(path))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SourceConfig, A::Error> {
                let SourceTable { path, weight, name, text_key, format } =
                    SourceTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(SourceConfig { path, weight, name, text_key, format })
            }
        }
        deserializer.deserialize_any(PathOrTable)
    }
}

impl JsonSchema for SourceConfig {
    fn schema_name() -> Cow<'static, str> {
        "SourceConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = SourceTable::json_schema(generator);
        json_schema!({ "description": "A path, or a table.", "anyOf": [{ "type": "string" }, table] })
    }
}
