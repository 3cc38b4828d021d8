//! Tokens to text as they come, without ever showing half a character.

use super::Tokenizer;

/// Decodes one token at a time. What it returns, joined, is the text of all tokens, with U+FFFD where the tokens do not
/// form valid UTF-8.
///
/// ```
/// use percept_data::Tokenizer;
/// let mut detokenizer = Tokenizer::bytes().detokenizer();
/// assert_eq!(detokenizer.push(0xc3), "");
/// assert_eq!(detokenizer.push(0xa9), "é");
/// assert_eq!(detokenizer.finish(), "");
/// ```
#[derive(Debug, Clone)]
pub struct Detokenizer {
    tokenizer: Tokenizer,
    /// Bytes that may be the start of a character.
    pending: Vec<u8>,
    /// Recent tokens of a tokenizer whose tokens have no bytes of their own; the first `shown` are shown already.
    recent: Vec<u32>,
    shown: usize,
}

impl Detokenizer {
    pub(super) fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new(), recent: Vec::new(), shown: 0 }
    }

    /// Takes the next token, and returns the text that is complete now (often one token's, sometimes none).
    pub fn push(&mut self, id: u32) -> String {
        let byte;
        let bytes = match self.tokenizer.text() {
            None => {
                byte = u8::try_from(id).ok();
                byte.as_slice()
            }
            Some(text) => match text.bytes_of(id) {
                Some(bytes) => bytes,
                None => return self.push_in_context(id),
            },
        };
        self.pending.extend_from_slice(bytes);
        take_complete(&mut self.pending)
    }

    /// The rest: an incomplete character becomes U+FFFD. The detokenizer is then at the start of a new text.
    pub fn finish(&mut self) -> String {
        let rest = match self.tokenizer.text() {
            Some(text) if !self.recent.is_empty() => {
                unseen(&text.decode_text(&self.recent[..self.shown]), &text.decode_text(&self.recent))
            }
            _ => String::from_utf8_lossy(&self.pending).into_owned(),
        };
        (self.pending, self.recent, self.shown) = (Vec::new(), Vec::new(), 0);
        rest
    }

    /// For decoders that look at neighbours (blanks between word pieces, byte fallback): decodes the recent tokens with and
    /// without the new ones, and returns the difference once it ends in a whole character.
    fn push_in_context(&mut self, id: u32) -> String {
        self.recent.push(id);
        let Some(text) = self.tokenizer.text() else { return String::new() };
        let whole = text.decode_text(&self.recent);
        // A run of bytes that never becomes a character is let go after four tokens, the longest character.
        if whole.ends_with('\u{fffd}') && self.recent.len() - self.shown < 4 {
            return String::new();
        }
        let new = unseen(&text.decode_text(&self.recent[..self.shown]), &whole);
        self.recent.drain(..self.shown);
        self.shown = self.recent.len();
        new
    }
}

/// What `whole` adds to `shown`.
fn unseen(shown: &str, whole: &str) -> String {
    whole.strip_prefix(shown).or_else(|| whole.get(shown.len()..)).unwrap_or_default().into()
}

/// Takes everything but an incomplete character at the end.
fn take_complete(pending: &mut Vec<u8>) -> String {
    let mut complete = String::new();
    let mut taken = 0;
    for chunk in pending.utf8_chunks() {
        complete.push_str(chunk.valid());
        taken += chunk.valid().len();
        let invalid = chunk.invalid();
        if invalid.is_empty() || (taken + invalid.len() == pending.len() && is_incomplete(invalid)) {
            break;
        }
        complete.push('\u{fffd}');
        taken += invalid.len();
    }
    pending.drain(..taken);
    complete
}

/// Whether bytes that are not valid yet can become one character.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
