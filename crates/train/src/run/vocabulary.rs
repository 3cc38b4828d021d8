//! Whether a tokenizer can be the one that a model was trained with, by their numbers of tokens.

/// Padding fills a vocabulary up to a multiple of this.
const MULTIPLE: usize = 64;
/// A padded vocabulary is larger than the tokenizer's by less than one in so many.
const SHARE: usize = 16;

/// Whether a model's vocabulary of `vocab` tokens is that of a tokenizer with `tokens`, padded: a multiple of 64, and larger
/// by less than 64 tokens or by less than a sixteenth. The rows of padding stand for no token and are never drawn as text.
///
/// ```
/// use percept_train::is_padded;
/// assert!(is_padded(50_304, 50_257) && is_padded(151_936, 151_665) && is_padded(320, 257));
/// assert!(!is_padded(50_257, 50_257) && !is_padded(30_522, 257) && !is_padded(300, 257));
/// ```
pub fn is_padded(vocab: usize, tokens: usize) -> bool {
    let excess = vocab.saturating_sub(tokens);
    excess > 0 && vocab.is_multiple_of(MULTIPLE) && (excess < MULTIPLE || excess < tokens / SHARE)
}
