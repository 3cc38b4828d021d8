//! Reading `metrics.jsonl`: which of its lines count.
//!
//! The file is only ever written at its end. A run that goes on from a checkpoint before its last lines appends the line
//! `{"kind":"resumed","step":S}`, which takes back the lines before it with a step above S. A line that can't be read
//! counts for nothing and stays where it is.

use std::fs;
use std::path::Path;

use percept_fault::{IoContext, Result};
use serde::{Deserialize, Serialize};

use crate::run::metrics::Metrics;

/// The line that takes back what was logged after a step.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "resumed")]
pub(crate) struct Resumed {
    /// The step of the checkpoint that the run went on from.
    pub(crate) step: u64,
}

/// What a line of the file says.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsLine {
    /// Metrics.
    Metrics(Metrics),
    /// The run went on from this step: earlier lines with a larger step no longer count.
    Resumed(u64),
    /// Nothing that can be understood; its number in the file, from 1.
    Unreadable(usize),
}

impl MetricsLine {
    /// Line `number` of a file, with or without its end.
    pub(crate) fn parse(text: &[u8], number: usize) -> Self {
        if let Ok(metrics) = serde_json::from_slice(text) {
            return Self::Metrics(metrics);
        }
        serde_json::from_slice(text).map_or(Self::Unreadable(number), |Resumed { step }| Self::Resumed(step))
    }
}

/// What a metrics file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsFile {
    /// The lines that count, in their order.
    pub lines: Vec<Metrics>,
    /// Numbers of the lines that can't be read, from 1. A last line without an end is none of them: a run may be writing it.
    pub unreadable: Vec<usize>,
    /// Whether the last line has no end.
    pub(crate) is_cut: bool,
}

impl MetricsFile {
    /// Reads a file, however damaged it is.
    ///
    /// # Errors
    /// An environment fault where it cannot be read at all.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).at("read", path)?;
        let mut file = Self::default();
        for (line, number) in text.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            file.is_cut = !line.ends_with(b"\n");
            match MetricsLine::parse(line, number) {
                MetricsLine::Metrics(metrics) => file.lines.push(metrics),
                MetricsLine::Resumed(step) => file.lines.retain(|metrics| metrics.step() <= step),
                MetricsLine::Unreadable(_) if file.is_cut => {}
                MetricsLine::Unreadable(number) => file.unreadable.push(number),
            }
        }
        Ok(file)
    }

    /// What to tell about the lines that can't be read, if there are any; `path` is the file's.
    pub fn warning(&self, path: &Path) -> Option<String> {
        let (first, others) = self.unreadable.split_first()?;
        let more = match others.len() {
            0 => String::new(),
            1 => format!(" (nor is line {})", others[0]),
            count => format!(" (nor are {count} others, the last in line {})", others[count - 1]),
        };
        Some(format!("{}:{first}: no line of metrics{more}; it is kept, and counts for nothing", path.display()))
    }
}

/// The lines of a metrics file that count.
///
/// # Errors
/// An environment fault where it cannot be read at all.
pub fn read_metrics(path: &Path) -> Result<Vec<Metrics>> {
    MetricsFile::read(path).map(|file| file.lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::metrics::ValidationMetrics;

    fn line(step: u64) -> String {
        format!(r#"{{"kind":"validation","step":{step},"targets":1,"loss":0.5,"bits_per_byte":null,"best":false}}"#)
    }

    fn read(text: impl AsRef<[u8]>) -> MetricsFile {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, text).unwrap();
        MetricsFile::read(&path).unwrap()
    }

    fn steps(file: &MetricsFile) -> Vec<u64> {
        file.lines.iter().map(Metrics::step).collect()
    }

    #[test]
    fn what_cannot_be_read_is_numbered_and_costs_no_other_line() {
        let foreign: [&[u8]; 6] =
            [b"", b"rubbish", b"{\"kind\":\"trai", b"\xff\xfe", b"\0\0\0\0", b"{\"kind\":\"other\"}"];
        for foreign in foreign {
            let text = [line(1).as_bytes(), foreign, line(2).as_bytes(), b""].join(&b"\n"[..]);
            let file = read(&text);
            assert_eq!((steps(&file), &file.unreadable[..]), (vec![1, 2], &[2][..]), "{foreign:?}");
            let warning = file.warning(Path::new("run/metrics.jsonl")).unwrap();
            assert!(warning.starts_with("run/metrics.jsonl:2: no line of metrics;"), "{warning}");
        }
        let many = read("x\ny\nz\n").warning(Path::new("m")).unwrap();
        assert!(many.starts_with("m:1: no line of metrics (nor are 2 others, the last in line 3);"), "{many}");
        assert_eq!(read(line(1) + "\n").warning(Path::new("m")), None);
    }

    #[test]
    fn a_last_line_without_an_end_counts_where_it_is_whole() {
        let cut = read(format!("{}\n{}", line(1), &line(2)[..20]));
        assert_eq!((steps(&cut), cut.unreadable.len(), cut.is_cut), (vec![1], 0, true));
        let whole = read(format!("{}\n{}", line(1), line(2)));
        assert_eq!((steps(&whole), whole.unreadable.len(), whole.is_cut), (vec![1, 2], 0, true));
        assert!(!read("").is_cut);
    }

    #[test]
    fn lines_may_end_as_windows_ends_them() {
        let file = read(format!("{}\r\n{}\r\n", line(1), line(2)));
        assert_eq!((steps(&file), file.unreadable.len()), (vec![1, 2], 0));
    }

    #[test]
    fn a_resumed_run_takes_back_the_steps_that_it_lost() {
        let resumed = |step| serde_json::to_string(&Resumed { step }).unwrap();
        assert_eq!(resumed(4), r#"{"kind":"resumed","step":4}"#);
        let text = [line(2), line(4), line(6), line(8), resumed(4), line(5), resumed(0), line(1), String::new()];
        assert_eq!(steps(&read(text[..6].join("\n"))), [2, 4, 5]);
        assert_eq!(steps(&read(text.join("\n"))), [1]);
        let expected = ValidationMetrics { step: 1, targets: 1, loss: 0.5, bits_per_byte: None, best: false };
        assert_eq!(read(line(1)).lines, [Metrics::Validation(expected)]);
    }
}
