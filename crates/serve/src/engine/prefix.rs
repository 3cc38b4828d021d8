//! States after the beginnings of prompts: a prompt that begins as an earlier one is read from there.
//!
//! Prompts are read in pieces that end at multiples of a fixed number of tokens, counted from the start. After a piece the state
//! depends on the tokens before it alone, and is what reading them again would give, bit for bit. It is found by a digest of all that it
//! depends on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use percept_model::Session;
use sha2::{Digest, Sha256};

use crate::metrics::ModelMetrics;

/// Bytes that are kept of each layer beside its state, about.
const BESIDE: usize = 5 << 10;

/// What a state depends on: model, owner, and all tokens so far.
type Key = [u8; 32];

/// The keys of a prompt: one for each whole piece of it.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    keys: Vec<Key>,
    piece: usize,
}

impl Prefixes {
    /// Whose prompt it is matters: how fast an answer comes tells nobody what others have sent.
    pub(crate) fn new(fingerprint: &str, owner: &str, prompt: &[u32], piece: usize) -> Self {
        let mut key: Key = Sha256::digest(format!("{fingerprint} {owner} {piece}")).into();
        let pieces = prompt.chunks_exact(piece).map(|tokens| {
            let mut digest = Sha256::new_with_prefix(key);
            tokens.iter().for_each(|token| digest.update(token.to_le_bytes()));
            key = digest.finalize().into();
            key
        });
        Self { keys: pieces.collect(), piece }
    }

    /// The key of a state after `position` tokens, where one is kept there: after a power of two of pieces, and after the last.
    /// So a prompt leaves few states, and a later one that shares a part of it finds at least half of that part.
    fn kept_at(&self, position: usize) -> Option<&Key> {
        let pieces = position.checked_div(self.piece)?;
        let is_kept = pieces.is_power_of_two() || pieces == self.keys.len();
        let key = self.keys.get(pieces.checked_sub(1)?)?;
        (is_kept && position.is_multiple_of(self.piece)).then_some(key)
    }
}

#[derive(Debug)]
struct Kept {
    session: Session,
    bytes: usize,
    /// Its place in the order of use.
    used: u64,
}

/// The states, as many as fit; what was not used for longest goes first.
#[derive(Debug)]
pub(super) struct PrefixCache {
    most_bytes: usize,
    bytes: usize,
    kept: HashMap<Key, Kept>,
    order: BTreeMap<u64, Key>,
    clock: u64,
    metrics: Arc<ModelMetrics>,
}

impl PrefixCache {
    pub(super) fn new(most_bytes: usize, metrics: Arc<ModelMetrics>) -> Self {
        let (bytes, kept, order, clock) = Default::default();
        Self { most_bytes, bytes, kept, order, clock, metrics }
    }

    /// The longest beginning of a prompt that is kept.
    pub(super) fn find(&mut self, prefixes: &Prefixes) -> Option<Session> {
        if prefixes.keys.is_empty() || self.most_bytes == 0 {
            return None;
        }
        self.metrics.prefix_lookups.add(1);
        let key = *prefixes.keys.iter().rev().find(|key| self.kept.contains_key(*key))?;
        self.touch(key);
        let session = self.kept.get(&key)?.session.fork();
        self.metrics.prefix_hits.add(1);
        self.metrics.prefix_tokens.add(session.position() as u64);
        Some(session)
    }

    /// Keeps the state of a session that has read a prompt so far, where it is one to be kept.
    pub(super) fn offer(&mut self, prefixes: &Prefixes, session: &Session) {
        let Some(&key) = prefixes.kept_at(session.position()) else { return };
        let bytes = size(session);
        if bytes > self.most_bytes {
            return;
        }
        if !self.kept.contains_key(&key) {
            self.bytes += bytes;
            self.kept.insert(key, Kept { session: session.fork(), bytes, used: 0 });
        }
        self.touch(key);
        while self.bytes > self.most_bytes
            && let Some((_, key)) = self.order.pop_first()
        {
            self.bytes -= self.kept.remove(&key).map_or(0, |kept| kept.bytes);
        }
        self.metrics.prefix_bytes.set(self.bytes as u64);
    }

    /// Makes it the last to go.
    fn touch(&mut self, key: Key) {
        self.clock += 1;
        if let Some(kept) = self.kept.get_mut(&key) {
            self.order.remove(&kept.used);
            kept.used = self.clock;
            self.order.insert(self.clock, key);
        }
    }
}

/// Bytes that a state takes here: itself, the last row, and about what the names and dimensions of its tensors do.
fn size(session: &Session) -> usize {
    let config = session.model().config();
    session.state_bytes() + config.dim * size_of::<f32>() + config.depth * BESIDE
}

#[cfg(test)]
mod tests {
    use percept_model::{InferenceModel, LanguageModel, ModelConfig};

    use super::*;

    fn session() -> Session {
        let layers = "llp(segment=4)".into();
        let config = ModelConfig { layers, vocab: 20, dim: 8, depth: 1, heads: 2, context: 16, ..Default::default() };
        let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default()).unwrap().into());
        Session::new(model)
    }

    /// Reads a prompt in pieces of four, as an engine does; returns the position from which it was read.
    fn read(cache: &mut PrefixCache, owner: &str, prompt: &[u32]) -> usize {
        let prefixes = Prefixes::new("model", owner, prompt, 4);
        let mut session = cache.find(&prefixes).unwrap_or_else(session);
        let from = session.position();
        for piece in prompt[from..].chunks(4) {
            session.feed(piece).unwrap();
            cache.offer(&prefixes, &session);
        }
        from
    }

    #[test]
    fn a_prompt_is_read_from_the_longest_beginning_that_is_kept() {
        let mut cache = PrefixCache::new(1 << 20, Arc::default());
        let prompt: Vec<u32> = (0..19).collect();
        // The first prompt leaves states after 4, 8 and 16 tokens.
        assert_eq!([read(&mut cache, "a", &prompt), read(&mut cache, "a", &prompt), cache.kept.len()], [0, 16, 3]);
        let mut other = prompt.clone();
        other[14] = 0;
        assert_eq!((read(&mut cache, "a", &other), read(&mut cache, "a", &prompt[..7])), (8, 4));
        // Each token of a piece counts.
        for (at, from) in (0..16).zip([[0; 4], [4; 4], [8; 4], [8; 4]].concat()) {
            let mut other = prompt.clone();
            other[at] = 19;
            let found = PrefixCache::find(&mut cache, &Prefixes::new("model", "a", &other, 4));
            assert_eq!(found.map_or(0, |session| session.position()), from, "{at}");
        }
        let of = |fingerprint: &str, piece| Prefixes::new(fingerprint, "a", &prompt, piece).keys;
        assert!(of("model", 4) != of("other", 4) && !of("model", 8).contains(&of("model", 4)[1]));
        assert_eq!((read(&mut cache, "b", &prompt), read(&mut cache, "a", &prompt[..3])), (0, 0));
        let metrics = &cache.metrics;
        let numbers =
            [&metrics.prefix_lookups, &metrics.prefix_hits, &metrics.prefix_tokens].map(|number| number.get());
        assert_eq!(numbers, [21, 15, 28 + 4 * (4 + 8 + 8)]);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut one = session();
        one.feed(&[0; 4]).unwrap();
        let size = size(&one);
        // Room for two.
        let mut cache = PrefixCache::new(2 * size + size / 2, Arc::default());
        for (token, from) in [(0, 0), (1, 0), (0, 4), (2, 0), (0, 4), (1, 0)] {
            assert_eq!(read(&mut cache, "a", &[token; 4]), from, "{token}");
        }
        assert!(cache.bytes == 2 * size && cache.order.len() == 2 && cache.kept.len() == 2);
        let mut none = PrefixCache::new(0, Arc::default());
        assert_eq!((read(&mut none, "a", &[0; 4]), read(&mut none, "a", &[0; 4]), none.kept.len()), (0, 0, 0));
        assert_eq!(none.metrics.prefix_lookups.get(), 0);
    }
}
