//! What a corpus measures, and what was left out of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Remark, SkipReason};

/// Skipped documents that are named; the others are only counted.
const NAMED: usize = 10;

/// What a corpus measures, and what was left out of it. `Display` is a line for the user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Documents.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// White-space separated words.
    pub words: u64,
    /// Characters.
    pub chars: u64,
    /// Tokens, without document tokens.
    pub tokens: u64,
    /// Documents that were left out, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The first ten of them, each with its cause.
    pub examples: Vec<String>,
    /// Files that were read all the same but are not quite in order.
    #[serde(default)]
    pub remarks: BTreeMap<Remark, u64>,
    /// The first ten of them, each with its cause.
    #[serde(default)]
    pub remark_examples: Vec<String>,
}

impl Statistics {
    /// Documents that were left out.
    pub fn skipped_documents(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// A line that says what was left out and why, if anything was: `3 documents skipped (2 empty, 1 not UTF-8)`.
    pub fn skipped_line(&self) -> Option<String> {
        let total = self.skipped_documents();
        let reasons: Vec<String> =
            self.skipped.iter().map(|(reason, count)| format!("{count} {}", reason.label())).collect();
        let noun = if total == 1 { "document" } else { "documents" };
        (total > 0).then(|| format!("{total} {noun} skipped ({})", reasons.join(", ")))
    }

    /// A line per remark: `2 files are read only up to where they break`.
    pub fn remark_lines(&self) -> Vec<String> {
        let line = |(remark, &count): (&Remark, &u64)| match count {
            1 => format!("1 file is {}", remark.label()),
            _ => format!("{count} files are {}", remark.label()),
        };
        self.remarks.iter().map(line).collect()
    }

    pub(crate) fn remark(&mut self, remark: Remark, example: String) {
        *self.remarks.entry(remark).or_default() += 1;
        if self.remark_examples.len() < NAMED {
            self.remark_examples.push(example);
        }
    }

    pub(crate) fn skip(&mut self, reason: SkipReason, example: String) {
        *self.skipped.entry(reason).or_default() += 1;
        if self.examples.len() < NAMED {
            self.examples.push(example);
        }
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { documents, bytes, words, tokens, .. } = self;
        write!(f, "{documents} documents, {bytes} bytes, {words} words, {tokens} tokens")?;
        match self.skipped_line() {
            Some(line) => write!(f, "; {line}"),
            None => Ok(()),
        }
    }
}
