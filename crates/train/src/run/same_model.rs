//! Whether weights are those of a model that is wanted, told by their configurations.

use std::path::Path;

use percept_fault::{Fault, Result};
use percept_model::ModelConfig;
use serde::Serialize;

/// Whether a key of a language model does not matter to its weights: how they are first drawn and regularised.
fn is_free(key: &str) -> bool {
    key.ends_with("dropout") || ["z_loss", "initialisation", "init_std"].contains(&key)
}

/// Refuses weights of another language model.
///
/// # Errors
/// As [`check_config`].
pub(crate) fn check_model(path: &Path, found: &ModelConfig, wanted: &ModelConfig) -> Result<()> {
    check_config(path, "model", (found, wanted), is_free)
}

/// Refuses weights of another model than the one that is wanted; `name` is that of the table with its keys.
///
/// # Errors
/// A usage fault that names the first key whose value differs, but for those that are free.
pub(crate) fn check_config<C: Serialize>(
    path: &Path,
    name: &str,
    (found, wanted): (&C, &C),
    is_free: impl Fn(&str) -> bool,
) -> Result<()> {
    let (found, wanted) = (table(found)?, table(wanted)?);
    let differs = |key: &&String| !is_free(key) && found.get(*key) != wanted.get(*key);
    let Some(key) = found.keys().chain(wanted.keys()).find(differs) else { return Ok(()) };
    let [found, wanted] =
        [&found, &wanted].map(|table| table.get(key).map_or("not set".to_owned(), toml::Value::to_string));
    Err(Fault::usage(format!(
        "{} is of another model: {name}.{key} is {found} there and {wanted} here",
        path.display()
    ))
    .hint(format!("use the same [{name}] table, e.g. --set {name}.{key}={found}")))
}

/// A configuration by its keys; one that has none is a key.
fn table(config: &impl Serialize) -> Result<toml::Table> {
    match toml::Value::try_from(config) {
        Ok(toml::Value::Table(table)) => Ok(table),
        Ok(value) => Ok(toml::Table::from_iter([("config".to_owned(), value)])),
        Err(error) => Err(Fault::internal("the configuration can't be serialised").because(error)),
    }
}
