//! `percept runs diff`: what differs between runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use percept::files::json;
use percept::train::{Overview, RunConfig, RunFolder};
use percept::{Fault, Result};
use serde_json::Value;

use super::view::{loss, steps};
use crate::arguments::Global;
use crate::terminal::Style;
use crate::{human, table};

/// Arguments of `percept runs diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Run folders, at least two
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
}

impl Diff {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let configs: Vec<BTreeMap<String, Value>> =
            self.runs.iter().map(|run| flat(&RunFolder::existing(run)?.config()?)).collect::<Result<_>>()?;
        let keys = differences(&configs);
        let results: Vec<Overview> = self.runs.iter().map(|run| Overview::of(run)).collect();
        let names: Vec<String> = self.runs.iter().map(|run| human::path(run)).collect();
        let headings = |first: &'static str| -> Vec<&str> {
            std::iter::once(first).chain(names.iter().map(String::as_str)).collect()
        };
        match keys.is_empty() {
            true => terminal.text("the configurations are equal")?,
            false => {
                let rows = keys.iter().map(|(key, values)| {
                    std::iter::once(key.clone()).chain(values.iter().map(written)).collect::<Vec<_>>()
                });
                terminal.text(Style::Bold.out("configuration"))?;
                terminal.text(table::text(&headings("key"), rows))?;
            }
        }
        terminal.text(Style::Bold.out("\nresults"))?;
        terminal.text(table::text(&headings("figure"), result_rows(&results)))?;
        terminal.json(&serde_json::json!({ "runs": json::texts(&self.runs), "keys": keys, "results": results }))
    }
}

/// Figures of each run, side by side.
fn result_rows(results: &[Overview]) -> Vec<Vec<String>> {
    let row = |name: &str, value: &dyn Fn(&Overview) -> String| -> Vec<String> {
        std::iter::once(name.to_string()).chain(results.iter().map(value)).collect()
    };
    let mut rows = vec![
        row("status", &|run| run.status.name().to_string()),
        row("parameters", &|run| run.parameters.map_or("-".into(), human::grouped)),
        row("step", &steps),
        row("tokens", &|run| human::short(run.tokens as f64)),
        row("training time", &|run| human::duration(run.seconds)),
        row("training loss", &|run| loss(run.loss, run.bits_per_byte)),
        row("best validation", &|run| loss(run.best_loss, run.best_bits_per_byte)),
    ];
    if results.iter().any(|run| run.problem.is_some()) {
        rows.push(row("problem", &|run| run.problem.clone().unwrap_or_else(|| "-".into())));
    }
    rows
}

/// The keys with their values: `model.dim` and so on; lists are values.
fn flat(config: &RunConfig) -> Result<BTreeMap<String, Value>> {
    fn add(path: &str, value: Value, keys: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                    add(&path, value, keys);
                }
            }
            value => drop(keys.insert(path.to_string(), value)),
        }
    }
    let value = serde_json::to_value(config)
        .map_err(|error| Fault::internal("cannot compare configurations").because(error))?;
    let mut keys = BTreeMap::new();
    add("", value, &mut keys);
    Ok(keys)
}

/// The keys that are not equal in all configurations; a key that one does not have is null there.
fn differences(configs: &[BTreeMap<String, Value>]) -> BTreeMap<String, Vec<Value>> {
    let keys = configs.iter().flat_map(BTreeMap::keys);
    let values = |key: &String| -> Vec<Value> {
        configs.iter().map(|config| config.get(key).cloned().unwrap_or_default()).collect()
    };
    let differ = |values: &Vec<Value>| values.windows(2).any(|pair| pair[0] != pair[1]);
    keys.map(|key| (key.clone(), values(key))).filter(|(_, values)| differ(values)).collect()
}

fn written(value: &Value) -> String {
    match value {
        Value::Null => "-".to_string(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_differ_are_left() {
        let mut configs = [RunConfig::default(), RunConfig::default(), RunConfig::default()];
        configs[1].model.dim = 512;
        configs[2].train.init_from = Some("runs/first".into());
        let flat: Vec<_> = configs.iter().map(|config| flat(config).unwrap()).collect();
        assert_eq!(differences(&flat[..1]), BTreeMap::new());
        let found = differences(&flat);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["model.dim", "train.init_from"]);
        assert_eq!(found["model.dim"].iter().map(written).collect::<Vec<_>>(), ["256", "512", "256"]);
        assert_eq!(found["train.init_from"].iter().map(written).collect::<Vec<_>>(), ["-", "-", "runs/first"]);
    }
}
