//! Keys that a sublayer has of its own: the TOML table `[model.NAME]`.

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The keys of a sublayer of its own, with their defaults and their documentation.
pub trait Options: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + JsonSchema {
    /// Those of a small model of the same structure, for `percept verify`: segments of some four positions.
    fn reduced(&self) -> Self {
        self.clone()
    }

    /// Those at another context, where they depend on it.
    fn at_context(&self, _context: usize) -> Self {
        self.clone()
    }
}

/// For a sublayer that has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

impl Options for NoOptions {}

/// Whether nothing was set: then a configuration does not write the table.
pub(crate) fn is_default<T: Options>(options: &T) -> bool {
    *options == T::default()
}
