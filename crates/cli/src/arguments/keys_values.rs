//! `--keys-values`: how exactly states keep keys and values.

use clap::{Args, ValueEnum};
use percept::Result;
use percept::model::properties::Properties;
use percept::model::{InferenceModel, KeyValuePrecision};

use crate::human;

/// Precisions of keys and values, as the user writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeysValues {
    /// As they are computed
    F32,
    /// 16 bits each
    Bf16,
}

/// The flag of commands that keep states.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct KeysValuesArgs {
    /// How exactly the state keeps keys and values; bf16 takes half of their memory and changes the text a little. What recurrences and
    /// convolutions carry on stays f32
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = KeysValues::F32)]
    keys_values: KeysValues,
}

impl KeysValuesArgs {
    pub(crate) fn precision(self) -> KeyValuePrecision {
        match self.keys_values {
            KeysValues::F32 => KeyValuePrecision::F32,
            KeysValues::Bf16 => KeyValuePrecision::Bf16,
        }
    }
}

/// What of a model's state is kept in which format, unless all of it is in f32: to be put after its size.
pub(crate) fn note(model: &InferenceModel) -> Result<String> {
    let precision = model.key_value_precision();
    if precision == KeyValuePrecision::F32 {
        return Ok(String::new());
    }
    let properties = Properties::of(model.config())?;
    let [exact, kept] = [KeyValuePrecision::F32, precision].map(|precision| properties.state_limit(precision));
    let halves = exact - kept;
    Ok(match (halves, kept - halves) {
        (0, _) => ", without keys and values: all of it in f32".into(),
        (_, 0) => ", keys and values in bf16".into(),
        (_, rest) => format!(", keys and values in bf16, at most {} of it in f32", human::bytes(rest as u64)),
    })
}
