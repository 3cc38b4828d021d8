//! Where a long text may be cut so that it can be encoded in pieces.
//!
//! Whoever changes where, changes tokens: raise the version of the cache format, too.

/// A piece is at least this long, the last one excepted.
const SHORTEST: usize = 64 * 1024;
/// A piece is at most this long.
const LONGEST: usize = 256 * 1024;
/// Bytes that [`cut`] needs to see, unless the text ends before.
pub(crate) const LOOKAHEAD: usize = LONGEST + 4;

/// Length of the first piece of `text`, which is the rest of a document or at least its next [`LOOKAHEAD`] bytes.
///
/// A piece ends before a blank between two words, where pre-tokenizers split anyway, so that the pieces' tokens are
/// those of the whole. Where there is no such place (some scripts have no blanks), it ends before any character.
pub(crate) fn cut(text: &[u8]) -> usize {
    if text.len() <= SHORTEST {
        return text.len();
    }
    let reach = text.len().min(LONGEST);
    let word_end = (SHORTEST..reach.min(text.len() - 1))
        .find(|&i| text[i] == b' ' && is_word(text[i - 1]) && is_word(text[i + 1]));
    match word_end {
        Some(end) => end,
        None if text.len() <= LONGEST => text.len(),
        None => (LONGEST - 3..=LONGEST).rev().find(|&i| !is_continuation(text[i])).unwrap_or(LONGEST),
    }
}

/// ASCII letters and digits, and whatever belongs to a character beyond ASCII.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

/// Whether a byte continues a UTF-8 character.
pub(crate) fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &[u8]) -> Vec<&[u8]> {
        let (mut rest, mut pieces) = (text, Vec::new());
        while !rest.is_empty() {
            let (piece, next) = rest.split_at(cut(rest));
            pieces.push(piece);
            rest = next;
        }
        pieces
    }

    #[test]
    fn pieces_end_before_a_blank_between_words() {
        let text = "word, and words. ".repeat(20_000);
        let pieces = pieces(text.as_bytes());
        assert!(pieces.len() > 3);
        assert_eq!(pieces.concat(), text.as_bytes());
        for piece in &pieces[1..] {
            assert!(piece.starts_with(b" words") || piece.starts_with(b" and"), "{:?}", &piece[..9]);
        }
    }

    #[test]
    fn text_without_blanks_is_cut_between_characters() {
        for unit in ["é", "語", "🙂", "a語"] {
            let text = unit.repeat(400_000);
            let pieces = pieces(text.as_bytes());
            assert!(pieces.len() > 2);
            assert!(pieces.iter().all(|piece| piece.len() <= LONGEST && std::str::from_utf8(piece).is_ok()));
        }
        assert_eq!(pieces(&[0x80; 600_000]).concat().len(), 600_000);
    }

    #[test]
    fn the_cut_does_not_depend_on_what_follows_the_lookahead() {
        for unit in ["語", "abc ", "a\n"] {
            let text = unit.repeat(200_000);
            assert_eq!(cut(text.as_bytes()), cut(&text.as_bytes()[..LOOKAHEAD]), "{unit}");
        }
    }
}
