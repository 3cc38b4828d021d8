//! What waits, taken from one client after the other.

use std::collections::VecDeque;

/// Things of clients: each client's in their order, the clients in turn, however many things one of them has.
#[derive(Debug)]
pub(crate) struct Turns<C, T> {
    clients: VecDeque<(C, VecDeque<T>)>,
    length: usize,
}

impl<C, T> Default for Turns<C, T> {
    fn default() -> Self {
        Self { clients: VecDeque::new(), length: 0 }
    }
}

impl<C: Copy + PartialEq, T> Turns<C, T> {
    /// Number of things of all clients.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// After all that the client has here.
    pub(crate) fn push(&mut self, client: C, thing: T) {
        self.length += 1;
        match self.clients.iter_mut().find(|(known, _)| *known == client) {
            Some((_, things)) => things.push_back(thing),
            None => self.clients.push_back((client, VecDeque::from([thing]))),
        }
    }

    /// Back to where it was taken from: the client's next turn is for it.
    pub(crate) fn put_back(&mut self, client: C, thing: T) {
        self.length += 1;
        match self.clients.iter_mut().find(|(known, _)| *known == client) {
            Some((_, things)) => things.push_front(thing),
            None => self.clients.push_back((client, VecDeque::from([thing]))),
        }
    }

    /// Number of things of a client.
    pub(crate) fn len_of(&self, client: C) -> usize {
        self.clients.iter().find(|(known, _)| *known == client).map_or(0, |(_, things)| things.len())
    }

    /// All things, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.clients.iter().flat_map(|(_, things)| things)
    }

    /// The first thing of the client whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<(C, T)> {
        self.pop_of(|_| true)
    }

    /// The first thing of the client whose turn it is, of those that `may` have one; the others keep theirs.
    pub(crate) fn pop_of(&mut self, mut may: impl FnMut(&C) -> bool) -> Option<(C, T)> {
        let turn = self.clients.iter().position(|(client, _)| may(client))?;
        let (client, mut things) = self.clients.remove(turn)?;
        let thing = things.pop_front()?;
        self.length -= 1;
        if !things.is_empty() {
            self.clients.push_back((client, things));
        }
        Some((client, thing))
    }

    /// Takes out whatever `keep` does not want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.clients.iter_mut().for_each(|(_, things)| things.retain(&mut keep));
        self.clients.retain(|(_, things)| !things.is_empty());
        self.length = self.clients.iter().map(|(_, things)| things.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let mut turns = Turns::default();
        (0..4).for_each(|thing| turns.push('a', thing));
        turns.push('b', 10);
        turns.push('c', 20);
        turns.push('b', 11);
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order, [('a', 0), ('b', 10), ('c', 20), ('a', 1), ('b', 11), ('a', 2), ('a', 3)]);
        assert!(turns.is_empty());
    }

    #[test]
    fn what_is_put_back_is_next_in_its_clients_turn() {
        let mut turns = Turns::default();
        turns.push('a', 0);
        turns.push('a', 1);
        turns.push('b', 10);
        let (client, thing) = turns.pop().unwrap();
        turns.put_back(client, thing);
        assert_eq!((turns.pop(), turns.pop(), turns.pop()), (Some(('b', 10)), Some(('a', 0)), Some(('a', 1))));
        turns.push('a', 2);
        turns.push('b', 3);
        turns.retain(|thing| *thing != 2);
        assert_eq!((turns.len(), turns.pop(), turns.pop()), (1, Some(('b', 3)), None));
    }

    #[test]
    fn who_may_not_have_a_turn_keeps_it() {
        let mut turns = Turns::default();
        [('a', 0), ('a', 1), ('b', 10), ('c', 20)].into_iter().for_each(|(client, thing)| turns.push(client, thing));
        assert_eq!((turns.len_of('a'), turns.len_of('d'), turns.iter().sum::<i32>()), (2, 0, 31));
        assert_eq!(turns.pop_of(|client| *client == 'd'), None);
        assert_eq!((turns.pop_of(|client| *client != 'a'), turns.len()), (Some(('b', 10)), 3));
        assert_eq!((turns.pop(), turns.pop(), turns.pop()), (Some(('a', 0)), Some(('c', 20)), Some(('a', 1))));
    }
}
