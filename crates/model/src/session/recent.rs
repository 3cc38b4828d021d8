//! The last tokens of a stream, from which a tokenizer can tell how its text goes on.

/// How many tokens are kept.
const KEPT: usize = 16;

/// The last tokens that were fed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    tokens: [u32; KEPT],
    length: usize,
}

impl Recent {
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens[..self.length]
    }

    pub(super) fn extend(&mut self, new: &[u32]) {
        let new = &new[new.len().saturating_sub(KEPT)..];
        let kept = self.length.min(KEPT - new.len());
        self.tokens.copy_within(self.length - kept..self.length, 0);
        self.length = kept + new.len();
        self.tokens[kept..self.length].copy_from_slice(new);
    }

    /// As text, for a state file.
    pub(super) fn to_text(self) -> String {
        self.tokens().iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
    }

    /// The inverse of [`Recent::to_text`]; `None` where the text is not of that kind.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let tokens = text.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>().ok()?;
        let mut recent = Self::default();
        recent.extend(&tokens);
        Some(recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tokens_are_kept_however_they_come() {
        let all: Vec<u32> = (0..100).collect();
        for sizes in [vec![100], vec![1; 100], vec![15, 2, 83], vec![3, 14, 1, 82], vec![5]] {
            let (mut recent, mut fed) = (Recent::default(), 0);
            for size in sizes {
                recent.extend(&all[fed..fed + size]);
                fed += size;
            }
            assert_eq!(recent.tokens(), &all[fed.saturating_sub(KEPT)..fed]);
            assert_eq!(Recent::of_text(&recent.to_text()).unwrap().tokens(), recent.tokens());
        }
        assert!(Recent::of_text("1 x").is_none() && Recent::of_text("").unwrap().tokens().is_empty());
    }
}
