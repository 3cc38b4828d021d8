//! The keys that a configuration may have, taken from its JSON schema.

use std::collections::BTreeMap;

use percept_fault::{Fault, Result, nearest};
use serde_json::Value;

use crate::config::layering::Origin;
use crate::config::task_kind::TaskKind;

/// The tree of keys.
#[derive(Debug)]
pub(crate) struct Keys {
    schema: Value,
    flat: BTreeMap<String, Vec<String>>,
}

impl Keys {
    /// The keys of a JSON schema with references into its own `$defs`; `flat` are keys that stand for keys of tables, with
    /// those.
    pub(crate) fn of(schema: Value, flat: BTreeMap<String, Vec<String>>) -> Self {
        Self { schema, flat }
    }

    /// Every flat key with the keys that it stands for.
    pub(crate) fn flat(&self) -> &BTreeMap<String, Vec<String>> {
        &self.flat
    }

    /// Whether flat keys stand for keys of this table.
    pub(crate) fn has_flat_in(&self, table: &str) -> bool {
        self.flat.values().flatten().any(|name| name.rsplit_once('.').is_some_and(|(of, _)| of == table))
    }

    /// Refuses a path like `model.dim` or `data.sources[0].weight` that leads nowhere.
    pub(crate) fn check(&self, path: &str, origin: &Origin) -> Result<()> {
        let mut nodes = vec![&self.schema];
        let mut walked = String::new();
        for part in path.split(['.', '[']) {
            nodes = self.resolve(&nodes);
            if part.ends_with(']') {
                nodes = nodes.iter().filter_map(|node| node.get("items")).collect();
                continue;
            }
            let names: Vec<&str> = names_in(&nodes);
            // A leaf: whatever stands below it is a wrong type, which reading the value reports.
            if names.is_empty() {
                return Ok(());
            }
            if !names.contains(&part) {
                return Err(self.unknown(path, part, &walked, &names, origin));
            }
            nodes = nodes.iter().filter_map(|node| node["properties"].get(part)).collect();
            walked = join(&walked, part);
        }
        Ok(())
    }

    /// Whether the key takes strings and nothing else.
    pub(crate) fn takes_only_text(&self, path: &str) -> bool {
        let mut nodes = vec![&self.schema];
        for part in path.split('.') {
            nodes = self.resolve(&nodes);
            nodes = nodes.iter().filter_map(|node| node.get("properties")?.get(part)).collect();
        }
        let nodes = self.resolve(&nodes);
        let is_text = |kind: &Value| kind == "string" || kind == "null";
        !nodes.is_empty()
            && nodes.iter().filter_map(|node| node.get("type")).all(|kind| match kind {
                Value::Array(kinds) => kinds.iter().all(is_text),
                kind => is_text(kind),
            })
    }

    /// Follows references and alternatives to nodes that have neither.
    fn resolve<'a>(&'a self, nodes: &[&'a Value]) -> Vec<&'a Value> {
        let mut resolved = Vec::new();
        for node in nodes {
            if let Some(name) = node.get("$ref").and_then(Value::as_str) {
                let target = self.schema.pointer(name.trim_start_matches('#'));
                resolved.extend(target.map(|target| self.resolve(&[target])).unwrap_or_default());
            }
            for alternatives in ["anyOf", "oneOf", "allOf"] {
                if let Some(Value::Array(alternatives)) = node.get(alternatives) {
                    resolved.extend(self.resolve(&alternatives.iter().collect::<Vec<_>>()));
                }
            }
            if node.get("type").is_some() || node.get("properties").is_some() {
                resolved.push(node);
            }
        }
        resolved
    }

    fn unknown(&self, path: &str, part: &str, table: &str, names: &[&str], origin: &Origin) -> Fault {
        let hint = match nearest(part, names.iter().copied()) {
            Some(near) => format!("did you mean `{}`?", join(table, near)),
            None => match self.find(part) {
                Some(elsewhere) => format!("did you mean `{elsewhere}`?"),
                None if table.is_empty() => format!("the tables are: {}", names.join(", ")),
                None => format!("the keys of [{table}] are: {}", names.join(", ")),
            },
        };
        Fault::usage(format!("{origin}: unknown key `{path}`")).hint(hint)
    }

    /// A key of this name in one of the tables, first of all in those that count where nothing is said of a task.
    fn find(&self, name: &str) -> Option<String> {
        let others = TaskKind::default().foreign_tables();
        let (rest, first): (Vec<_>, Vec<_>) =
            names_in(&[&self.schema]).into_iter().partition(|table| others.contains(table));
        first.into_iter().chain(rest).find_map(|table| {
            let nodes = self.resolve(&[&self.schema["properties"][table]]);
            names_in(&nodes).contains(&name).then(|| join(table, name))
        })
    }
}

fn names_in<'a>(nodes: &[&'a Value]) -> Vec<&'a str> {
    let tables = nodes.iter().filter_map(|node| node.get("properties")?.as_object());
    tables.flat_map(|table| table.keys().map(String::as_str)).collect()
}

fn join(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}
