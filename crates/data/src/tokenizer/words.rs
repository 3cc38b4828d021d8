//! Byte-level BPE by words: the same tokens as the `tokenizers` crate, in a tenth of the time.
//!
//! That crate splits text with a backtracking regular expression and keeps an alignment for every character. Here a linear one
//! splits, and words that were seen before are looked up.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use regex::Regex;
use tokenizers::{Model, ModelWrapper, PreTokenizerWrapper};

use super::table::CHAR_OF;
use super::text::BadText;

/// GPT-2's pattern without its look-ahead `\s+(?!\S)`, which [`next_word`] stands in for.
const PATTERN: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
/// Words that are remembered; beyond it, new words are encoded each time.
const REMEMBERED: usize = 1 << 18;
/// Longer words are not remembered.
const LONGEST: usize = 64;

type Known = HashMap<Box<str>, Box<[u32]>>;

pub(super) struct Words {
    pattern: Regex,
    known: RwLock<Known>,
}

impl Words {
    /// For a tokenizer that is byte-level BPE with GPT-2's words and changes nothing else; `None` for any other.
    pub(super) fn new(tokenizer: &tokenizers::Tokenizer) -> Option<Self> {
        let gpt2_words = match tokenizer.get_pre_tokenizer() {
            Some(PreTokenizerWrapper::ByteLevel(level)) => level.use_regex && !level.add_prefix_space,
            _ => false,
        };
        let certain = matches!(tokenizer.get_model(), ModelWrapper::BPE(bpe) if bpe.dropout.is_none());
        let plain = tokenizer.get_normalizer().is_none()
            && tokenizer.get_added_tokens_decoder().values().all(|token| token.special);
        let pattern = Regex::new(PATTERN).ok()?;
        (gpt2_words && certain && plain).then(|| Self { pattern, known: RwLock::default() })
    }

    pub(super) fn encode(&self, text: &str, model: &ModelWrapper) -> Result<Vec<u32>, BadText> {
        // A panic elsewhere leaves whole words behind.
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (mut tokens, mut new, mut rest) = (Vec::with_capacity(text.len() / 3), Known::new(), text);
        while !rest.is_empty() {
            let (word, after) = rest.split_at(self.next_word(rest));
            rest = after;
            if let Some(ids) = known.get(word).or_else(|| new.get(word)) {
                tokens.extend_from_slice(ids);
                continue;
            }
            let ids = encode_word(word, model)?;
            tokens.extend_from_slice(&ids);
            if word.len() <= LONGEST {
                new.insert(word.into(), ids);
            }
        }
        let room = known.len() < REMEMBERED;
        drop(known);
        if room && !new.is_empty() {
            self.known.write().unwrap_or_else(PoisonError::into_inner).extend(new);
        }
        Ok(tokens)
    }

    /// Length of the first word. Of several blanks before a word, the last belongs to the word.
    fn next_word(&self, text: &str) -> usize {
        if let Some(end) = next_ascii_word(text.as_bytes()) {
            return end;
        }
        // The pattern matches at every character.
        let end = self.pattern.find(text).map_or(text.len(), |word| word.end());
        let mut chars = text[..end].chars();
        match chars.next_back() {
            Some(last) if last.is_whitespace() && end < text.len() && !chars.as_str().is_empty() => {
                end - last.len_utf8()
            }
            _ => end,
        }
    }
}

/// Length of the first word where it is ` ?[A-Za-z]+` and ends at an ASCII character: most of them, and no pattern is needed.
fn next_ascii_word(text: &[u8]) -> Option<usize> {
    let start = usize::from(text.first() == Some(&b' '));
    let letters = text[start..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let end = start + letters;
    (letters > 0 && text.get(end).is_none_or(u8::is_ascii)).then_some(end)
}

fn encode_word(word: &str, model: &ModelWrapper) -> Result<Box<[u32]>, BadText> {
    let mapped: String = word.bytes().map(|byte| CHAR_OF[usize::from(byte)]).collect();
    let tokens = model.tokenize(&mapped).map_err(|error| BadText::Tokenizer(error.to_string()))?;
    Ok(tokens.into_iter().map(|token| token.id).collect())
}
