//! Which tokens are to be told, and what stands in their place.

use std::ops::Range;

use percept_fault::{Fault, Result};
use percept_random::{below, hash, uniform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keep the draws for words, for what replaces a token, and for the replacement apart.
const WORDS: u64 = 1;
const PLACES: u64 = 2;
const TOKENS: u64 = 3;

/// How tokens are masked (arXiv 1810.04805, section 3.1; whole words: the authors' later models): the TOML table `[masking]`.
///
/// Each word is chosen by itself with probability `rate`, so that this share of all tokens is asked on average, and all tokens of a
/// chosen word are. In place of each stands the mask, another token, or the token itself.
///
/// ```
/// use percept_model::encoder::Masking;
/// let (text, mask) = ([1, 2, 3, 4, 5, 6], 99);
/// let masking = Masking { rate: 0.5, mask: 1.0, random: 0.0, ..Masking::default() };
/// let mut tokens = text;
/// // Three words of two tokens each; what is asked is a function of the seed.
/// let asked = masking.apply(&mut tokens, [0..2, 2..4, 4..6], mask, 7);
/// assert!(asked.iter().all(|&at| tokens[at] == mask) && asked.len() % 2 == 0);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Masking {
    /// Share of the words that are asked.
    pub rate: f64,
    /// Share of the asked tokens in whose place the mask stands.
    pub mask: f64,
    /// Share of the asked tokens in whose place any other token stands; the rest stay as they are.
    pub random: f64,
    /// Whether words are asked as a whole, however many tokens they have, or single tokens.
    pub whole_words: bool,
}

impl Default for Masking {
    fn default() -> Self {
        Self { rate: 0.15, mask: 0.8, random: 0.1, whole_words: true }
    }
}

impl Masking {
    /// Checks every value; the message names the key.
    ///
    /// # Errors
    /// A usage fault.
    pub fn validate(&self) -> Result<()> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let numbers = [
            ("rate", self.rate, share(self.rate) && self.rate > 0.0, "above 0 and at most 1"),
            ("mask", self.mask, share(self.mask), "between 0 and 1"),
            ("random", self.random, share(self.random), "between 0 and 1"),
        ];
        if let Some((key, value, _, range)) = numbers.into_iter().find(|(_, _, fits, _)| !fits) {
            return Err(Fault::usage(format!("masking.{key} = {value} is out of range"))
                .hint(format!("masking.{key} must be {range}")));
        }
        match self.mask + self.random {
            sum if sum > 1.0 => Err(Fault::usage(format!("masking.mask and masking.random together are {sum}"))
                .hint("they are shares of the asked tokens: at most 1 together, e.g. 0.8 and 0.1")),
            _ => Ok(()),
        }
    }

    /// Masks `tokens` and returns the places that are asked, in order; `words` are those of which some are chosen, and tokens below `mask`
    /// those that may stand in place of others. Everything is a function of the seed and the places.
    pub fn apply(
        &self,
        tokens: &mut [u32],
        words: impl IntoIterator<Item = Range<usize>>,
        mask: u32,
        seed: u64,
    ) -> Vec<usize> {
        let [by_word, by_place] = [WORDS, PLACES].map(|use_of| hash(&[seed, use_of]));
        let chosen = words.into_iter().filter(|word| uniform(by_word, word.start as u64) < self.rate);
        let asked: Vec<usize> = chosen.flatten().collect();
        for &at in &asked {
            let share = uniform(by_place, at as u64);
            if share < self.mask {
                tokens[at] = mask;
            } else if share < self.mask + self.random {
                tokens[at] = below(u64::from(mask), &[seed, TOKENS, at as u64]) as u32;
            }
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: u32 = 1000;
    const LONG: usize = 40_000;

    #[test]
    fn shares_are_those_of_the_configuration() {
        let masking = Masking::default();
        let text: Vec<u32> = vec![5; LONG];
        let mut tokens = text.clone();
        let words = (0..LONG / 4).map(|word| word * 4..word * 4 + 4);
        let asked = masking.apply(&mut tokens, words, MASK, 3);
        let share = |count: usize, of: usize| count as f64 / of as f64;
        assert!((share(asked.len(), LONG) - 0.15).abs() < 0.01, "{}", asked.len());
        // Whole words, in order.
        assert!(asked.chunks(4).all(|word| word[0] % 4 == 0 && word[3] == word[0] + 3) && asked.is_sorted());
        let count = |of: &dyn Fn(u32) -> bool| asked.iter().filter(|at| of(tokens[**at])).count();
        let [masked, same] = [count(&|token| token == MASK), count(&|token| token == 5)].map(|n| share(n, asked.len()));
        assert!((masked - 0.8).abs() < 0.02 && (same - 0.1).abs() < 0.02, "{masked} {same}");
        assert!(tokens.iter().all(|token| *token <= MASK));
        // What is not asked stays.
        let changed = tokens.iter().zip(&text).enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at);
        assert!(changed.into_iter().all(|at| asked.binary_search(&at).is_ok()));
    }

    #[test]
    fn the_same_seed_masks_the_same() {
        let masked = |seed| {
            let mut tokens: Vec<u32> = (0..200).collect();
            let asked = Masking::default().apply(&mut tokens, (0..200).map(|at| at..at + 1), MASK, seed);
            (tokens, asked)
        };
        assert_eq!(masked(1), masked(1));
        assert_ne!(masked(1).1, masked(2).1);
    }

    #[test]
    fn shares_that_are_none_are_named() {
        for (masking, message) in [
            (Masking { rate: 0.0, ..Masking::default() }, "masking.rate = 0 is out of range"),
            (Masking { random: -0.1, ..Masking::default() }, "masking.random = -0.1 is out of range"),
            (Masking { mask: 0.95, ..Masking::default() }, "masking.mask and masking.random together"),
        ] {
            assert!(masking.validate().unwrap_err().to_string().contains(message));
        }
        Masking { mask: 0.9, ..Masking::default() }.validate().unwrap();
    }
}
