//! A bound on the size of one record, so that a file that is none does not fill the memory.

use std::cell::Cell;
use std::io::{Error, Read};
use std::rc::Rc;

/// Bytes of a record at most.
pub(super) const LONGEST: u64 = 1 << 30;

/// Counts the bytes since the last record ended, and fails where they are more than [`LONGEST`].
pub(super) struct Limited<R> {
    inner: R,
    left: Left,
}

/// Bytes that the open record may still have.
#[derive(Debug, Clone)]
pub(super) struct Left(Rc<Cell<u64>>);

impl Left {
    /// A record ended.
    pub(super) fn renew(&self) {
        self.0.set(LONGEST);
    }
}

impl<R: Read> Limited<R> {
    pub(super) fn new(inner: R) -> (Self, Left) {
        let left = Left(Rc::new(Cell::new(LONGEST)));
        (Self { inner, left: left.clone() }, left)
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.0.get().checked_sub(read as u64) {
            Some(left) => self.left.0.set(left),
            None => return Err(Error::other("a record is longer than 1 GiB")),
        }
        Ok(read)
    }
}
