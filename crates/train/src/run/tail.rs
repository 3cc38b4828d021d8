//! Reading `metrics.jsonl` while a run writes it.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

use percept_fault::{IoContext, Result};

use crate::run::metrics_file::MetricsLine;

/// Reads the lines that were added since the last look.
///
/// ```
/// use std::io::Write;
/// use percept_train::{MetricsLine, MetricsTail};
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("metrics.jsonl");
/// let mut tail = MetricsTail::new(&path);
/// assert!(tail.look()?.lines.is_empty());
/// // A run writes; it is in the middle of its second line.
/// let line = r#"{"kind":"validation","step":5,"targets":9,"loss":2.5,"bits_per_byte":null,"best":true}"#;
/// let mut file = std::fs::File::create(&path).unwrap();
/// write!(file, "{line}\n{{\"kind\":").unwrap();
/// assert!(matches!(&tail.look()?.lines[..], [MetricsLine::Metrics(metrics)] if metrics.step() == 5));
/// // It was killed, and goes on from step 3: the line of step 5 counts no more.
/// write!(file, "\n{{\"kind\":\"resumed\",\"step\":3}}\n").unwrap();
/// assert_eq!(tail.look()?.lines, [MetricsLine::Unreadable(2), MetricsLine::Resumed(3)]);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug)]
pub struct MetricsTail {
    path: PathBuf,
    /// Bytes that have been read, up to the end of a line.
    offset: u64,
    /// Lines that have been read.
    count: usize,
    /// The last line read, by which another file in its place is known.
    last: Vec<u8>,
}

/// What a look has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tailed {
    /// Whether another file stands in its place, or none: what was read before no longer counts.
    pub restarted: bool,
    /// New lines.
    pub lines: Vec<MetricsLine>,
}

impl MetricsTail {
    /// A reader that has read nothing yet; the file need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), offset: 0, count: 0, last: Vec::new() }
    }

    /// The complete lines since the last look.
    ///
    /// # Errors
    /// An environment fault where the file is there and cannot be read.
    pub fn look(&mut self) -> Result<Tailed> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self.restart()),
            file => file.at("read", &self.path)?,
        };
        let mut found = Tailed::default();
        let mut text = self.rest(&mut file).at("read", &self.path)?;
        match text.strip_prefix(self.last.as_slice()) {
            Some(new) => text = new.to_vec(),
            None => {
                found = self.restart();
                text = self.rest(&mut file).at("read", &self.path)?;
            }
        }
        for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            self.count += 1;
            found.lines.push(MetricsLine::parse(line, self.count));
            self.offset += line.len() as u64;
            self.last = line.to_vec();
        }
        Ok(found)
    }

    /// The file from the beginning of the last line read.
    fn rest(&self, file: &mut File) -> std::io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(self.offset - self.last.len() as u64))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(text)
    }

    fn restart(&mut self) -> Tailed {
        let restarted = self.offset > 0;
        *self = Self::new(std::mem::take(&mut self.path));
        Tailed { restarted, lines: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::metrics::{Metrics, ValidationMetrics};

    fn line(step: u64) -> String {
        format!(r#"{{"kind":"validation","step":{step},"targets":1,"loss":0.5,"bits_per_byte":null,"best":false}}"#)
            + "\n"
    }

    fn steps(found: &Tailed) -> Vec<u64> {
        let step =
            |line: &MetricsLine| if let MetricsLine::Metrics(metrics) = line { Some(metrics.step()) } else { None };
        found.lines.iter().filter_map(step).collect()
    }

    #[test]
    fn lines_are_read_once_and_half_a_line_not_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut tail = MetricsTail::new(&path);
        assert_eq!(tail.look().unwrap(), Tailed::default());
        let (first, second) = (line(1), line(2));
        std::fs::write(&path, format!("{first}{}", &second[..20])).unwrap();
        assert_eq!(steps(&tail.look().unwrap()), [1]);
        let resumed = "{\"kind\":\"resumed\",\"step\":1}\n";
        std::fs::write(&path, format!("{first}{second}rubbish\n{resumed}{}", line(3))).unwrap();
        let found = tail.look().unwrap();
        let expected = ValidationMetrics { step: 2, targets: 1, loss: 0.5, bits_per_byte: None, best: false };
        assert_eq!(found.lines[0], MetricsLine::Metrics(Metrics::Validation(expected)));
        assert_eq!(found.lines[1..3], [MetricsLine::Unreadable(3), MetricsLine::Resumed(1)]);
        assert_eq!((steps(&found), found.restarted), (vec![2, 3], false));
        assert_eq!(tail.look().unwrap(), Tailed::default());
    }

    #[test]
    fn another_file_in_its_place_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut tail = MetricsTail::new(&path);
        std::fs::write(&path, [1, 2, 3].map(line).concat()).unwrap();
        tail.look().unwrap();
        std::fs::write(&path, [1, 2, 9, 10].map(line).concat()).unwrap();
        let found = tail.look().unwrap();
        assert_eq!((steps(&found), found.restarted), (vec![1, 2, 9, 10], true));
        std::fs::write(&path, line(1)).unwrap();
        assert!(tail.look().unwrap().restarted);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(tail.look().unwrap(), Tailed { restarted: true, lines: Vec::new() });
    }
}
