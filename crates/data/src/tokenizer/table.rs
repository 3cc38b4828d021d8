//! The bytes that tokens stand for by themselves, whatever stands beside them.

use std::collections::HashMap;
use std::sync::LazyLock;

use tokenizers::DecoderWrapper;

/// What is known of each token without its neighbours: its bytes, or nothing.
pub(super) struct Table {
    bytes: Vec<Option<Vec<u8>>>,
    /// Whether no token looks at its neighbours.
    complete: bool,
}

impl Table {
    /// Of a byte-level tokenizer: every token, exact even where one holds a part of a character. Of others: special tokens,
    /// which are no text, and the 256 byte tokens of byte fallback.
    ///
    /// - `vocabulary`: with added tokens; `size`: above every id.
    pub(super) fn new(tokenizer: &tokenizers::Tokenizer, vocabulary: &HashMap<String, u32>, size: usize) -> Self {
        let complete = matches!(tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_)));
        let falls_back = tokenizer.get_decoder().is_some_and(falls_back_to_bytes);
        let added = tokenizer.get_added_tokens_decoder();
        let mut bytes = vec![Some(Vec::new()); size];
        for (token, &id) in vocabulary {
            bytes[id as usize] = match added.get(&id) {
                Some(token) if token.special => Some(Vec::new()),
                Some(token) if complete => Some(token.content.clone().into_bytes()),
                None if complete => Some(token_bytes(token)),
                _ if falls_back => fallback_byte(token).map(|byte| vec![byte]),
                _ => None,
            };
        }
        Self { bytes, complete }
    }

    /// Bytes of one token, where they do not depend on its neighbours. An unknown id has none.
    pub(super) fn bytes_of(&self, id: u32) -> Option<&[u8]> {
        self.bytes.get(id as usize).map_or(Some(&[]), Option::as_deref)
    }

    /// Bytes of tokens, where no token looks at its neighbours.
    pub(super) fn decode(&self, ids: &[u32]) -> Option<Vec<u8>> {
        self.complete.then(|| ids.iter().filter_map(|&id| self.bytes_of(id)).flatten().copied().collect())
    }
}

fn falls_back_to_bytes(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteFallback(_) => true,
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().any(falls_back_to_bytes),
        _ => false,
    }
}

/// The byte of a token such as `<0x0A>`.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
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

/// The character that stands for each byte.
pub(super) static CHAR_OF: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut chars = ['\0'; 256];
    for (&c, &byte) in BYTE_OF.iter() {
        chars[usize::from(byte)] = c;
    }
    chars
});
