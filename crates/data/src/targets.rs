//! Which tokens of a document are targets.

/// Of the tokens from `from` on, the last of each group of `every`; those before are context only.
///
/// Text is all targets; documents made by a task begin with a question, and some ask for every second token only.
///
/// ```
/// use percept_data::Targets;
/// // Keys are given, the value after each is to be told: `a3b7|b7a3`.
/// let targets = Targets { from: 5, every: 2 };
/// assert!((0..9).filter(|&at| targets.contains(at)).eq([6, 8]));
/// assert_eq!((targets.before(9), targets.before(8), targets.nth(1)), (2, 1, 8));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    /// Index of the first token that is no mere context.
    pub from: usize,
    /// 1 where all of them are targets.
    pub every: usize,
}

impl Default for Targets {
    /// [`Targets::ALL`].
    fn default() -> Self {
        Self::ALL
    }
}

impl Targets {
    /// Every token.
    pub const ALL: Self = Self::after(0);

    /// Every token from `from` on.
    pub const fn after(from: usize) -> Self {
        Self { from, every: 1 }
    }

    /// Whether token `at` is a target.
    pub fn contains(self, at: usize) -> bool {
        at.checked_sub(self.from).is_some_and(|offset| (offset + 1).is_multiple_of(self.every))
    }

    /// Targets among the tokens before token `at`.
    pub fn before(self, at: usize) -> usize {
        at.saturating_sub(self.from) / self.every
    }

    /// Index of target `nth`, from 0.
    pub fn nth(self, nth: usize) -> usize {
        self.from + (nth + 1) * self.every - 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counting_and_naming_are_those_of_membership(from in 0_usize..9, every in 1_usize..5, length in 0_usize..40) {
            let targets = Targets { from, every };
            let members: Vec<usize> = (0..length).filter(|&at| targets.contains(at)).collect();
            prop_assert_eq!(targets.before(length), members.len());
            prop_assert!((0..members.len()).map(|nth| targets.nth(nth)).eq(members));
        }
    }
}
