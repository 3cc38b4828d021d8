//! What a needle is hidden in.

use percept_data::Tokenizer;
use percept_fault::{Fault, Result};

use crate::Texts;

/// Words of made-up haystacks.
const WORDS: [&str; 48] = [
    "the", "a", "and", "of", "to", "in", "it", "was", "his", "her", "with", "for", "on", "at", "by", "from", "old",
    "young", "long", "quiet", "road", "house", "river", "garden", "evening", "morning", "winter", "window", "letter",
    "table", "horse", "bread", "water", "stone", "voice", "hand", "door", "came", "went", "saw", "heard", "found",
    "left", "kept", "still", "again", "never", "always",
];

/// Where haystacks come from.
pub(super) enum Haystack<'a> {
    /// A run of the text from a random place on; where a document ends, the next one goes on.
    Text {
        /// The text.
        texts: &'a dyn Texts,
        /// Tokens of each document.
        sizes: Vec<usize>,
    },
    /// Sentences of random words.
    Synthetic(&'a Tokenizer),
}

impl<'a> Haystack<'a> {
    /// # Errors
    /// The text has no tokens, or cannot be read.
    pub(super) fn new(texts: Option<&'a dyn Texts>, tokenizer: &'a Tokenizer) -> Result<Self> {
        let Some(texts) = texts else { return Ok(Self::Synthetic(tokenizer)) };
        let sizes =
            (0..texts.len()).map(|index| Ok(texts.document(index)?.tokens.len())).collect::<Result<Vec<_>>>()?;
        match sizes.iter().sum::<usize>() {
            0 => Err(Fault::usage("the text has no tokens to hide a needle in").hint("give a text that is not empty")),
            _ => Ok(Self::Text { texts, sizes }),
        }
    }

    /// Its name in results.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Synthetic(_) => "synthetic",
        }
    }

    /// `length` tokens; `keys` decide which.
    ///
    /// # Errors
    /// The text cannot be read.
    pub(super) fn draw(&self, length: usize, keys: &[u64]) -> Result<Vec<u32>> {
        match self {
            Self::Text { texts, sizes } => from_text(*texts, sizes, length, percept_random::hash(keys)),
            Self::Synthetic(tokenizer) => sentences(tokenizer, length, percept_random::hash(keys)),
        }
    }
}

fn from_text(texts: &dyn Texts, sizes: &[usize], length: usize, key: u64) -> Result<Vec<u32>> {
    let mut start = percept_random::below(sizes.iter().sum::<usize>() as u64, &[key]) as usize;
    let mut index = 0;
    while start >= sizes[index] {
        start -= sizes[index];
        index += 1;
    }
    let mut tokens = Vec::with_capacity(length);
    while tokens.len() < length {
        let document = texts.document(index)?.tokens;
        let end = document.len().min(start + length - tokens.len());
        tokens.extend(document.range(start..end));
        (start, index) = (0, (index + 1) % texts.len());
    }
    Ok(tokens)
}

fn sentences(tokenizer: &Tokenizer, length: usize, key: u64) -> Result<Vec<u32>> {
    let mut text = String::new();
    let mut drawn = 0;
    let mut draw = |bound: usize| {
        drawn += 1;
        percept_random::below(bound as u64, &[key, drawn]) as usize
    };
    for bytes in std::iter::successors(Some(8 * length), |bytes| Some(2 * bytes)) {
        while text.len() < bytes {
            let words: Vec<&str> = (0..4 + draw(9)).map(|_| WORDS[draw(WORDS.len())]).collect();
            let mut sentence = words.join(" ");
            sentence[..1].make_ascii_uppercase();
            text.push_str(&sentence);
            text.push_str(". ");
        }
        let mut tokens = tokenizer.encode(text.as_bytes())?;
        if tokens.len() >= length {
            tokens.truncate(length);
            return Ok(tokens);
        }
    }
    Err(Fault::internal("a tokenizer makes no tokens of text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryTexts;

    #[test]
    fn hay_has_its_length_and_depends_on_its_keys() {
        let tokenizer = Tokenizer::bytes();
        let texts = MemoryTexts::new(tokenizer.clone(), vec![b"abc".to_vec(), vec![], b"defgh".to_vec()]);
        for texts in [None, Some(&texts as &dyn Texts)] {
            let haystack = Haystack::new(texts, &tokenizer).unwrap();
            let draw = |key| haystack.draw(20, &[key]).unwrap();
            assert_eq!((draw(1).len(), draw(1)), (20, draw(1)));
            assert!((2..9).any(|key| draw(key) != draw(1)), "{}", haystack.name());
        }
        let hay = Haystack::new(Some(&texts), &tokenizer).unwrap().draw(20, &[3]).unwrap();
        let cycle: Vec<u32> = b"abcdefgh".iter().map(|&byte| byte.into()).collect();
        let at = cycle.iter().position(|&byte| byte == hay[0]).unwrap();
        assert!(hay.iter().eq(cycle.iter().cycle().skip(at).take(20)), "documents follow each other");
        let empty = MemoryTexts::new(tokenizer.clone(), vec![vec![]]);
        assert!(Haystack::new(Some(&empty), &tokenizer).err().unwrap().is_usage());
    }

    #[test]
    fn made_up_text_is_sentences() {
        let hay = Haystack::Synthetic(&Tokenizer::bytes()).draw(400, &[1]).unwrap();
        let text: String = hay.iter().map(|&byte| char::from(byte as u8)).collect();
        let words = text.split_whitespace().count();
        assert!(text.starts_with(char::is_uppercase) && (60..130).contains(&words), "{text}");
    }
}
