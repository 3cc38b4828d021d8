//! The baseline: an interpolated Witten-Bell n-gram model over bytes.
//!
//! With `N(h)` occurrences of a context `h` that were followed by a byte of the same document, `T(h)`
//! different bytes among them, and `h'` the context without its oldest byte:
//!
//! ```text
//! P(c | h) = (N(h c) + T(h) P(c | h')) / (N(h) + T(h)),   down to the uniform 1 / 256
//! ```
//!
//! An unseen context hands over to the next shorter one. Contexts never cross documents: the first
//! bytes of a document have shorter contexts. Counts are exact (hash maps, no hashed approximations), so
//! memory grows with the number of different n-grams, not with the length of the text.
//!
//! Source: Witten and Bell, "The zero-frequency problem" (1991), method C; the interpolated form of
//! Chen and Goodman (1998).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use percept_fault::{Fault, Result};
use rayon::prelude::*;

/// The longest context, in bytes: with the predicted byte it fills one 64-bit key.
pub const MAX_ORDER: usize = 7;

/// A fast hash for packed n-grams: one multiplication, its halves folded together.
#[derive(Default)]
struct PackedHasher(u64);

impl Hasher for PackedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value ^ 0x9e37_79b9_7f4a_7c15) * u128::from(0xd6e8_feb8_6659_fd93_u64);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

type PackedMap<T> = HashMap<u64, T, BuildHasherDefault<PackedHasher>>;

/// How often a context was seen, and how many different bytes followed it.
#[derive(Debug, Clone, Copy, Default)]
struct Context {
    total: u64,
    distinct: u64,
}

/// Counts of one context length `k`: n-grams of `k + 1` bytes, packed with the oldest byte on top.
#[derive(Default)]
struct Level {
    grams: PackedMap<u64>,
    contexts: PackedMap<Context>,
}

/// The last `length` bytes of a rolling history.
fn tail(history: u64, length: usize) -> u64 {
    history & u64::MAX.checked_shr(64 - 8 * length as u32).unwrap_or(0)
}

impl Level {
    fn count(&mut self, length: usize, document: &[u8]) {
        let mut history = 0u64;
        for (index, &byte) in document.iter().enumerate() {
            history = history << 8 | u64::from(byte);
            if index >= length {
                *self.grams.entry(tail(history, length + 1)).or_default() += 1;
            }
        }
    }

    fn summarize(&mut self) {
        for (&gram, &count) in &self.grams {
            let context = self.contexts.entry(gram >> 8).or_default();
            context.total += count;
            context.distinct += 1;
        }
    }
}

/// Collects the counts of training documents; [`NgramCounter::finish`] turns them into a model.
///
/// ```
/// use percept_score::ngram::NgramCounter;
/// let mut counter = NgramCounter::new(2)?;
/// counter.add(b"abracadabra");
/// let model = counter.finish();
/// assert!(model.bits(b"abra") < 8.0 * 4.0);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub struct NgramCounter {
    levels: Vec<Level>,
}

impl NgramCounter {
    /// A counter for contexts of 0 to `order` bytes.
    ///
    /// # Errors
    /// A usage fault where `order` exceeds [`MAX_ORDER`].
    pub fn new(order: usize) -> Result<Self> {
        if order > MAX_ORDER {
            return Err(Fault::usage(format!("n-gram order {order} is too high"))
                .hint(format!("use an order of 0 to {MAX_ORDER}")));
        }
        Ok(Self { levels: (0..=order).map(|_| Level::default()).collect() })
    }

    /// Counts one document.
    pub fn add(&mut self, document: &[u8]) {
        self.levels.par_iter_mut().enumerate().for_each(|(length, level)| level.count(length, document));
    }

    /// The model of everything that was added.
    pub fn finish(mut self) -> Ngram {
        self.levels.par_iter_mut().for_each(Level::summarize);
        Ngram { levels: self.levels }
    }
}

/// An interpolated Witten-Bell byte model; see the [module](self) for its formula.
///
/// ```
/// use percept_score::ngram::Ngram;
/// let mut model = Ngram::fit(2, ["abracadabra"])?;
/// // After `br` there was always an `a`.
/// assert!(model.probability(b"br", b'a') > 0.75);
/// // A byte that was never seen keeps a little.
/// assert!(model.probability(b"br", b'z') > 0.0);
/// // Cut to contexts of no byte, only frequencies are left: `a` is 5 of 11.
/// model.truncate(0);
/// assert!((model.probability(b"br", b'a') - 5.0 / 11.0).abs() < 0.15);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub struct Ngram {
    levels: Vec<Level>,
}

impl Ngram {
    /// Fits a model of the given order to documents.
    ///
    /// # Errors
    /// A usage fault where `order` exceeds [`MAX_ORDER`].
    pub fn fit<D: AsRef<[u8]>>(order: usize, documents: impl IntoIterator<Item = D>) -> Result<Self> {
        let mut counter = NgramCounter::new(order)?;
        for document in documents {
            counter.add(document.as_ref());
        }
        Ok(counter.finish())
    }

    /// The longest context in bytes.
    pub fn order(&self) -> usize {
        self.levels.len() - 1
    }

    /// Keeps contexts of at most `order` bytes: the model that fitting at this order would have given.
    pub fn truncate(&mut self, order: usize) {
        self.levels.truncate(order + 1);
    }

    /// Probability of `byte` after `context`, of which the last `order` bytes count.
    pub fn probability(&self, context: &[u8], byte: u8) -> f64 {
        let known = context.len().min(self.order());
        let history = context[context.len() - known..].iter().fold(0, |packed, &byte| packed << 8 | u64::from(byte));
        self.interpolate(history, known, byte)
    }

    /// Bits to code one document from its start: minus the binary logarithm of its probability.
    pub fn bits(&self, document: &[u8]) -> f64 {
        let mut history = 0u64;
        let mut bits = 0.0;
        for (index, &byte) in document.iter().enumerate() {
            bits -= self.interpolate(history, index.min(self.order()), byte).log2();
            history = history << 8 | u64::from(byte);
        }
        bits
    }

    /// Bits per byte over documents; each byte counts once, and no context crosses a border.
    ///
    /// # Errors
    /// A usage fault where the documents hold no byte.
    pub fn bits_per_byte<D: AsRef<[u8]> + Sync>(&self, documents: &[D]) -> Result<f64> {
        let bytes: usize = documents.iter().map(|document| document.as_ref().len()).sum();
        if bytes == 0 {
            return Err(Fault::usage("no bytes to score with the n-gram model")
                .hint("give at least one document that is not empty"));
        }
        // Collected before summing: a parallel sum would not have a fixed order.
        let bits: Vec<f64> = documents.par_iter().map(|document| self.bits(document.as_ref())).collect();
        Ok(bits.iter().sum::<f64>() / bytes as f64)
    }

    fn interpolate(&self, history: u64, known: usize, byte: u8) -> f64 {
        let mut probability = 1.0 / 256.0;
        for (length, level) in self.levels[..=known].iter().enumerate() {
            let context = tail(history, length);
            let Some(seen) = level.contexts.get(&context) else { break };
            let count = level.grams.get(&(context << 8 | u64::from(byte))).copied().unwrap_or(0);
            let novelty = seen.distinct as f64;
            probability = (count as f64 + novelty * probability) / (seen.total as f64 + novelty);
        }
        probability
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn probabilities_follow_the_formula() {
        let model = Ngram::fit(1, [b"abab"]).unwrap();
        let uniform = 1.0 / 256.0;
        let a = (2.0 + 2.0 * uniform) / 6.0;
        let b = a;
        assert!((model.probability(b"", b'a') - a).abs() < 1e-15);
        // After "a" came "b" twice and nothing else; after "b" came "a" once (the last "b" ends the document).
        assert!((model.probability(b"xa", b'b') - (2.0 + b) / 3.0).abs() < 1e-15);
        assert!((model.probability(b"b", b'a') - (1.0 + a) / 2.0).abs() < 1e-15);
        // "x" was never seen: the order-0 estimate.
        assert!((model.probability(b"x", b'a') - a).abs() < 1e-15);
    }

    #[test]
    fn contexts_do_not_cross_documents() {
        let model = Ngram::fit(1, [b"a", b"b"]).unwrap();
        assert_eq!(model.probability(b"a", b'b'), model.probability(b"", b'b'));
        let together = model.bits_per_byte(&[b"a", b"b"]).unwrap();
        assert!((together - -model.probability(b"", b'a').log2()).abs() < 1e-12);
    }

    #[test]
    fn bad_input_is_refused() {
        assert!(NgramCounter::new(MAX_ORDER + 1).is_err());
        let none: [&[u8]; 1] = [b""];
        assert!(Ngram::fit(2, none).unwrap().bits_per_byte(&none).is_err());
    }

    /// The published figures of this corpus, computed by another program from the same definition.
    #[test]
    fn books_reproduce_the_reference_figures() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/books");
        let read = |split: &str| -> Option<Vec<Vec<u8>>> {
            let mut files: Vec<_> =
                std::fs::read_dir(format!("{folder}/{split}")).ok()?.map(|entry| entry.unwrap().path()).collect();
            files.sort();
            Some(files.iter().map(|file| std::fs::read(file).unwrap()).collect())
        };
        let (Some(train), Some(test)) = (read("train"), read("test")) else {
            eprintln!("skipped: {folder} is absent");
            return;
        };
        let mut model = Ngram::fit(5, &train).unwrap();
        for (order, expected) in [(5, 1.990), (4, 2.101), (3, 2.399), (2, 2.905), (1, 3.531)] {
            model.truncate(order);
            let bits = model.bits_per_byte(&test).unwrap();
            assert!((bits - expected).abs() < 5.5e-4, "order {order}: {bits:.4}, expected {expected}");
        }
    }

    proptest! {
        #[test]
        fn every_context_has_a_distribution(
            text in proptest::collection::vec(0u8..6, 0..60),
            context in proptest::collection::vec(0u8..7, 0..5),
            order in 0usize..=MAX_ORDER,
        ) {
            let model = Ngram::fit(order, [&text]).unwrap();
            let sum: f64 = (0..=255).map(|byte| model.probability(&context, byte)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }

        #[test]
        fn bits_are_the_sum_over_positions(text in proptest::collection::vec(0u8..5, 0..40), order in 0usize..4) {
            let model = Ngram::fit(order, [b"the training text"]).unwrap();
            let sum: f64 = (0..text.len()).map(|at| -model.probability(&text[..at], text[at]).log2()).sum();
            prop_assert!((model.bits(&text) - sum).abs() < 1e-9);
        }
    }
}
