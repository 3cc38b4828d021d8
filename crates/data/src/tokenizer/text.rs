//! A Hugging Face tokenizer, set up so that it changes as little of the text as it can.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use percept_fault::{Fault, Result};
use tokenizers::{AddedToken, DecoderWrapper};

use super::words::Words;
use super::{DOCUMENT, sha256_hex};

/// Tokens that serve as the document token where a tokenizer has one of them.
const DOCUMENT_TOKENS: [&str; 7] = [DOCUMENT, "<|endoftext|>", "<|begin_of_text|>", "<|bos|>", "<bos>", "<s>", "[CLS]"];

/// Texts that show what a tokenizer loses: blanks, ends of lines, case, accents, scripts, control characters.
const PROBES: [&str; 6] = [
    "The quick brown fox, isn't it? 1,234.5 (x+y)",
    "  two  blanks,\ttab \n\n lines\r\n and trailing ",
    "MiXeD Case naïve Ångström cafe\u{301}",
    "日本語 русский العربية 🙂👩‍👧",
    "[MASK] <s> <|endoftext|> [UNK] ## ▁ Ġ",
    "a\u{1}b\u{a0}c\u{2003}d\u{feff}",
];

/// Texts cut in two at a blank between words.
const CUTS: [(&str, &str); 3] =
    [("The cat sat", " on the mat."), ("  first, line\nsecond 12", " apples\n\n and more"), ("ça été", " où 日本 語")];

/// Why a text cannot be encoded; offsets count from the start of the piece, later from that of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadText {
    Utf8 { offset: u64 },
    Nul { offset: u64 },
    Tokenizer(String),
}

impl BadText {
    /// The same with `start` bytes of the document before the piece.
    pub(crate) fn after(self, start: u64) -> Self {
        match self {
            BadText::Utf8 { offset } => BadText::Utf8 { offset: offset + start },
            BadText::Nul { offset } => BadText::Nul { offset: offset + start },
            other => other,
        }
    }
}

impl fmt::Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadText::Utf8 { offset } => write!(f, "not valid UTF-8 at byte {offset}"),
            BadText::Nul { offset } => write!(f, "binary, not text: a NUL byte at byte {offset}"),
            BadText::Tokenizer(cause) => write!(f, "refused by the tokenizer: {cause}"),
        }
    }
}

pub(super) struct TextTokenizer {
    tokenizer: tokenizers::Tokenizer,
    /// The fast way to the same tokens, where there is one.
    pub(super) words: Option<Words>,
    /// Bytes of each token of a byte-level tokenizer; others decode through `tokenizer`.
    table: Option<Vec<Vec<u8>>>,
    pub(super) document: u32,
    pub(super) vocab_size: usize,
    pub(super) fingerprint: String,
    pub(super) lossless: bool,
    /// Whether a text cut before a word has the tokens of the whole.
    pub(super) separable: bool,
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTokenizer")
            .field("vocab_size", &self.vocab_size)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl TextTokenizer {
    pub(super) fn from_json(json: &[u8]) -> Result<Self> {
        let tokenizer = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|error| Fault::usage("not in Hugging Face's format").because(error))?;
        Self::new(tokenizer)
    }

    pub(super) fn new(mut tokenizer: tokenizers::Tokenizer) -> Result<Self> {
        let unusable = |error| Fault::usage("the tokenizer cannot be used").because(error);
        tokenizer.with_truncation(None).map_err(unusable)?.with_padding(None);
        tokenizer.set_encode_special_tokens(true);
        let document = document_token(&mut tokenizer)?;
        let vocabulary = tokenizer.get_vocab(true);
        let vocab_size = vocabulary.values().max().map_or(0, |&id| id as usize + 1);
        let json = tokenizer.to_string(false).map_err(unusable)?;
        let mut text = Self {
            table: byte_table(&tokenizer, &vocabulary, vocab_size),
            words: None,
            tokenizer,
            document,
            vocab_size,
            fingerprint: sha256_hex(&[b"percept text 1", json.as_bytes(), &document.to_le_bytes()]),
            lossless: false,
            separable: false,
        };
        let words = Words::new(&text.tokenizer);
        text.words = words.filter(|words| PROBES.iter().all(|probe| text.agree(words, probe)));
        text.lossless = PROBES.iter().all(|probe| text.round_trips(probe.as_bytes()));
        text.separable = CUTS.iter().all(|(a, b)| text.keeps_cut(a, b));
        Ok(text)
    }

    pub(super) fn to_json(&self) -> String {
        // `new` has serialised the same value.
        self.tokenizer.to_string(true).unwrap_or_default()
    }

    pub(super) fn encode(&self, piece: &[u8]) -> Result<Vec<u32>, BadText> {
        let text = std::str::from_utf8(piece).map_err(|error| BadText::Utf8 { offset: error.valid_up_to() as u64 })?;
        match &self.words {
            Some(words) => words.encode(text, self.tokenizer.get_model()),
            None => self.encode_slowly(text),
        }
    }

    /// Through the `tokenizers` crate.
    pub(super) fn encode_slowly(&self, text: &str) -> Result<Vec<u32>, BadText> {
        let encoding =
            self.tokenizer.encode_fast(text, false).map_err(|error| BadText::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Vec<u8> {
        match &self.table {
            Some(table) => ids.iter().filter_map(|&id| table.get(id as usize)).flatten().copied().collect(),
            None => self.decode_text(ids).into_bytes(),
        }
    }

    /// Bytes of one token, where they do not depend on its neighbours.
    pub(super) fn bytes_of(&self, id: u32) -> Option<&[u8]> {
        self.table.as_ref().map(|table| table.get(id as usize).map_or(&[][..], Vec::as_slice))
    }

    /// Text of tokens through the tokenizer's own decoder, which may depend on neighbours.
    pub(super) fn decode_text(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids, true).unwrap_or_default()
    }

    fn round_trips(&self, text: &[u8]) -> bool {
        self.encode(text).is_ok_and(|ids| !ids.contains(&self.document) && self.decode(&ids) == text)
    }

    fn agree(&self, words: &Words, text: &str) -> bool {
        words.encode(text, self.tokenizer.get_model()) == self.encode_slowly(text)
    }

    fn keeps_cut(&self, a: &str, b: &str) -> bool {
        let whole = self.encode(format!("{a}{b}").as_bytes());
        match (whole, self.encode(a.as_bytes()), self.encode(b.as_bytes())) {
            (Ok(whole), Ok(a), Ok(b)) => whole == [a, b].concat(),
            _ => false,
        }
    }
}

/// Finds or adds the document token.
fn document_token(tokenizer: &mut tokenizers::Tokenizer) -> Result<u32> {
    if let Some(id) = DOCUMENT_TOKENS.iter().find_map(|token| tokenizer.token_to_id(token)) {
        return Ok(id);
    }
    tokenizer.add_special_tokens(&[AddedToken::from(DOCUMENT, true)]);
    tokenizer
        .token_to_id(DOCUMENT)
        .ok_or_else(|| Fault::usage(format!("the tokenizer does not accept the special token {DOCUMENT}")))
}

/// The bytes of every token, where the tokenizer is a byte-level one: then decoding is a table and exact even where a
/// token holds a part of a character.
fn byte_table(
    tokenizer: &tokenizers::Tokenizer,
    vocabulary: &HashMap<String, u32>,
    size: usize,
) -> Option<Vec<Vec<u8>>> {
    if !matches!(tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
        return None;
    }
    let added = tokenizer.get_added_tokens_decoder();
    let mut table = vec![Vec::new(); size];
    for (token, &id) in vocabulary {
        table[id as usize] = match added.get(&id) {
            Some(token) if token.special => Vec::new(),
            Some(token) => token.content.clone().into_bytes(),
            None => token_bytes(token),
        };
    }
    Some(table)
}

/// Bytes that a byte-level token stands for; a token outside the byte alphabet stands for itself.
fn token_bytes(token: &str) -> Vec<u8> {
    token
        .chars()
        .map(|c| BYTE_OF.get(&c).copied())
        .collect::<Option<Vec<u8>>>()
        .unwrap_or_else(|| token.as_bytes().to_vec())
}

/// GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes for U+0100 and on, in order.
pub(super) static BYTE_OF: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100..;
    (0..=u8::MAX)
        .filter_map(|byte| {
            let code = if printable(byte) { Some(u32::from(byte)) } else { next.next() };
            code.and_then(char::from_u32).map(|c| (c, byte))
        })
        .collect()
});
