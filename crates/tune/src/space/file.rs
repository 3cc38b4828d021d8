//! A space as a table of a TOML file, whose keys are those of a run's configuration.

use std::path::Path;

use percept_fault::{Fault, Result};
use percept_train::{DEFAULT_PRESET, Document, RunConfig, resolve_preset};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Table, Value};

use super::range::{is_range, values};
use super::{Axis, Space};

/// The keys of a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SpaceFile {
    /// Keys of a run's configuration, each with its values.
    #[schemars(with = "RunConfig")]
    space: Table,
}

pub(super) fn read(path: &Path) -> Result<Space> {
    let document = Document::<SpaceFile>::read(path)?;
    of_table(&document.value.space, &|key| match document.place(key) {
        place if place.is_empty() => format!("{}: ", path.display()),
        place => place,
    })
}

pub(super) fn of_table(table: &Table, place: &dyn Fn(&str) -> String) -> Result<Space> {
    let preset = Table::try_from(resolve_preset(DEFAULT_PRESET)?)
        .map_err(|error| Fault::internal("a preset can't be serialised").because(error))?;
    let mut axes = Vec::new();
    for (key, written) in leaves(table, "") {
        let axis = below_a_value(&preset, &key).and_then(|()| Axis::new(key.as_str(), values(&key, written)?));
        axes.push(axis.map_err(|fault| fault.at(&place(&format!("space.{key}"))))?);
    }
    Space::new(axes).map_err(|fault| fault.at(&place("space")))
}

pub(super) fn write(space: &Space, path: &Path) -> Result<()> {
    let line = |axis: &Axis| format!("{} = {}\n", axis.key(), Value::Array(axis.values().to_vec()));
    let text: String = space.axes().iter().map(line).collect();
    percept_files::write_file(path, format!("[space]\n{text}").as_bytes())
}

/// Every dotted key with what is written for it.
fn leaves<'a>(table: &'a Table, prefix: &str) -> Vec<(String, &'a Value)> {
    let below = |(key, value): (&String, &'a Value)| match value {
        Value::Table(inner) if !is_range(inner) => leaves(inner, &format!("{prefix}{key}.")),
        value => vec![(format!("{prefix}{key}"), value)],
    };
    table.iter().flat_map(below).collect()
}

/// Refuses `train.learning_rate.lgo`: what stands below a key that takes no table is a range with a wrong name.
fn below_a_value(config: &Table, key: &str) -> Result<()> {
    let Some((first, rest)) = key.split_once('.') else { return Ok(()) };
    match config.get(first) {
        Some(Value::Table(inner)) => below_a_value(inner, rest),
        Some(_) => Err(Fault::usage(format!("`{rest}` is no range"))
            .hint("ranges are { integers = [first, last], step = 1 } and { log = [first, last], points = 5 }")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(text: &str) -> Result<Space> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("space.toml");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    /// The values of the first axis.
    fn first(text: &str) -> Vec<String> {
        space(text).unwrap().axes()[0].values().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn choices_and_ranges_are_lists_of_values() {
        assert_eq!(first("space.model.layers = [\"llp\", \"tost\"]"), ["\"llp\"", "\"tost\""]);
        assert_eq!(first("space.model.depth = { integers = [1, 4] }"), ["1", "2", "3", "4"]);
        assert_eq!(first("space.model.depth = { integers = [1, 6], step = 2 }"), ["1", "3", "5"]);
        assert_eq!(first("space.model.dim = { log = [16, 128], points = 4 }"), ["16", "32", "64", "128"]);
        assert_eq!(first("space.train.learning_rate = { log = [1e-3, 0.1], points = 3 }"), ["0.001", "0.01", "0.1"]);
        // An end without a dot is a number all the same.
        assert_eq!(first("space.train.weight_decay = { log = [0.25, 1], points = 3 }"), ["0.25", "0.5", "1.0"]);
        assert_eq!(first("[space.train.learning_rate]\nlog = [1e-3, 0.1]\npoints = 2\n"), ["0.001", "0.1"]);
    }

    #[test]
    fn a_space_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("space.toml");
        let space = space(
            "[space]\nmodel.layers = [\"llp\", \"a \\\"b\\\"\"]\nmodel.depth = { integers = [1, 3] }\n\
             train.learning_rate = { log = [1e-3, 0.1], points = 3 }\n",
        )
        .unwrap();
        write(&space, &path).unwrap();
        assert_eq!(read(&path).unwrap(), space);
    }

    #[test]
    fn mistakes_name_their_line_and_what_to_write() {
        let fault = |text: &str| space(&format!("[space]\n{text}\n")).unwrap_err();
        let says = |text: &str, what: &str| {
            let fault = fault(text);
            assert!(fault.is_usage() && fault.hint_text().is_some(), "{fault}");
            assert!(fault.to_string().contains(&format!("space.toml:{what}")), "{fault}");
        };
        says("model.dims = [1, 2]", "2: unknown key `space.model.dims`");
        says("model.dim = 64", "2: `model.dim`: 64 is one value");
        says("model.dim = []", "2: `model.dim` has no values");
        says("\nmodel.dim = [64, 64]", "3: `model.dim` has the value 64 twice");
        says("model.dim = { integers = [9, 3] }", "2: `model.dim`: integers from 9 to 3 by steps of 1 are none");
        says("model.dim = { integers = [3, 9], step = 0 }", "2: `model.dim`: integers from 3 to 9 by steps of 0");
        says("model.dim = { integers = [0, 9223372036854775807] }", "2: `model.dim`: more than 1000 values");
        says("model.dim = { integers = [0.5, 2] }", "2: `model.dim`: this is no range");
        says("model.dim = { log = [16, 64] }", "2: `model.dim`: this is no range");
        says("model.dim = { log = [16, 64], points = 3, step = 2 }", "2: `model.dim`: this is no range");
        says("model.dim = { log = [0, 64], points = 3 }", "2: `model.dim`: log from 0 to 64: both ends");
        says("model.dim = { log = [\"a\", 64], points = 3 }", "2: `model.dim`: log from \"a\" to 64: both ends");
        says("model.dim = { log = [64, 16], points = 3 }", "2: `model.dim`: log from 64 to 16 needs");
        says("model.dim = { log = [16, 64], points = 1 }", "2: `model.dim`: log from 16 to 64 needs");
        says("model.dim = { log = [1, 3], points = 9 }", "2: `model.dim` has the value 1 twice");
        says("train.learning_rate = { lgo = [1e-3, 1e-1] }", "2: `lgo` is no range");
        assert!(fault("").to_string().ends_with("space.toml:1: the space has no axes"), "{}", fault(""));
        assert!(space("spaces.model.dim = [1]").unwrap_err().to_string().contains("unknown key `spaces`"));
        assert!(space("").unwrap_err().to_string().contains("missing field `space`"));
        assert!(Space::read(Path::new("no/such/file")).unwrap_err().is_environment());
    }
}
