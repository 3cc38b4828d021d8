//! From windows of text to sequences of which some tokens are masked.

use percept_data::{IGNORED, Tokenizer, WordParts};
use percept_model::Batch;
use percept_model::encoder::{MaskedBatch, Masking, Sequences};
use percept_random::hash;

/// Keeps the masks of what is scored apart from those of training.
const SCORING: u64 = 0x0073_636f_7269_6e67;

/// Masks words in sequences of a tokenizer's tokens.
///
/// ```
/// use percept_data::{IGNORED, Tokenizer};
/// use percept_model::{Batch, encoder::Masking};
/// use percept_score::masked::Masker;
/// let masker = Masker::new(&Tokenizer::bytes(), Masking { rate: 1.0, mask: 1.0, random: 0.0, whole_words: true });
/// // A window of the text `hi!`: the document token and two bytes, each of which predicts the next; then padding.
/// let text = b"hi!".map(u32::from);
/// let tokens = [256, text[0], text[1], 256].to_vec();
/// let window = Batch { tokens, targets: vec![text[0], text[1], text[2], IGNORED], rows: 1, length: 4 };
/// let masked = masker.batch(&window, &mut |_, _| 1);
/// // A token of its own, 257, stands for all that is to be told.
/// assert_eq!((masked.sequences.tokens, masked.labels), (vec![256, 257, 257, 257], text.to_vec()));
/// ```
#[derive(Debug, Clone)]
pub struct Masker {
    parts: WordParts,
    masking: Masking,
    mask: u32,
}

/// A sequence, and which of its tokens may be asked.
struct Sequence {
    tokens: Vec<u32>,
    scored: Vec<bool>,
}

impl Masker {
    /// The mask is the token after the tokenizer's.
    pub fn new(tokenizer: &Tokenizer, masking: Masking) -> Self {
        Self { parts: tokenizer.word_parts(), masking, mask: tokenizer.vocab_size() as u32 }
    }

    /// The token that stands for one to be told.
    pub fn mask(&self) -> u32 {
        self.mask
    }

    /// Windows whose targets are the next tokens, as sequences that end with the last target, masked; `seed` gets the number of a window
    /// and its tokens. What is no target is not asked.
    pub fn batch(&self, windows: &Batch, seed: &mut dyn FnMut(usize, &[u32]) -> u64) -> MaskedBatch {
        let rows = windows.tokens.chunks(windows.length).zip(windows.targets.chunks(windows.length));
        let mut sequences: Vec<Sequence> = rows.map(|(inputs, targets)| sequence(inputs, targets)).collect();
        let (mut asked, mut labels) = (Vec::new(), Vec::new());
        let rows = sequences.iter().map(|sequence| sequence.tokens.len()).max().unwrap_or(0);
        for (index, sequence) in sequences.iter_mut().enumerate() {
            let before = sequence.tokens.clone();
            let places = self.places(&before, &sequence.scored, seed(index, &before), &mut sequence.tokens);
            labels.extend(places.iter().map(|at| before[*at]));
            asked.extend(places.into_iter().map(|at| index * rows + at));
        }
        let tokens: Vec<&[u32]> = sequences.iter().map(|sequence| &*sequence.tokens).collect();
        MaskedBatch { sequences: Sequences::of(&tokens), asked, labels }
    }

    /// [`Masker::batch`] with the chance that scoring has: each sequence's own.
    pub fn scored(&self, windows: &Batch) -> MaskedBatch {
        let of = |tokens: &[u32]| tokens.iter().fold(SCORING, |seed, token| hash(&[seed, u64::from(*token)]));
        self.batch(windows, &mut |_, tokens| of(tokens))
    }

    /// A window as a sequence, as it is, and the places in it that may be asked.
    pub(super) fn sequence(windows: &Batch, row: usize) -> (Vec<u32>, Vec<usize>) {
        let window = row * windows.length..(row + 1) * windows.length;
        let Sequence { tokens, scored } = sequence(&windows.tokens[window.clone()], &windows.targets[window]);
        (tokens, scored.iter().enumerate().filter(|(_, scored)| **scored).map(|(at, _)| at).collect())
    }

    /// Masks `tokens`; the places that are asked.
    fn places(&self, before: &[u32], scored: &[bool], seed: u64, tokens: &mut [u32]) -> Vec<usize> {
        let mut words = Vec::new();
        let mut start = 0;
        for run in scored.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            if run[0] && self.masking.whole_words {
                let inside = self.parts.words(&before[start..end]);
                words.extend(inside.map(|word| start + word.start..start + word.end));
            } else if run[0] {
                words.extend((start..end).map(|at| at..at + 1));
            }
            start = end;
        }
        self.masking.apply(tokens, words, self.mask, seed)
    }
}

/// A window without its padding.
fn sequence(inputs: &[u32], targets: &[u32]) -> Sequence {
    let last = targets.iter().rposition(|target| *target != IGNORED);
    // A window in which nothing is a target is read, and nothing is asked of it.
    let Some(last) = last else { return Sequence { tokens: inputs[..1].to_vec(), scored: vec![false] } };
    let tokens = inputs[..=last].iter().copied().chain([targets[last]]).collect();
    let scored = std::iter::once(false).chain(targets[..=last].iter().map(|target| *target != IGNORED)).collect();
    Sequence { tokens, scored }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(whole_words: bool) -> Masker {
        Masker::new(&Tokenizer::bytes(), Masking { rate: 0.5, mask: 1.0, random: 0.0, whole_words })
    }

    fn windows(rows: &[(&str, usize)]) -> Batch {
        let mut batch = Batch { tokens: vec![], targets: vec![], rows: rows.len(), length: 40 };
        for (text, ignored) in rows {
            let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
            let padding = 40 - bytes.len();
            batch.tokens.extend([256].iter().chain(&bytes[..bytes.len() - 1]).chain(&vec![256; padding]));
            batch
                .targets
                .extend(vec![IGNORED; *ignored].iter().chain(&bytes[*ignored..]).chain(&vec![IGNORED; padding]));
        }
        batch
    }

    #[test]
    fn words_are_asked_as_a_whole_and_only_where_there_are_targets() {
        let windows = windows(&[("the cat sat on the mat, quietly.", 0), ("once upon a time", 5), ("no", 2)]);
        let masked = every(true).batch(&windows, &mut |row, _| row as u64);
        assert_eq!(masked.sequences.lengths, [33, 17, 1]);
        assert_eq!(masked.sequences.rows, 33);
        let text: Vec<u32> = b"the cat sat on the mat, quietly.".iter().map(|byte| u32::from(*byte)).collect();
        let asked: Vec<bool> = (0..32).map(|at| masked.asked.contains(&(at + 1))).collect();
        for at in 1..32 {
            let inside = (text[at - 1] as u8).is_ascii_alphabetic() && (text[at] as u8).is_ascii_alphabetic();
            assert!(!inside || asked[at - 1] == asked[at], "a word is asked in part at {at}");
        }
        assert!(asked.iter().any(|is| *is) && !asked.iter().all(|is| *is));
        assert!(masked.asked.iter().all(|&at| at % 33 > 0 && !(33..33 + 6).contains(&at) && at < 66));
        for (at, label) in masked.asked.iter().zip(&masked.labels) {
            assert!(masked.sequences.tokens[*at] == 257 && *label < 256);
        }
        // Were all words asked, all targets would be, and nothing else.
        let all = Masker::new(&Tokenizer::bytes(), Masking { rate: 1.0, mask: 1.0, random: 0.0, whole_words: true });
        let all = all.batch(&windows, &mut |row, _| row as u64);
        assert!(all.asked.iter().copied().eq((1..33).chain(33 + 6..33 + 17)), "{:?}", all.asked);
        let single = every(false).batch(&windows, &mut |row, _| row as u64);
        assert_ne!(single.asked, masked.asked);
    }

    #[test]
    fn what_is_scored_depends_on_the_sequence_alone() {
        let (a, b) = (("the cat sat on the mat", 0), ("once upon a time there was", 0));
        let masker = every(true);
        let of = |rows: &[(&str, usize)]| masker.scored(&windows(rows));
        let (together, alone) = (of(&[a, b]), of(&[b]));
        let rows = together.sequences.rows;
        let second = together.asked.iter().filter(|at| **at >= rows).map(|at| at - rows).collect::<Vec<_>>();
        assert_eq!(second, alone.asked);
        assert!(!alone.asked.is_empty());
        assert_ne!(of(&[("once upon a time there was!", 0)]).asked, alone.asked);
    }
}
