//! Keys that a sublayer has of its own: the TOML table `[model.NAME]`.

mod tables;

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use tables::{
    FlatValues, Table, Tables, Written, deserialize_tables, names, read_table, schema_of_tables, schemas,
};

/// A key of a sublayer's table that is a key of `[model]` too: before mixers had tables, all were. It sets the key of every
/// table that has it, and it is what files are written with, so that those of before keep their fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlatKey {
    /// Its name, there and in the table.
    pub name: &'static str,
    /// The key of `[model]` that it follows where a configuration is written.
    pub after: &'static str,
    /// Whether a schedule may give it to layers without it, which ignore it, as it once could.
    pub anywhere: bool,
    /// Whether its sublayer came when there were files already: those lack a table of it, which at its default is not written.
    pub later: bool,
}

/// The keys of a sublayer of its own, with their defaults and their documentation.
pub trait Options: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + JsonSchema {
    /// Those that are keys of `[model]` too.
    const FLAT: &'static [FlatKey] = &[];

    /// The positions after which the pattern of what it sees repeats, where there is such a number.
    fn segment(&self) -> Option<usize> {
        None
    }

    /// Those of a small model of the same structure, for `percept verify`.
    fn reduced(&self, _scale: &Scale) -> Self {
        self.clone()
    }

    /// Those at another context, where they depend on it: what is longer than it allows becomes shorter.
    fn at_context(&self, _context: usize) -> Self {
        self.clone()
    }
}

/// For a sublayer that has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

impl Options for NoOptions {}

/// How lengths become shorter in a small model of the same structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// The window before.
    pub from: usize,
    /// The window after.
    pub context: usize,
    shortest: Option<usize>,
}

impl Scale {
    /// Of the shortest segment: its halves are two positions each.
    const SEGMENT: usize = 4;
    /// Most segments of a window.
    const SEGMENTS: usize = 8;

    /// For a window of `from` positions, and segments of which `shortest` is the shortest, if there are any.
    pub fn new(from: usize, shortest: Option<usize>) -> Self {
        let segments = shortest.map_or(Self::SEGMENTS, |shortest| from / shortest.max(1));
        Self { from, context: segments.clamp(3, Self::SEGMENTS) * Self::SEGMENT, shortest }
    }

    /// A part of the window.
    pub fn part(&self, length: usize) -> usize {
        (length * self.context).div_ceil(self.from).max(1)
    }

    /// A segment, in proportion to the others.
    pub fn segment(&self, length: usize) -> usize {
        let shortest = self.shortest.unwrap_or(length).max(1);
        (length * Self::SEGMENT / shortest).clamp(Self::SEGMENT, self.context)
    }
}
