//! Bytes, characters and words of a text that comes in pieces.

use crate::tokenizer::is_continuation;

/// What a text measures. [`Count::append`] joins the counts of two neighbours into the count of both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) bytes: u64,
    /// Bytes that start a character: all but UTF-8 continuation bytes.
    pub(crate) chars: u64,
    /// Runs of characters that are not white space (Unicode's); what is not valid UTF-8 belongs to words.
    pub(crate) words: u64,
    starts_in_word: bool,
    ends_in_word: bool,
}

impl Count {
    pub(crate) fn of(text: &[u8]) -> Self {
        let (mut words, mut in_word, mut starts_in_word) = (0, false, None);
        let mut see = |is_word: bool| {
            starts_in_word.get_or_insert(is_word);
            words += u64::from(is_word && !in_word);
            in_word = is_word;
        };
        for chunk in text.utf8_chunks() {
            chunk.valid().chars().for_each(|c| see(!c.is_whitespace()));
            if !chunk.invalid().is_empty() {
                see(true);
            }
        }
        Self {
            bytes: text.len() as u64,
            chars: text.iter().filter(|&&byte| !is_continuation(byte)).count() as u64,
            words,
            starts_in_word: starts_in_word.unwrap_or(false),
            ends_in_word: in_word,
        }
    }

    pub(crate) fn append(&mut self, next: Count) {
        if next.bytes == 0 {
            return;
        }
        if self.bytes == 0 {
            *self = next;
            return;
        }
        self.bytes += next.bytes;
        self.chars += next.chars;
        self.words += next.words - u64::from(self.ends_in_word && next.starts_in_word);
        self.ends_in_word = next.ends_in_word;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_count_as_the_whole(text in "[a é\u{2003}\n🙂]{0,40}", at in 0_usize..41) {
            let at = (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap();
            let mut count = Count::of(&text.as_bytes()[..at]);
            count.append(Count::of(&text.as_bytes()[at..]));
            prop_assert_eq!(count.words, text.split_whitespace().count() as u64);
            prop_assert_eq!(count.chars, text.chars().count() as u64);
            prop_assert_eq!(count.bytes, text.len() as u64);
        }
    }

    #[test]
    fn broken_bytes_belong_to_words() {
        assert_eq!(Count::of(b"a \xff\xfe b\xff c").words, 4);
    }
}
