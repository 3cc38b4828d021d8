//! How the tables of the sublayers' own keys are read and written, beside the flat keys that stand for some of them.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, de};
use serde_json::{Map, Value, json};

use super::{FlatKey, Options};

/// Tables and flat keys with their values, as they are written.
pub(crate) type Written = BTreeMap<String, Value>;

/// The table of one sublayer.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name in `[model.NAME]`.
    pub(crate) name: &'static str,
    /// Those of its keys that are keys of `[model]` too.
    pub(crate) flat: &'static [FlatKey],
    /// The values of its keys.
    pub(crate) values: Map<String, Value>,
    defaults: Map<String, Value>,
}

impl Table {
    pub(crate) fn of<T: Options>(name: &'static str, options: &T) -> Self {
        Self { name, flat: T::FLAT, values: values(options), defaults: values(&T::default()) }
    }
}

fn values<T: Options>(options: &T) -> Map<String, Value> {
    match serde_json::to_value(options) {
        Ok(Value::Object(values)) => values,
        _ => Map::new(),
    }
}

/// The tables of a registry of sublayers.
pub(crate) trait Tables: Default {
    /// All of them.
    fn tables(&self) -> Vec<Table>;

    /// Their names and those of their flat keys.
    fn names() -> &'static [&'static str];

    /// Reads all of them; the error is in words.
    fn read(written: &Written) -> Result<Self, String>;

    /// Writes the table of that name.
    fn write<M: SerializeMap>(&self, name: &str, map: &mut M) -> Result<(), M::Error>;

    /// Of every table: a reference to its schema, and the schema.
    fn schemas(generator: &mut SchemaGenerator) -> Vec<[Schema; 2]>;

    /// With another value for one key: `NAME.KEY`, or a flat key, which sets it in every table that has it.
    fn with(&self, key: &str, value: &Value) -> Result<Self, String> {
        let mut written = Written::new();
        for Table { name, flat, mut values, .. } in self.tables() {
            let own = key.split_once('.').filter(|(table, _)| *table == name).map(|(_, key)| key);
            let flat = flat.iter().map(|flat| flat.name).find(|flat| *flat == key);
            if let Some(key) = own.or(flat) {
                values.insert(key.to_owned(), value.clone());
            }
            written.insert(name.to_owned(), Value::Object(values));
        }
        Self::read(&written)
    }
}

/// The names of tables and of their flat keys.
pub(crate) fn names(tables: &[Table]) -> Vec<&'static str> {
    let mut names: Vec<_> = tables.iter().map(|table| table.name).collect();
    names.extend(tables.iter().flat_map(|table| table.flat).map(|flat| flat.name));
    names.sort_unstable();
    names.dedup();
    names
}

/// The options of one sublayer out of what is written: its table, and the flat keys.
///
/// # Errors
/// In words: a value of the wrong type, an unknown key, or two names of a key that contradict each other.
pub(crate) fn read_table<T: Options>(name: &str, written: &Written) -> Result<T, String> {
    let mut table = match written.get(name) {
        None => Map::new(),
        Some(Value::Object(table)) => table.clone(),
        Some(other) => return Err(format!("`{name}` is {other}, not a table")),
    };
    for key in T::FLAT.iter().map(|key| key.name) {
        let Some(flat) = written.get(key) else { continue };
        match table.insert(key.to_owned(), flat.clone()) {
            Some(own) if own != *flat => {
                return Err(format!("`{key}` is {flat} and `{name}.{key}` is {own}: they are two names of one key"));
            }
            _ => {}
        }
    }
    serde_json::from_value(Value::Object(table)).map_err(|error| error.to_string())
}

/// Reads the tables of a registry, and their flat keys, out of a configuration into which they are flattened.
pub(crate) fn deserialize_tables<'de, T: Tables + 'de, D: Deserializer<'de>>(
    name: &'static str,
    deserializer: D,
) -> Result<T, D::Error> {
    struct Read<T>(PhantomData<T>);

    impl<'de, T: Tables> Visitor<'de> for Read<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("tables of keys")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
            let mut written = Written::new();
            while let Some((key, value)) = map.next_entry()? {
                written.insert(key, value);
            }
            T::read(&written).map_err(de::Error::custom)
        }
    }

    deserializer.deserialize_struct(name, T::names(), Read(PhantomData))
}

/// The flat keys of a configuration.
pub(crate) struct FlatValues {
    /// Each with its value; none where the tables that have the key differ in it.
    keys: Vec<(FlatKey, Option<Value>)>,
}

impl FlatValues {
    pub(crate) fn of(tables: &[Table]) -> Self {
        let mut keys: Vec<(FlatKey, Option<Value>)> = Vec::new();
        for (table, key) in tables.iter().flat_map(|table| table.flat.iter().map(move |key| (table, key))) {
            let value = table.values.get(key.name);
            match keys.iter_mut().find(|(known, _)| known.name == key.name) {
                Some((_, known)) if known.as_ref() != value => *known = None,
                Some(_) => {}
                None => keys.push((*key, value.cloned())),
            }
        }
        Self { keys }
    }

    /// Writes those that follow a key.
    pub(crate) fn write_after<M: SerializeMap>(&self, key: &str, map: &mut M) -> Result<(), M::Error> {
        for (flat, value) in self.keys.iter().filter(|(flat, _)| flat.after == key) {
            if let Some(value) = value {
                map.serialize_entry(flat.name, value)?;
            }
            self.write_after(flat.name, map)?;
        }
        Ok(())
    }

    /// Whether a table has values that flat keys do not tell, or others than its defaults: then it is written.
    pub(crate) fn lack(&self, table: &Table) -> bool {
        let untold = |name: &str| self.keys.iter().any(|(flat, value)| flat.name == name && value.is_none());
        table.values.iter().any(|(name, value)| {
            let is_default = table.defaults.get(name) == Some(value);
            match table.flat.iter().find(|flat| flat.name == name) {
                Some(flat) => untold(name) && !(flat.later && is_default),
                None => !is_default,
            }
        })
    }
}

/// A reference to the schema of one table, and the schema.
pub(crate) fn schemas<T: Options>(summary: &str, generator: &mut SchemaGenerator) -> [Schema; 2] {
    let mut reference = generator.subschema_for::<T>();
    reference.insert("description".into(), json!(summary));
    [reference, T::json_schema(generator)]
}

/// The tables and flat keys as properties; a flat key says what it means in each table.
pub(crate) fn schema_of_tables<T: Tables>(generator: &mut SchemaGenerator) -> Schema {
    let mut properties = Map::new();
    for (table, [reference, schema]) in T::default().tables().iter().zip(T::schemas(generator)) {
        properties.insert(table.name.to_owned(), reference.to_value());
        for key in table.flat {
            let mut property = schema.get("properties").map_or(Value::Null, |keys| keys[key.name].clone());
            let meaning = property["description"].as_str().unwrap_or_default();
            let mut meanings = format!("`{}`: {meaning}", table.name);
            if let Some(known) = properties.get(key.name) {
                meanings = format!("{} {meanings}", known["description"].as_str().unwrap_or_default());
            }
            property["description"] = json!(meanings);
            property["default"] = table.defaults.get(key.name).cloned().unwrap_or_default();
            properties.insert(key.name.to_owned(), property);
        }
    }
    json_schema!({ "type": "object", "properties": properties })
}
