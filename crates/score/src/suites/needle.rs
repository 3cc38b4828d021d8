//! A needle in a haystack, found by likelihood.
//!
//! A sentence that gives a random number for a name is put into a long text; the text is followed by the beginning of that sentence.
//! Of ten numbers the true one must be the likeliest continuation. The candidates are drawn alike, so nothing but the
//! needle tells them apart, and guessing is right once in ten.

use percept_fault::Result;

use crate::Stream;

use super::clusters::Clusters;
use super::haystack::Haystack;
use super::statistics::{accuracy, chosen};
use super::{Findings, Meter, Needle, NeedleCell, Options, Subject};

/// Needles per cell by default.
const NEEDLES: usize = 16;
/// Candidates, the true one among them.
const CANDIDATES: usize = 10;
/// Depths, in parts of the haystack.
const DEPTHS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Fewer tokens of haystack hide nothing.
const LEAST_HAY: usize = 16;
/// Whose number it is.
const NAMES: [&str; 12] =
    ["Oslo", "Lima", "Cairo", "Delhi", "Paris", "Quito", "Tunis", "Seoul", "Dakar", "Turin", "Porto", "Kyoto"];

pub(super) fn run(subject: &Subject<'_>, options: &Options, meter: &mut Meter<'_>) -> Result<(String, Findings)> {
    let haystack = Haystack::new(subject.texts, subject.tokenizer)?;
    let needles = options.samples(NEEDLES);
    let lengths = lengths(options.length, Question::new(subject, &[options.seed])?.least());
    meter.progress.total = lengths.iter().map(|&length| (length * DEPTHS.len() * needles) as u64).sum();
    let (mut cells, mut strata) = (Vec::new(), Vec::new());
    for &length in &lengths {
        let mut by_depth = [Clusters::default(); DEPTHS.len()];
        let mut by_needle = Clusters::default();
        for needle in 0..needles as u64 {
            // The same needle and haystack at every depth: only the depth differs. Together they are one unit.
            let question = Question::new(subject, &[options.seed, length as u64, needle])?;
            let hay =
                haystack.draw(length.saturating_sub(question.rest()), &[options.seed, length as u64, needle, 1])?;
            let mut found = 0.0;
            for (at_depth, depth) in by_depth.iter_mut().zip(DEPTHS) {
                let correct = question.ask(subject, &hay, depth)?;
                at_depth.add(1, correct);
                found += correct;
                meter.add(length);
            }
            by_needle.add(DEPTHS.len() as u64, found);
        }
        cells.extend(by_depth.iter().zip(DEPTHS).map(|(at_depth, depth)| NeedleCell {
            length: length as u64,
            depth,
            accuracy: accuracy(&[*at_depth]),
        }));
        strata.push(by_needle);
    }
    let findings = Needle {
        chance: 1.0 / CANDIDATES as f64,
        candidates: CANDIDATES as u64,
        haystack: haystack.name().into(),
        total: accuracy(&strata),
        cells,
    };
    let protocol = format!("{needles} needles at each depth and length, the likeliest of {CANDIDATES} numbers");
    Ok((protocol, Findings::Needle(findings)))
}

/// An eighth, a quarter, a half and all of the length, as far as a needle fits.
fn lengths(longest: usize, least: usize) -> Vec<usize> {
    let longest = longest.max(least);
    [8, 4, 2, 1].map(|part| longest / part).into_iter().filter(|&length| length >= least).collect()
}

/// One needle and its candidates, as tokens.
struct Question {
    /// The sentence up to its number.
    opening: Vec<u32>,
    /// What ends it.
    end: Vec<u32>,
    candidates: Vec<Vec<u32>>,
    /// Index of the true one.
    truth: usize,
}

impl Question {
    fn new(subject: &Subject<'_>, keys: &[u64]) -> Result<Self> {
        let key = percept_random::hash(keys);
        let name = NAMES[percept_random::below(NAMES.len() as u64, &[key, 0]) as usize];
        let tokens = |text: &str| subject.tokenizer.encode(text.as_bytes());
        // Numbers of five digits, equally far apart: ten steps of at most 8999 do not come back to the first one.
        let (first, step) = (percept_random::below(90_000, &[key, 1]), 1 + percept_random::below(8_999, &[key, 2]));
        let number = |index: u64| 10_000 + (first + index * step) % 90_000;
        let candidates = (0..CANDIDATES as u64).map(|index| tokens(&format!(" {}", number(index))));
        Ok(Self {
            opening: tokens(&format!("\nThe secret number of {name} is"))?,
            end: tokens(".\n")?,
            candidates: candidates.collect::<Result<_>>()?,
            truth: percept_random::below(CANDIDATES as u64, &[key, 3]) as usize,
        })
    }

    /// Tokens of a prompt beside the haystack: the document token, the needle, and the question with its answer.
    fn rest(&self) -> usize {
        1 + 2 * (self.opening.len() + self.candidates[self.truth].len()) + self.end.len()
    }

    /// The shortest prompt of such a question; numbers may differ by some tokens from one to another.
    fn least(&self) -> usize {
        self.rest() + LEAST_HAY
    }

    /// How right the choice is where the needle lies at `depth` of `hay`.
    fn ask(&self, subject: &Subject<'_>, hay: &[u32], depth: f64) -> Result<f64> {
        let at = (depth * hay.len() as f64).round() as usize;
        let mut prompt = vec![subject.tokenizer.document_token()];
        prompt.extend(&hay[..at]);
        for part in [&self.opening, &self.candidates[self.truth], &self.end] {
            prompt.extend(part);
        }
        prompt.extend(&hay[at..]);
        prompt.extend(&self.opening);
        // A model with a longest context gets the end of the prompt.
        let answer = self.candidates.iter().map(Vec::len).max().unwrap_or(0);
        let most = subject.scorer.longest().saturating_sub(answer).max(1);
        let mut stream = subject.scorer.stream()?;
        stream.feed(&prompt[prompt.len().saturating_sub(most)..])?;
        self.choose(&*stream)
    }

    fn choose(&self, stream: &dyn Stream) -> Result<f64> {
        let mut likelihoods = Vec::with_capacity(self.candidates.len());
        for candidate in &self.candidates {
            likelihoods.push(-stream.fork().score(candidate)?.iter().sum::<f64>());
        }
        match likelihoods.iter().any(|likelihood| likelihood.is_nan()) {
            true => Err(super::answers::no_probabilities()),
            false => Ok(chosen(&likelihoods, self.truth)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_halve_as_far_as_a_needle_fits() {
        assert_eq!(lengths(1024, 90), [128, 256, 512, 1024]);
        assert_eq!(lengths(256, 90), [128, 256]);
        assert_eq!(lengths(64, 90), [90]);
    }
}
