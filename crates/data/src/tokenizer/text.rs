//! A Hugging Face tokenizer, set up so that it changes as little of the text as it can.

use std::fmt;

use percept_fault::{Fault, Result};
use tokenizers::{AddedToken, DecoderWrapper};

use super::table::Table;
use super::words::Words;
use super::{DOCUMENT, sha256_hex};

/// Tokens that serve as the document token where a tokenizer has one of them.
const DOCUMENT_TOKENS: [&str; 7] = [DOCUMENT, "<|endoftext|>", "<|begin_of_text|>", "<|bos|>", "<bos>", "<s>", "[CLS]"];

/// Texts that show what a tokenizer may lose: blanks, ends of lines, case, accents, scripts, control characters.
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
    /// Bytes of the tokens that look at no neighbour; others decode through `tokenizer`.
    table: Table,
    /// A token with text, to decode what does not begin a text.
    neighbour: Option<u32>,
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
            table: Table::new(&tokenizer, &vocabulary, vocab_size),
            neighbour: None,
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
        text.neighbour = text.encode(b"a").ok().and_then(|ids| ids.first().copied());
        text.lossless = PROBES.iter().all(|probe| text.round_trips(probe.as_bytes()));
        text.separable = CUTS.iter().all(|(a, b)| text.keeps_cut(a, b));
        Ok(text)
    }

    pub(super) fn to_json(&self) -> String {
        // `new` has serialised the same value.
        self.tokenizer.to_string(true).unwrap_or_default()
    }

    /// What the document token is called.
    pub(super) fn document_name(&self) -> String {
        // `new` has found or added it.
        self.tokenizer.id_to_token(self.document).unwrap_or_default()
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
        self.table.decode(ids).unwrap_or_else(|| self.decode_text(ids).into_bytes())
    }

    /// As [`TextTokenizer::decode`] for tokens that do not begin a text: their first blank is kept.
    pub(super) fn decode_later(&self, ids: &[u32]) -> Vec<u8> {
        let with_neighbour = || {
            let neighbour = self.neighbour?;
            let whole = self.decode_text(&[&[neighbour], ids].concat());
            whole.strip_prefix(&self.decode_text(&[neighbour])).map(|text| text.as_bytes().to_vec())
        };
        self.table.decode(ids).or_else(with_neighbour).unwrap_or_else(|| self.decode(ids))
    }

    /// Bytes of one token, where they do not depend on its neighbours.
    pub(super) fn bytes_of(&self, id: u32) -> Option<&[u8]> {
        self.table.bytes_of(id)
    }

    /// Text of tokens through the tokenizer's own decoder, which may depend on neighbours.
    pub(super) fn decode_text(&self, ids: &[u32]) -> String {
        let text = self.tokenizer.decode(ids, true).unwrap_or_default();
        match self.leading_mark(ids).and_then(|mark| text.strip_prefix(mark)) {
            Some(unmarked) => unmarked.into(),
            None => text,
        }
    }

    /// The mark that WordPiece leaves on a later piece of a word where no piece is before it.
    fn leading_mark(&self, ids: &[u32]) -> Option<&str> {
        let mark = self.tokenizer.get_decoder().and_then(continuation_mark)?;
        let first = *ids.iter().find(|&&id| self.bytes_of(id).is_none_or(|bytes| !bytes.is_empty()))?;
        self.tokenizer.id_to_token(first)?.starts_with(mark).then_some(mark)
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

/// What a decoder takes off a piece that goes on with the word before it: `##`.
fn continuation_mark(decoder: &DecoderWrapper) -> Option<&str> {
    match decoder {
        DecoderWrapper::WordPiece(pieces) => Some(&pieces.prefix),
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().find_map(continuation_mark),
        _ => None,
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
