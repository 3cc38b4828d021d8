//! Which tokens make up a word, for any tokenizer.

use std::ops::Range;

use super::Tokenizer;
use super::pieces::is_word;

/// Longer words (text without blanks, hexadecimal dumps) count as several.
const LONGEST: usize = 32;

/// How the text of each token of a tokenizer begins and ends, from which follows where words do.
///
/// Two neighbours belong to one word where the first ends and the second begins with a letter, a digit, or a part of a character beyond
/// ASCII; every other token is a word by itself. So a blank or a mark in front of a token begins a word.
///
/// ```
/// use percept_data::Tokenizer;
/// let tokenizer = Tokenizer::bytes();
/// let tokens = tokenizer.encode("It's day 12.".as_bytes())?;
/// let words: Vec<_> = tokenizer.word_parts().words(&tokens).map(|word| tokenizer.decode(&tokens[word])).collect();
/// assert_eq!(words, ["It", "'", "s", " ", "day", " ", "12", "."].map(|word| word.as_bytes().to_vec()));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct WordParts {
    /// Of each token.
    ends: Vec<Ends>,
}

/// Whether a token's text begins and ends inside a word.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    first: bool,
    last: bool,
}

impl Tokenizer {
    /// Where words begin and end in its tokens.
    pub fn word_parts(&self) -> WordParts {
        let ends = |id: u32| {
            // As it stands inside a text: WordPiece and its like tell there whether a blank is in front.
            let text = self.decode_later(&[id]);
            let is_inside = |byte: Option<&u8>| byte.is_some_and(|byte| is_word(*byte));
            Ends { first: is_inside(text.first()), last: is_inside(text.last()) }
        };
        WordParts { ends: (0..self.vocab_size() as u32).map(ends).collect() }
    }
}

impl WordParts {
    /// The words of some tokens, in order; all of them together are all tokens.
    pub fn words(&self, tokens: &[u32]) -> impl Iterator<Item = Range<usize>> {
        let of = |token: u32| self.ends.get(token as usize).copied().unwrap_or_default();
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = tokens.get(start..).filter(|rest| !rest.is_empty())?;
            let joined = rest.windows(2).take_while(|pair| of(pair[0]).last && of(pair[1]).first).count();
            let word = start..start + (1 + joined).min(LONGEST);
            start = word.end;
            Some(word)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{bert, gpt2, llama, t5};
    use super::*;

    fn words(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let tokens = tokenizer.encode(text.as_bytes()).unwrap();
        let parts = tokenizer.word_parts();
        let text = |word: Range<usize>| String::from_utf8(tokenizer.decode_later(&tokens[word])).unwrap();
        parts.words(&tokens).map(|word| text(word).trim().to_owned()).filter(|word| !word.is_empty()).collect()
    }

    #[test]
    fn words_are_found_whatever_the_tokenizer_makes_of_blanks() {
        for tokenizer in [Tokenizer::bytes(), gpt2(), llama(), t5(), bert()] {
            // `foxes` and `zebra` are several tokens in all of them.
            let found = words(&tokenizer, "the foxes sat, an zebra");
            assert_eq!(found, ["the", "foxes", "sat", ",", "an", "zebra"], "{}", tokenizer.describe());
        }
    }

    #[test]
    fn all_words_together_are_all_tokens() {
        let (tokenizer, text) = (Tokenizer::bytes(), "x".repeat(70) + "\u{8a9e}\u{8a9e}, \u{0}");
        let mut tokens = tokenizer.encode(text.as_bytes()).unwrap();
        // The document token, and one that the tokenizer does not know, are words of their own.
        tokens.extend([256, 999, 120]);
        let words: Vec<_> = tokenizer.word_parts().words(&tokens).collect();
        assert_eq!(words.iter().map(Range::len).collect::<Vec<_>>(), [32, 32, 12, 1, 1, 1, 1, 1, 1]);
        assert!(words.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(tokenizer.word_parts().words(&[]).count(), 0);
    }
}
