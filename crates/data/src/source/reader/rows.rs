//! On which line a row of a table begins: the parser tells only where the row before it ended, and takes the `\n` of `\r\n`, and blank
//! lines, for a part of what follows.

use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;

/// Passes bytes on, and remembers the last of them.
pub(super) struct Watched<R> {
    inner: R,
    lines: Lines,
}

/// Counts the ends of line before a row.
#[derive(Clone, Default)]
pub(super) struct Lines(Rc<RefCell<Last>>);

/// What was read last; its reader takes all of it before it asks for more.
#[derive(Default)]
struct Last {
    /// Bytes before it.
    start: u64,
    bytes: Vec<u8>,
    /// Ends of line since the row before.
    lines: u64,
    /// No other byte has come since.
    is_open: bool,
}

impl Lines {
    /// The row before ended at this byte.
    pub(super) fn row_ends(&self, at: u64) {
        let mut last = self.0.borrow_mut();
        last.lines = 0;
        let from = usize::try_from(at.saturating_sub(last.start)).unwrap_or(usize::MAX);
        last.count(from);
    }

    /// Ends of line between the last row that ended and the next, which was read.
    pub(super) fn before_row(&self) -> u64 {
        self.0.borrow().lines
    }
}

impl Last {
    fn count(&mut self, from: usize) {
        let rest = self.bytes.get(from..).unwrap_or_default();
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.lines += rest[..ends].iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.is_open = ends == rest.len();
    }
}

impl<R: Read> Watched<R> {
    pub(super) fn new(inner: R) -> (Self, Lines) {
        let lines = Lines::default();
        (Self { inner, lines: lines.clone() }, lines)
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let mut last = self.lines.0.borrow_mut();
        last.start += last.bytes.len() as u64;
        last.bytes.clear();
        last.bytes.extend_from_slice(&buffer[..read]);
        if last.is_open {
            last.count(0);
        }
        Ok(read)
    }
}
