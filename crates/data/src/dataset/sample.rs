//! A tokenizer for the text at hand.

use std::ops::Range;

use percept_fault::Result;

use super::{Dataset, Split};
use crate::{Document, Tokenizer};

/// Text is drawn in blocks of this many tokens.
const BLOCK: usize = 1 << 16;
/// Keeps the choice of blocks apart from other uses of the split's seed.
const SAMPLE_KEY: u64 = 0x73_61_6d_70;

impl Dataset {
    /// Trains a byte-level BPE tokenizer on the training split alone, so that held-out text stays unseen. Of text that is
    /// longer than `limit` bytes, a seeded sample of about that length, drawn from all of it; bytes that are not UTF-8
    /// are passed over. Open the dataset with the byte tokenizer for this.
    ///
    /// # Errors
    /// As [`Tokenizer::train_bpe`].
    pub fn train_bpe(&self, vocab: usize, limit: u64) -> Result<Tokenizer> {
        let total = self.size(Split::Train).bytes.max(1);
        let share = ((limit as f64 / total as f64).min(1.0) * u32::MAX as f64) as u64;
        let seed = self.config.split.seed;
        let drawn = |document: u64, block: u64| {
            percept_random::below(u64::from(u32::MAX), &[SAMPLE_KEY, seed, document, block]) < share
        };
        let documents = self.evaluation(Split::Train).zip(0_u64..);
        let texts = documents.flat_map(|(document, index)| {
            let blocks = blocks(document.tokens.len()).zip(0_u64..).filter(move |(_, block)| drawn(index, *block));
            blocks.map(move |(range, _)| self.text(&document, range))
        });
        Tokenizer::train_bpe(texts, vocab)
    }

    /// The valid UTF-8 in a block of a document.
    fn text(&self, document: &Document<'_>, range: Range<usize>) -> String {
        let start = range.start;
        let tokens = document.tokens.range(range);
        let bytes = if start == 0 { self.tokenizer.decode(&tokens) } else { self.tokenizer.decode_later(&tokens) };
        bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()
    }
}

fn blocks(length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length).step_by(BLOCK).map(move |start| start..(start + BLOCK).min(length))
}

#[cfg(test)]
mod tests {
    use crate::testing::Folder;
    use crate::{DataConfig, Dataset};

    #[test]
    fn a_tokenizer_learns_from_the_training_text_only() {
        let folder = Folder::with(&[("train.txt", &b"abab abab ".repeat(9)), ("valid.txt", &b"xyxy xyxy ".repeat(99))]);
        let dataset = Dataset::open(&folder.config(), None, &mut |_| {}).unwrap();
        let tokenizer = dataset.train_bpe(260, u64::MAX).unwrap();
        assert_eq!(tokenizer.vocab_size(), 260);
        assert!(tokenizer.encode(b"abab").unwrap().len() < 4);
        assert_eq!(tokenizer.encode(b"xyxy").unwrap().len(), 4);
    }

    #[test]
    fn a_limit_draws_a_part_of_all_text_the_same_each_time() {
        let words: String = (0..200_000).map(|i| format!("w{} ", i * 7919 % 100_003)).collect();
        let folder = Folder::with(&[("train.txt", words.as_bytes()), ("test.txt", b"text")]);
        let config =
            DataConfig { split: crate::SplitConfig { validation: 0.0, ..Default::default() }, ..folder.config() };
        let dataset = Dataset::open(&config, None, &mut |_| {}).unwrap();
        let train = |limit| dataset.train_bpe(400, limit).unwrap().fingerprint().to_string();
        assert_eq!(train(300_000), train(300_000));
        assert_ne!(train(300_000), train(u64::MAX));
    }
}
