//! Tokens to text as they come, without ever showing half a character.

use super::Tokenizer;
use super::text::TextTokenizer;

/// Tokens of a text that say all about how it goes on: a character has at most four of them, and a decoder looks one back.
const CONTEXT: usize = 16;
/// Tokens of the longest character.
const LONGEST: usize = 4;

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
    /// The latest tokens of a text tokenizer, back to one that has text; the bytes of the first `taken` were pending or are.
    recent: Vec<u32>,
    taken: usize,
}

impl Detokenizer {
    pub(super) fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new(), recent: Vec::new(), taken: 0 }
    }

    /// As after `before`, tokens whose text is shown already.
    pub(super) fn after(tokenizer: Tokenizer, before: &[u32]) -> Self {
        let document = tokenizer.document_token();
        let begin = before.iter().rposition(|&id| id == document).map_or(0, |at| at + 1);
        let mut detokenizer = Self::new(tokenizer);
        for &id in &before[begin.max(before.len().saturating_sub(CONTEXT))..] {
            detokenizer.push(id);
        }
        detokenizer
    }

    /// Takes the next token, and returns the text that is complete now (often one token's, sometimes none).
    pub fn push(&mut self, id: u32) -> String {
        self.take(id);
        take_complete(&mut self.pending)
    }

    /// The rest: an incomplete character becomes U+FFFD. The detokenizer is then at the start of a new text.
    pub fn finish(&mut self) -> String {
        self.settle();
        self.recent.clear();
        self.taken = 0;
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }

    /// The bytes that `ids` add, which may begin or end inside a character. A clone of it tells of several tokens what each
    /// would add in the same place.
    ///
    /// ```
    /// use percept_data::Tokenizer;
    /// let mut detokenizer = Tokenizer::bytes().detokenizer();
    /// assert_eq!(detokenizer.push(0xc3), "");
    /// assert_eq!(detokenizer.clone().bytes(&[0xa9]), [0xa9]);
    /// assert_eq!(detokenizer.push(0xa9), "é");
    /// ```
    pub fn bytes(mut self, ids: &[u32]) -> Vec<u8> {
        self.settle();
        self.pending.clear();
        ids.iter().for_each(|&id| self.take(id));
        self.settle();
        self.pending
    }

    /// Adds the bytes of a token to those that are pending.
    fn take(&mut self, id: u32) {
        match self.tokenizer.bytes_of(id) {
            // No text, and nobody's neighbour: the next token is not the first of a text because of it.
            Some(bytes) if bytes.is_empty() => {}
            Some(bytes) => {
                self.settle();
                self.pending.extend(bytes);
                self.recent.clear();
                self.recent.push(id);
                self.taken = 1;
            }
            None => {
                self.recent.push(id);
                self.take_in_context();
            }
        }
    }

    /// For tokens that look at their neighbours (blanks between word pieces): waits until they end in a whole character.
    fn take_in_context(&mut self) {
        let Some(text) = self.tokenizer.text() else { return };
        // A run of bytes that never becomes a character is let go.
        if self.recent.len() - self.taken >= LONGEST || !text.decode_text(&self.recent).ends_with('\u{fffd}') {
            self.settle();
        }
    }

    /// Adds the text of the tokens that wait.
    fn settle(&mut self) {
        let Some(text) = self.tokenizer.text().filter(|_| self.taken < self.recent.len()) else { return };
        let new = added(text, &self.recent, self.taken);
        self.pending.extend_from_slice(new.as_bytes());
        // Tokens without text of their own leave the one before them as the neighbour.
        if !new.is_empty() || self.recent.len() > CONTEXT {
            self.recent.drain(..self.taken);
        }
        self.taken = self.recent.len();
    }
}

/// What the tokens from `taken` on add to the text of those before.
fn added(text: &TextTokenizer, tokens: &[u32], taken: usize) -> String {
    let (before, whole) = (text.decode_text(&tokens[..taken]), text.decode_text(tokens));
    let same = before.chars().zip(whole.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum::<usize>();
    whole[same..].into()
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
