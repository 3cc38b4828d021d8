//! A TOML file beside a run's configuration, read with the same care: unknown keys and wrong values are named with their line.

use std::collections::BTreeMap;
use std::path::Path;

use percept_fault::Result;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::config::keys::Keys;
use crate::config::layering::{Layers, Origin, Override, check_changes, origin_of, read_file};
use crate::config::resolve::keys;

/// A file that was read as a `T`, and where in it each key stands.
///
/// ```
/// use percept_train::Document;
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// /// A file of a program's own, beside the runs.
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Experiment {
///     question: String,
///     runs: u32,
/// }
///
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("experiment.toml");
/// std::fs::write(&path, "question = \"does it help?\"\nruns = 3\n").unwrap();
/// let experiment = Document::<Experiment>::read(&path)?;
/// assert_eq!((experiment.value.question.as_str(), experiment.value.runs), ("does it help?", 3));
/// // What is wrong with a value can be said with its place.
/// assert!(experiment.place("runs").ends_with("experiment.toml:2: "));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug)]
pub struct Document<T> {
    /// What it says.
    pub value: T,
    origins: BTreeMap<String, Origin>,
}

impl<T: JsonSchema + DeserializeOwned> Document<T> {
    /// Reads a file.
    ///
    /// # Errors
    /// Environment: it cannot be read. Usage: it is no TOML, or a key or value is wrong; the message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_file(path)?, path)
    }

    /// Reads the text of a file; `path` is what messages call it.
    ///
    /// # Errors
    /// Usage: as [`Document::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let keys = Keys::of(schemars::schema_for!(T).to_value(), BTreeMap::new());
        let mut layers = Layers::default();
        layers.add_document(text, &keys, &|line| Origin::File(path.to_path_buf(), line))?;
        let origins = layers.origins().clone();
        Ok(Self { value: layers.read()?, origins })
    }

    /// Where a key stands, as messages begin: `file.toml:3: `.
    pub fn place(&self, key: &str) -> String {
        origin_of(&self.origins, key).map(|origin| format!("{origin}: ")).unwrap_or_default()
    }

    /// The values of a table of this file at `prefix` as changes of a run's configuration, each with its place.
    ///
    /// # Errors
    /// Usage: two names of one key contradict each other.
    pub fn overrides(&self, prefix: &str, table: &toml::Table) -> Result<Vec<Override>> {
        let mut overrides = Vec::new();
        flatten("", table, &mut |key, value| {
            let origin = origin_of(&self.origins, &format!("{prefix}.{key}")).cloned();
            let origin = origin.unwrap_or_else(|| Origin::Flag(prefix.to_owned()));
            overrides.push(Override::typed(key, value.clone(), origin));
        });
        check_changes(overrides.iter(), &keys())?;
        Ok(overrides)
    }
}

/// Calls `found` with the dotted key and the value of every leaf.
fn flatten(prefix: &str, table: &toml::Table, found: &mut dyn FnMut(String, &toml::Value)) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(table) => flatten(&key, table, found),
            value => found(key, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{RunConfig, Sources, resolve};

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Example {
        name: String,
        #[schemars(with = "RunConfig")]
        base: toml::Table,
    }

    fn read(text: &str) -> Result<Document<Example>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spec.toml");
        std::fs::write(&path, text).unwrap();
        Document::read(&path)
    }

    #[test]
    fn a_table_of_a_document_changes_a_configuration() {
        let document = read("name = \"a\"\n[base]\nmodel.dim = 640\ntrain = { steps = 7 }\n").unwrap();
        assert_eq!(document.value.name, "a");
        assert!(document.place("name").ends_with("spec.toml:1: "), "{}", document.place("name"));
        let overrides = document.overrides("base", &document.value.base).unwrap();
        let config = resolve(&Sources { overrides, ..Sources::default() }).unwrap();
        assert_eq!((config.model.dim, config.train.steps), (640, 7));
    }

    #[test]
    fn two_names_of_one_key_contradict_each_other_in_a_document() {
        let document = read("name = \"a\"\n[base.model]\nsegment = 64\nllp.segment = 32\n").unwrap();
        let fault = document.overrides("base", &document.value.base).unwrap_err();
        assert!(
            fault.to_string().contains("spec.toml:4: `model.llp.segment` = 32 contradicts `model.segment`"),
            "{fault}"
        );
    }

    #[test]
    fn mistakes_in_it_name_their_line() {
        let fault = read("name = \"a\"\n[base]\nmodel.dims = 64\n").unwrap_err();
        assert!(fault.to_string().ends_with("spec.toml:3: unknown key `base.model.dims`"), "{fault}");
        assert_eq!(fault.hint_text(), Some("did you mean `base.model.dim`?"));
        let document = read("name = \"a\"\n[base.train]\n\nsteps = \"many\"\n").unwrap();
        let overrides = document.overrides("base", &document.value.base).unwrap();
        let fault = resolve(&Sources { overrides, ..Sources::default() }).unwrap_err();
        assert!(fault.to_string().contains("spec.toml:4: `train.steps`"), "{fault}");
    }
}
