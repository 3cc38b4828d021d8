//! What waits for an engine: bounded, and fair among clients.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::turns::Turns;

/// Whether an engine goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// It takes what comes.
    Open,
    /// It ends what it has, and takes no more.
    Draining,
    /// It ends at once.
    Ending,
}

/// Why nothing more is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Too much waits already.
    Full,
    /// Too much of this client waits already.
    Share,
    /// It is being stopped.
    Stopping,
}

/// A queue between handlers, which put in, and the thread of an engine, which takes out.
#[derive(Debug)]
pub(crate) struct Queue<C, T> {
    inner: Mutex<(Turns<C, T>, Course)>,
    changed: Condvar,
    limit: usize,
    limit_each: usize,
}

impl<C: Copy + PartialEq, T> Queue<C, T> {
    /// For so many things, of each client so many.
    pub(crate) fn new(limit: usize, limit_each: Option<usize>) -> Self {
        let inner = Mutex::new((Turns::default(), Course::Open));
        Self { inner, changed: Condvar::new(), limit, limit_each: limit_each.unwrap_or(limit) }
    }

    /// No panic can leave it half changed.
    fn lock(&self) -> MutexGuard<'_, (Turns<C, T>, Course)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in all of them, or none.
    pub(crate) fn push(&self, client: C, things: Vec<T>) -> Result<(), NotTaken> {
        let mut inner = self.lock();
        if inner.1 != Course::Open {
            return Err(NotTaken::Stopping);
        }
        if inner.0.len() + things.len() > self.limit {
            return Err(NotTaken::Full);
        }
        if inner.0.len_of(client) + things.len() > self.limit_each {
            return Err(NotTaken::Share);
        }
        things.into_iter().for_each(|thing| inner.0.push(client, thing));
        self.changed.notify_all();
        Ok(())
    }

    /// The first thing of the client whose turn it is, of those that `may` have one.
    pub(crate) fn pop_of(&self, may: impl FnMut(&C) -> bool) -> Option<(C, T)> {
        self.lock().0.pop_of(may)
    }

    /// As [`Self::pop_of`], whoever it is.
    pub(crate) fn pop(&self) -> Option<(C, T)> {
        self.pop_of(|_| true)
    }

    /// Takes out whatever `keep` does not want.
    pub(crate) fn retain(&self, keep: impl FnMut(&T) -> bool) {
        self.lock().0.retain(keep);
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().0.len()
    }

    pub(crate) fn course(&self) -> Course {
        self.lock().1
    }

    pub(crate) fn set_course(&self, course: Course) {
        self.lock().1 = course;
        self.changed.notify_all();
    }

    /// Waits until something is there or the course has changed, and not longer than `most`.
    pub(crate) fn wait(&self, most: Duration) {
        let inner = self.lock();
        let idle = |inner: &mut (Turns<C, T>, Course)| inner.0.is_empty() && inner.1 == Course::Open;
        drop(self.changed.wait_timeout_while(inner, most, idle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none_is_taken_and_nothing_once_it_stops() {
        let queue = Queue::new(3, None);
        assert_eq!(queue.push(1, vec!['a', 'b']), Ok(()));
        assert_eq!(queue.push(2, vec!['c', 'd']), Err(NotTaken::Full));
        assert_eq!((queue.push(2, vec!['c']), queue.len()), (Ok(()), 3));
        assert_eq!(queue.pop(), Some((1, 'a')));
        queue.set_course(Course::Draining);
        assert_eq!(queue.push(1, vec!['e']), Err(NotTaken::Stopping));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some((2, 'c')), Some((1, 'b')), None));
    }

    #[test]
    fn a_client_has_its_share_and_others_the_rest() {
        let queue = Queue::new(3, Some(2));
        assert_eq!(queue.push(1, vec!['a', 'b', 'c']), Err(NotTaken::Share));
        assert_eq!(queue.push(1, vec!['a', 'b']), Ok(()));
        assert_eq!(queue.push(1, vec!['c']), Err(NotTaken::Share));
        assert_eq!((queue.push(2, vec!['d']), queue.push(3, vec!['e'])), (Ok(()), Err(NotTaken::Full)));
        assert_eq!(queue.pop_of(|client| *client != 1), Some((2, 'd')));
        assert_eq!((queue.pop_of(|client| *client != 1), queue.pop()), (None, Some((1, 'a'))));
    }
}
