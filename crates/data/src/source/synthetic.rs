//! Tasks whose answer is known: copy a string of symbols, straight or reversed.

use percept_fault::{Fault, Result, nearest};

use crate::random;

/// Prefix of source paths that name a task.
const PREFIX: &str = "synthetic:";
/// The symbols, in the order in which a smaller alphabet takes them.
const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Between the symbols and their copy.
const SEPARATOR: u8 = b'|';
/// The options and their defaults.
const OPTIONS: [(&str, u64); 4] = [("length", 32), ("symbols", 16), ("documents", 10_000), ("seed", 0)];

/// Documents `SYMBOLS|SYMBOLS`, the second half reversed in the reverse task; only the second half is a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synthetic {
    task: Task,
    /// Symbols in a half.
    length: u64,
    /// Size of the alphabet.
    symbols: u64,
    pub(crate) documents: u64,
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Copy,
    Reverse,
}

impl Synthetic {
    /// The task of a source path `synthetic:NAME?option=value&...`; `None` for any other path.
    pub(crate) fn parse(path: &str) -> Result<Option<Self>> {
        let Some(task) = path.strip_prefix(PREFIX) else { return Ok(None) };
        let (name, options) = task.split_once('?').unwrap_or((task, ""));
        let task = match name {
            "copy" => Task::Copy,
            "reverse" => Task::Reverse,
            _ => return Err(unknown(path, "task", name, ["copy", "reverse"])),
        };
        let mut values = OPTIONS.map(|(_, default)| default);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let at = OPTIONS.iter().position(|(known, _)| *known == key);
            let at = at.ok_or_else(|| unknown(path, "option", key, OPTIONS.map(|(known, _)| known)))?;
            values[at] =
                value.parse().map_err(|_| Fault::usage(format!("{path}: `{key}` is not a whole number: `{value}`")))?;
        }
        let [length, symbols, documents, seed] = values;
        // Ten documents, so that they can be split.
        let limits =
            [("length", length, 1..=1 << 30), ("symbols", symbols, 1..=62), ("documents", documents, 10..=1 << 32)];
        for (key, value, range) in limits {
            if !range.contains(&value) {
                let (least, most) = range.into_inner();
                return Err(Fault::usage(format!("{path}: `{key}` = {value} is not between {least} and {most}")));
            }
        }
        Ok(Some(Self { task, length, symbols, documents, seed }))
    }

    /// The text of document `index`.
    pub(crate) fn document(&self, index: u64) -> Vec<u8> {
        let symbol = |i| ALPHABET[random::below(self.symbols, &[self.seed, index, i]) as usize];
        let first: Vec<u8> = (0..self.length).map(symbol).collect();
        let mut text = first.clone();
        text.push(SEPARATOR);
        match self.task {
            Task::Copy => text.extend_from_slice(&first),
            Task::Reverse => text.extend(first.iter().rev()),
        }
        text
    }

    /// Bytes of a document that are context only.
    pub(crate) fn scored_from(&self) -> u64 {
        self.length + 1
    }

    /// What its documents depend on.
    pub(crate) fn key(&self) -> String {
        format!("{self:?}")
    }
}

fn unknown<const N: usize>(path: &str, what: &str, word: &str, known: [&str; N]) -> Fault {
    let hint = match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.join(", ")),
    };
    Fault::usage(format!("{path}: unknown {what} `{word}`")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_copies_straight_or_reversed() {
        for (path, reversed) in [("synthetic:copy?length=7&symbols=3", false), ("synthetic:reverse?length=7", true)] {
            let task = Synthetic::parse(path).unwrap().unwrap();
            let text = task.document(5);
            let (first, mut second) = (text[..7].to_vec(), text[8..].to_vec());
            if reversed {
                second.reverse();
            }
            assert_eq!((&first, text[7], task.scored_from()), (&second, b'|', 8));
            assert_ne!(text, task.document(6));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let fault = |path| {
            let fault = Synthetic::parse(path).unwrap_err();
            format!("{fault} ({})", fault.hint_text().unwrap_or(""))
        };
        assert!(fault("synthetic:copi").ends_with("unknown task `copi` (did you mean `copy`?)"));
        assert!(fault("synthetic:copy?lenght=3").ends_with("unknown option `lenght` (did you mean `length`?)"));
        assert!(fault("synthetic:copy?length=x").contains("not a whole number"));
        assert!(fault("synthetic:copy?symbols=63").contains("`symbols` = 63 is not between 1 and 62"));
        assert_eq!(Synthetic::parse("copy.txt").unwrap(), None);
    }
}
