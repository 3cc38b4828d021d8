//! Layers of configuration and where each value came from.
//!
//! Knows TOML and key paths, not what the keys mean.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use percept_fault::{Fault, IoContext, Result};
use serde::de::DeserializeOwned;
use toml::Value;
use toml::de::{DeTable, DeValue};

use crate::config::keys::Keys;

/// Where a value came from; error messages start with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A preset that ships with the program.
    Preset(String),
    /// A line (from 1) of a file.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag with its value, e.g. `--set model.dim=512`.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Preset(name) => write!(f, "preset {name}"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Flag(text) => f.write_str(text),
        }
    }
}

/// One value for one key, from a flag or an environment variable.
#[derive(Debug, Clone)]
pub struct Override {
    key: String,
    value: Written,
    origin: Origin,
}

#[derive(Debug, Clone)]
enum Written {
    /// Text that becomes a string, number, ... as the key demands.
    Text(String),
    Typed(Value),
}

impl Override {
    /// `KEY=VALUE`, as after `--set`. The value is TOML; what is no TOML is a string.
    ///
    /// ```
    /// assert!(percept_train::Override::set("model.dim=512").is_ok());
    /// assert!(percept_train::Override::set("model.dim").unwrap_err().is_usage());
    /// ```
    pub fn set(assignment: &str) -> Result<Self> {
        let (key, value) = assignment.split_once('=').ok_or_else(|| {
            Fault::usage(format!("--set {assignment}: no `=`")).hint("write --set KEY=VALUE, e.g. --set model.dim=512")
        })?;
        Ok(Self {
            key: key.trim().to_owned(),
            value: Written::Text(value.trim().to_owned()),
            origin: Origin::Flag(format!("--set {assignment}")),
        })
    }

    /// A flag of its own for a key, e.g. `Override::flag("--steps 500", "train.steps", 500)`.
    pub fn flag(flag: impl Into<String>, key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: Written::Typed(value.into()), origin: Origin::Flag(flag.into()) }
    }

    /// A value from a place in a file.
    pub(crate) fn typed(key: String, value: Value, origin: Origin) -> Self {
        Self { key, value: Written::Typed(value), origin }
    }

    /// The overrides among environment variables: `PERCEPT_TRAIN__STEPS=500` sets `train.steps`.
    ///
    /// Two underscores stand for the dot; a variable without them (`PERCEPT_THREADS`) is no key.
    pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Self> {
        let mut overrides: Vec<Self> = variables
            .into_iter()
            .filter_map(|(name, value)| {
                let key = name.strip_prefix("PERCEPT_")?;
                let key = key.contains("__").then(|| key.to_lowercase().replace("__", "."))?;
                Some(Self { key, value: Written::Text(value), origin: Origin::Environment(name) })
            })
            .collect();
        overrides.sort_by(|a, b| a.key.cmp(&b.key));
        overrides
    }

    /// Whether it is an environment variable.
    pub(crate) fn is_variable(&self) -> bool {
        matches!(self.origin, Origin::Environment(_))
    }

    /// The dotted key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where it stands, in words: a flag, a variable, or a line of a file.
    pub fn origin(&self) -> impl fmt::Display {
        &self.origin
    }
}

/// Values merged so far, later layers over earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    values: toml::Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// Lays a TOML document over the values; `origin` tells a line's origin.
    pub(crate) fn add_document(&mut self, text: &str, keys: &Keys, origin: &dyn Fn(usize) -> Origin) -> Result<()> {
        let document = DeTable::parse(text).map_err(|error| syntax_fault(&error, text, origin))?;
        let lines = Lines { text, origin };
        let mut found = Vec::new();
        collect(document.get_ref(), "", &lines, &mut found);
        for (path, origin) in &found {
            keys.check(path, origin)?;
        }
        let values: toml::Table = toml::from_str(text).map_err(|error| syntax_fault(&error, text, origin))?;
        let value = |key: &str| get(&values, key).map(Value::to_string);
        let written: Vec<_> =
            found.iter().filter_map(|(key, origin)| Some((key.as_str(), value(key)?, origin))).collect();
        check_names(&written, keys)?;
        for (path, _) in &found {
            self.make_way(path, keys);
        }
        self.origins.extend(found);
        merge(&mut self.values, values);
        Ok(())
    }

    /// Takes other names of a key out, before it gets a value: a flat key leaves its value to the tables that keep it.
    fn make_way(&mut self, key: &str, keys: &Keys) {
        for (flat, names) in keys.flat() {
            if flat == key {
                for name in names {
                    remove(&mut self.values, name);
                    self.origins.remove(name);
                }
            } else if names.iter().any(|name| name == key)
                && let Some(value) = remove(&mut self.values, flat)
            {
                let origin = self.origins.remove(flat);
                for name in names {
                    insert(&mut self.values, name, value.clone());
                    self.origins.extend(origin.clone().map(|origin| (name.clone(), origin)));
                }
            }
        }
    }

    /// Lays one value over the others.
    pub(crate) fn add_override(&mut self, change: &Override, keys: &Keys) -> Result<()> {
        keys.check(&change.key, &change.origin)?;
        let value = match &change.value {
            Written::Typed(value) => value.clone(),
            Written::Text(text) => {
                let typed = parse_value(text).filter(|value| value.is_str() || !keys.takes_only_text(&change.key));
                typed.unwrap_or_else(|| Value::String(text.to_owned()))
            }
        };
        self.set(&change.key, value, &change.origin, keys)
    }

    fn set(&mut self, key: &str, value: Value, origin: &Origin, keys: &Keys) -> Result<()> {
        if let Value::Table(table) = &value
            && keys.has_flat_in(key)
        {
            let mut entries = table.iter().map(|(name, value)| (format!("{key}.{name}"), value.clone()));
            return entries.try_for_each(|(key, value)| {
                keys.check(&key, origin)?;
                self.set(&key, value, origin, keys)
            });
        }
        self.make_way(key, keys);
        if let Some(part) = insert(&mut self.values, key, value) {
            return Err(Fault::usage(format!("{origin}: `{part}` is a value, not a table")));
        }
        self.origins.insert(key.to_owned(), origin.clone());
        Ok(())
    }

    /// A top-level string, taken out.
    pub(crate) fn take_string(&mut self, key: &str) -> Option<String> {
        match self.values.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The typed configuration; an error names the key and where its value came from.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T> {
        serde_path_to_error::deserialize(Value::Table(self.values.clone())).map_err(|error| {
            let path = error.path().to_string();
            let path = self.wrong_key::<T>(&path).unwrap_or(path);
            let cause = error.inner().to_string();
            let cause = cause.lines().next().unwrap_or_default();
            let place = origin_of(&self.origins, &path).map(|origin| format!("{origin}: ")).unwrap_or_default();
            Fault::usage(format!("{place}`{path}`: {cause}"))
                .hint("`percept presets --schema` lists the keys and their types")
        })
    }

    /// The key below `table` without which all can be read: tables that are flattened into another one do not tell.
    fn wrong_key<T: DeserializeOwned>(&self, table: &str) -> Option<String> {
        let below = |key: &&String| key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'));
        let reads_without = |key: &&String| {
            let mut values = self.values.clone();
            remove(&mut values, key).is_some() && Value::Table(values).try_into::<T>().is_ok()
        };
        self.origins.keys().filter(below).filter(reads_without).max_by_key(|key| key.len()).cloned()
    }

    /// Where every value came from.
    pub(crate) fn origins(&self) -> &BTreeMap<String, Origin> {
        &self.origins
    }

    /// Where the value of a key came from.
    pub(crate) fn origin(&self, key: &str) -> Option<&Origin> {
        origin_of(&self.origins, key)
    }
}

/// Takes the value of a dotted key out.
fn remove(table: &mut toml::Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => table.remove(key),
        Some((first, rest)) => remove(table.get_mut(first)?.as_table_mut()?, rest),
    }
}

/// The value of a dotted key.
fn get<'a>(table: &'a toml::Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => get(table.get(first)?.as_table()?, rest),
    }
}

/// Puts the value of a dotted key in; the part of the key that is a value and no table, if one is.
fn insert<'a>(table: &mut toml::Table, key: &'a str, value: Value) -> Option<&'a str> {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return None;
    };
    let entry = table.entry(first).or_insert_with(|| Value::Table(toml::Table::new()));
    match entry.as_table_mut() {
        Some(table) => insert(table, rest, value),
        None => Some(first),
    }
}

/// Refuses two names of one key with different values, in what has no order: a document, the environment.
pub(crate) fn check_names(written: &[(&str, String, &Origin)], keys: &Keys) -> Result<()> {
    for (flat, names) in keys.flat() {
        let Some((_, value, there)) = written.iter().find(|(key, ..)| key == flat) else { continue };
        let differs = |(key, own, _): &&(&str, String, &Origin)| names.iter().any(|name| name == key) && own != value;
        if let Some((name, own, here)) = written.iter().find(differs) {
            return Err(Fault::usage(format!("{here}: `{name}` = {own} contradicts `{flat}` = {value} ({there})"))
                .hint(format!("`{flat}` sets `{name}` too: leave one of them out")));
        }
    }
    Ok(())
}

/// [`check_names`] for changes.
pub(crate) fn check_changes<'a>(changes: impl Iterator<Item = &'a Override>, keys: &Keys) -> Result<()> {
    let written = changes.map(|change| {
        let value = match &change.value {
            Written::Text(text) => text.clone(),
            Written::Typed(value) => value.to_string(),
        };
        (change.key.as_str(), value, &change.origin)
    });
    check_names(&written.collect::<Vec<_>>(), keys)
}

/// The origin of the key, or of the nearest table or list around it.
pub(crate) fn origin_of<'a>(origins: &'a BTreeMap<String, Origin>, path: &str) -> Option<&'a Origin> {
    let mut path = path;
    loop {
        if let Some(origin) = origins.get(path) {
            return Some(origin);
        }
        path = &path[..path.rfind(['.', '['])?];
    }
}

/// Text of a flag or variable as a TOML value, if it is one.
fn parse_value(text: &str) -> Option<Value> {
    toml::from_str::<toml::Table>(&format!("value = {text}")).ok()?.remove("value")
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

struct Lines<'a> {
    text: &'a str,
    origin: &'a dyn Fn(usize) -> Origin,
}

impl Lines<'_> {
    fn at(&self, offset: usize) -> Origin {
        (self.origin)(line_of(self.text, offset))
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

/// Every key of a document with the place where it stands.
fn collect(table: &DeTable<'_>, prefix: &str, lines: &Lines<'_>, found: &mut Vec<(String, Origin)>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        found.push((path.clone(), lines.at(key.span().start)));
        collect_value(value.get_ref(), &path, lines, found);
    }
}

fn collect_value(value: &DeValue<'_>, path: &str, lines: &Lines<'_>, found: &mut Vec<(String, Origin)>) {
    match value {
        DeValue::Table(table) => collect(table, path, lines, found),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                found.push((path.clone(), lines.at(item.span().start)));
                collect_value(item.get_ref(), &path, lines, found);
            }
        }
        _ => {}
    }
}

fn syntax_fault(error: &toml::de::Error, text: &str, origin: &dyn Fn(usize) -> Origin) -> Fault {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    Fault::usage(format!("{}: {}", origin(line), error.message().replace('\n', "; ")))
        .hint("the file is TOML: tables in brackets, then `key = value` lines")
}

/// Reads a configuration file.
pub(crate) fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).at("read", path)
}
