//! The way from a text back to who wants it.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::{AtEnd, Event, Failure};
use crate::access::Client;

/// Where the events of a text go.
#[derive(Debug)]
pub(super) struct Channel {
    /// The text's place in its request.
    index: usize,
    /// Whose it is.
    pub(super) client: Client,
    /// What its reader wants besides.
    pub(super) at_end: AtEnd,
    events: Sender<(usize, Event)>,
    /// What the reader had no room for yet.
    held: VecDeque<Event>,
    /// When its prompt came; taken with the first token.
    pub(super) arrived: Option<Instant>,
    deadline: Instant,
}

impl Channel {
    pub(super) fn new(
        (index, client): (usize, Client),
        at_end: AtEnd,
        events: Sender<(usize, Event)>,
        deadline: Instant,
    ) -> Self {
        Self { index, client, at_end, events, held: VecDeque::new(), arrived: Some(Instant::now()), deadline }
    }

    /// Whether nobody listens any more.
    pub(super) fn is_closed(&self) -> bool {
        self.events.is_closed()
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Takes an event; it never waits.
    pub(super) fn send(&mut self, event: Event) {
        self.held.push_back(event);
        self.flush();
    }

    /// Gives the reader what it has room for.
    pub(super) fn flush(&mut self) {
        while let Some(event) = self.held.pop_front() {
            match self.events.try_send((self.index, event)) {
                Ok(()) => {}
                Err(TrySendError::Full((_, event))) => {
                    self.held.push_front(event);
                    return;
                }
                Err(TrySendError::Closed(_)) => self.held.clear(),
            }
        }
    }

    /// Whether the reader has no room for what is there already.
    pub(super) fn is_full(&self) -> bool {
        !self.held.is_empty()
    }

    /// The last event of a text that won't go on: a reader that has no room for it sees the end of the events.
    pub(super) fn fail(&self, failure: Failure) {
        drop(self.events.try_send((self.index, Event::Failed(failure))));
    }
}
