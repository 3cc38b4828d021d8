//! Whether a text comes back from its tokens, and where it does not.

use serde::{Deserialize, Serialize};

use crate::Tokenizer;
use crate::tokenizer::is_continuation;

/// Characters of an excerpt.
const EXCERPT: usize = 12;

/// The first place where a text does not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Loss {
    /// The document: index of its input, and line of a record.
    pub(super) input: u64,
    pub(super) line: u64,
    /// Bytes of the document before.
    at: u64,
    /// How the text goes on there, and what comes back.
    text: String,
    back: String,
}

impl Loss {
    /// In the document of this input and line, in a piece after `before` bytes of it.
    pub(super) fn placed(self, input: u64, line: u64, before: u64) -> Self {
        Self { input, line, at: self.at + before, ..self }
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at byte {}, {:?} comes back as {:?}", self.at, self.text, self.back)
    }
}

/// Where in a document a piece of text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It begins the document.
    First,
    /// Text comes before it.
    Later,
}

/// Compares a piece of text with what its tokens give back; the place counts from the start of the piece.
pub(super) fn loss(tokenizer: &Tokenizer, text: &[u8], tokens: &[u32], place: Place) -> Option<Loss> {
    if tokenizer.is_bytes() {
        return None;
    }
    let back = match place {
        Place::First => tokenizer.decode(tokens),
        Place::Later => tokenizer.decode_later(tokens),
    };
    if back == text {
        return None;
    }
    let same = back.iter().zip(text).take_while(|(a, b)| a == b).count();
    // The whole of a character that differs; and a few characters, without looking at the rest of a long text.
    let start = (0..=same).rev().find(|&at| text.get(at).is_none_or(|&byte| !is_continuation(byte))).unwrap_or(0);
    let excerpt = |bytes: &[u8]| -> String {
        let near = bytes.get(start..bytes.len().min(start + 4 * EXCERPT)).unwrap_or_default();
        String::from_utf8_lossy(near).chars().take(EXCERPT).collect()
    };
    Some(Loss { input: 0, line: 0, at: start as u64, text: excerpt(text), back: excerpt(&back) })
}
