//! Whether a text is in a script that puts blanks between words.

/// Letters of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Letters {
    all: u64,
    /// Those of scripts without blanks between words.
    unspaced: u64,
}

impl Letters {
    /// Counts `text`.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut letters = Self::default();
        for chunk in text.utf8_chunks() {
            for letter in chunk.valid().chars().filter(|character| character.is_alphabetic()) {
                letters.all += 1;
                letters.unspaced += u64::from(is_unspaced(letter));
            }
        }
        letters
    }

    /// Whether most letters are of such scripts: the blanks of the text, if any, end lines and sentences.
    pub(super) fn are_unspaced(self) -> bool {
        2 * self.unspaced > self.all
    }
}

impl std::ops::AddAssign for Letters {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.unspaced += other.unspaced;
    }
}

/// By the blocks of Unicode.
fn is_unspaced(letter: char) -> bool {
    matches!(letter,
        '\u{e00}'..='\u{eff}' // Thai, Lao
        | '\u{f00}'..='\u{fff}' // Tibetan
        | '\u{1000}'..='\u{109f}' | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aa7f}' // Myanmar
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3005}'..='\u{312f}' | '\u{31a0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9f}' // kana, Bopomofo
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' // Han
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_tell_whether_words_have_blanks_between_them() {
        let unspaced = |text: &str| Letters::of(text.as_bytes()).are_unspaced();
        for text in [
            "床前明月光\n疑是地上霜",
            "ひらがな カタカナ",
            "วันนี้ อากาศดี",
            "ພາສາລາວ",
            "ភាសាខ្មែរ",
            "မြန်မာဘာသာ",
            "GPU 的速度很快",
        ] {
            assert!(unspaced(text), "{text}");
        }
        for text in
            ["", "12 + 3", "Größe zählt", "한국어 문장 입니다", "हिन्दी भाषा", "The poem 靜夜思 by Li Bai", "Привет мир"]
        {
            assert!(!unspaced(text), "{text}");
        }
        assert_eq!(Letters::of("a1 \u{4e00}\n".as_bytes()), Letters { all: 2, unspaced: 1 });
        assert_eq!(Letters::of(b"\xe4\xb8"), Letters::default(), "half a character is no letter");
    }
}
