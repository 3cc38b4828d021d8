//! What a text measures in tokens, bytes, characters and words, and the figures per unit.

use serde::Serialize;

use super::letters::Letters;

/// Sizes of a text, counted on its original bytes.
///
/// ```
/// use percept_score::Units;
/// let units = Units::of("Größe zählt".as_bytes());
/// assert_eq!(units, Units { bytes: 14, characters: 11, words: 2 });
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Units {
    /// Bytes.
    pub bytes: u64,
    /// Unicode characters; each invalid byte sequence counts as the one replacement character that it displays as.
    pub characters: u64,
    /// Words: maximal runs between white space.
    pub words: u64,
}

impl Units {
    /// Counts `text`.
    pub fn of(text: &[u8]) -> Self {
        let mut units = Self { bytes: text.len() as u64, ..Self::default() };
        let mut inside = false;
        for chunk in text.utf8_chunks() {
            let replacement = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            for character in chunk.valid().chars().chain(replacement) {
                units.characters += 1;
                let blank = character.is_whitespace();
                units.words += u64::from(inside && blank);
                inside = !blank;
            }
        }
        units.words += u64::from(inside);
        units
    }
}

impl std::ops::AddAssign for Units {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.characters += other.characters;
        self.words += other.words;
    }
}

/// Characters per word, on average, above which a text has no words to speak of: Chinese, Thai or base64 between two line ends.
const LONGEST_WORDS: u64 = 32;

impl Units {
    /// Why there is no figure per word, if that is so.
    pub(crate) fn without_words(&self) -> Option<&'static str> {
        match self.words {
            0 => Some("no words"),
            words if self.characters / words > LONGEST_WORDS => Some("no spaces"),
            _ => None,
        }
    }
}

/// A word perplexity above this, of 50 bits per word, tells of words that are none, or of a model that knows nothing.
const MEANINGLESS: f64 = 1e15;

/// The word perplexity of a text, or why it has none.
pub(super) fn per_word(tally: Tally, units: Units, letters: Letters) -> Result<f64, &'static str> {
    if let Some(reason) = units.without_words() {
        return Err(reason);
    }
    if letters.are_unspaced() {
        return Err("no spaces");
    }
    match finite(tally.word_perplexity(units))? {
        perplexity if perplexity > MEANINGLESS => Err("too large to mean anything"),
        perplexity => Ok(perplexity),
    }
}

/// A word perplexity that is a number, or the reason.
pub(super) fn finite(perplexity: f64) -> Result<f64, &'static str> {
    if perplexity.is_finite() { Ok(perplexity) } else { Err("too large for a number") }
}

/// The negative log-likelihood of a text and the number of targets it is the sum of.
///
/// ```
/// use percept_score::{Tally, Units};
/// // A coin says heads or tails, tokens A and B: one bit each.
/// let tally = Tally { nll: 6.0 * 2_f64.ln(), targets: 6 };
/// assert!((tally.token_perplexity() - 2.0).abs() < 1e-12);
/// // Written as `heads` and `tails` it is five bytes per token.
/// let text = Units { bytes: 30, characters: 30, words: 6 };
/// assert!((tally.bits_per_byte(text) - 0.2).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Sum of -ln p over the targets, in nats.
    pub nll: f64,
    /// Number of targets.
    pub targets: u64,
}

impl Tally {
    /// exp(NLL / T).
    pub fn token_perplexity(&self) -> f64 {
        (self.nll / self.targets as f64).exp()
    }

    /// exp(NLL / W), over the words of the original text.
    pub fn word_perplexity(&self, units: Units) -> f64 {
        (self.nll / units.words as f64).exp()
    }

    /// NLL / (Y ln 2), over the bytes of the original text.
    pub fn bits_per_byte(&self, units: Units) -> f64 {
        self.nll / (units.bytes as f64 * std::f64::consts::LN_2)
    }

    /// exp(NLL / C), over the characters of the original text.
    pub fn character_perplexity(&self, units: Units) -> f64 {
        (self.nll / units.characters as f64).exp()
    }

    /// NLL / (C ln 2), over the characters of the original text.
    pub fn bits_per_character(&self, units: Units) -> f64 {
        self.nll / (units.characters as f64 * std::f64::consts::LN_2)
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.nll += other.nll;
        self.targets += other.targets;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_the_text() {
        assert_eq!(Units::of(b""), Units::default());
        let text = " Größe zählt,\n\tnicht\u{a0}wahr?  ";
        assert_eq!(Units::of(text.as_bytes()), Units { bytes: 32, characters: 28, words: 4 });
        // A lone continuation byte is one character and no blank.
        assert_eq!(Units::of(b"a\x80 b"), Units { bytes: 4, characters: 4, words: 2 });
    }

    #[test]
    fn a_text_without_spaces_has_no_words() {
        let of = |text: &str| Units::of(text.as_bytes()).without_words();
        assert_eq!([of("one"), of("internationalization of localization"), of("a b")], [None; 3]);
        assert_eq!((of(""), of(" \n ")), (Some("no words"), Some("no words")));
        assert_eq!(of(&format!("{}\n", "今天天气很好".repeat(6)).repeat(3)), Some("no spaces"));
    }

    #[test]
    fn a_figure_without_meaning_is_none() {
        let of = |nll: f64, text: &str| {
            let text = text.as_bytes();
            per_word(Tally { nll, targets: 4 }, Units::of(text), Letters::of(text))
        };
        assert_eq!(of(2.0, "a b"), Ok(1f64.exp()));
        assert!(of(69.0, "a b").is_ok_and(|figure| figure < 1e15));
        assert_eq!(
            (of(70.0, "a b"), of(1e9, "a b")),
            (Err("too large to mean anything"), Err("too large for a number"))
        );
        assert_eq!((of(2.0, "日 本"), of(2.0, " ")), (Err("no spaces"), Err("no words")));
    }

    #[test]
    fn figures_follow_their_definitions() {
        let units = Units { bytes: 8, characters: 4, words: 2 };
        let tally = Tally { nll: 4.0 * std::f64::consts::LN_2, targets: 4 };
        assert_eq!(tally.token_perplexity(), 2.0);
        assert_eq!(tally.word_perplexity(units), 4.0);
        assert_eq!((tally.bits_per_byte(units), tally.bits_per_character(units)), (0.5, 1.0));
        assert_eq!(tally.character_perplexity(units), 2.0);
    }
}
