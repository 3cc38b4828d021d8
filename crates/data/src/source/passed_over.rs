//! What a listing leaves out although nobody asked it to, so that it can be told.

use std::collections::HashSet;
use std::path::Path;

use serde::Serialize;

use super::Input;
use crate::mark::Mark;

/// How many of a kind are named; the others are only counted.
const NAMED: usize = 10;

/// What was left out of the folders that were listed, by reason. Serialized, its keys are an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// What Percept itself wrote: runs, comparisons, weights, states, tokenizers, reports.
    pub percept: Group,
    /// Folders that a `CACHEDIR.TAG` calls a cache.
    pub caches: Group,
    /// Further names of files and folders that are read already: links, and files that are named twice.
    pub further_names: Group,
    /// Pipes, sockets and devices in folders.
    pub not_files: Group,
    /// Globs that leave out the files that this program writes its output to: a later one must not take them for text.
    #[serde(skip)]
    pub(crate) outputs: Vec<String>,
}

/// So many of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// The first ten.
    pub first: Vec<String>,
}

impl Group {
    fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(text());
        }
    }

    /// How many and the first; `None` where there are none.
    fn summary(&self) -> Option<String> {
        match self.first.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            [first, ..] => Some(format!("{}, the first: {first}", self.count)),
        }
    }
}

impl PassedOver {
    pub(crate) fn marked(&mut self, path: &Path, mark: &Mark) {
        match mark {
            Mark::Percept(what) => self.percept.add(|| format!("{} ({what})", path.display())),
            Mark::Cache => self.caches.add(|| path.display().to_string()),
        }
    }

    /// A file at `path` to which this program writes its output, `relative` to the folder that was named.
    pub(crate) fn output(&mut self, path: &Path, relative: &Path) {
        self.percept.add(|| format!("{} (the output of this command)", path.display()));
        self.outputs.extend(relative.to_str().map(globset::escape));
    }

    pub(crate) fn further_name(&mut self, path: &Path) {
        self.further_names.add(|| path.display().to_string());
    }

    pub(crate) fn no_file(&mut self, path: &Path) {
        self.not_files.add(|| path.display().to_string());
    }

    /// Leaves each file in once, under the first of its names.
    pub(crate) fn once(&mut self, inputs: &mut Vec<Input>) {
        let mut seen = HashSet::new();
        inputs.retain(|input| {
            let Some(file) = input.file() else { return true };
            let is_new = seen.insert(file.identity.clone());
            if !is_new {
                self.further_name(&file.path);
            }
            is_new
        });
    }

    /// A line for each reason, with the first name: `left out as written by Percept: 2, the first: runs/a (a run)`.
    pub fn lines(&self) -> Vec<String> {
        self.groups()
            .iter()
            .filter_map(|(reason, group)| Some(format!("left out as {reason}: {}", group.summary()?)))
            .collect()
    }

    /// Each reason in words, with what it holds for.
    pub fn groups(&self) -> [(&'static str, &Group); 4] {
        [
            ("written by Percept", &self.percept),
            ("a cache, by its CACHEDIR.TAG", &self.caches),
            ("a further name of what is read already", &self.further_names),
            ("no file (a pipe, socket or device in a folder)", &self.not_files),
        ]
    }
}
