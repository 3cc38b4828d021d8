//! Text with errors (spec of COrAL, section 3): segments replaced by other tokens of the same answer, or shifted.

use percept_random::uniform;

/// Longest segment.
const LONGEST: usize = 4;
/// Of how many tokens of the answer a segment is one at most, where that is at least two.
const SHARE: usize = 8;
/// The standard deviation of the ratio of segments that are replaced, and the largest one.
const RATIO: (f32, f32) = (0.25, 0.5);

/// What a corruption draws, in the order of use.
pub trait Draws {
    /// In [0, 1).
    fn uniform(&mut self) -> f32;

    /// Any of `least ..= most`.
    fn within(&mut self, least: usize, most: usize) -> usize;

    /// Of the normal distribution of mean 0 and standard deviation 0.25, cut to [0, 0.5].
    fn ratio(&mut self) -> f32;
}

/// An answer with errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Corrupted {
    /// As many tokens as before.
    pub tokens: Vec<u32>,
    /// Which of them are to be predicted again; some of those are right.
    pub labelled: Vec<bool>,
    /// The ratio that was drawn last.
    pub ratio: f32,
    /// Labelled segments over all segments but one.
    pub share: f32,
}

/// The answer with errors; at least one segment of it is labelled.
///
/// ```
/// use percept_model::order_agnostic::{Seeded, corrupt};
/// let answer: Vec<u32> = (100..140).collect();
/// let corrupted = corrupt(&answer, &mut Seeded::new(1));
/// let wrong = |at: &usize| corrupted.tokens[*at] != answer[*at];
/// // What is wrong is labelled.
/// assert!((0..40).filter(wrong).all(|at| corrupted.labelled[at]));
/// assert!(corrupted.labelled.contains(&true) && corrupted.tokens != answer);
/// ```
pub fn corrupt(answer: &[u32], draws: &mut dyn Draws) -> Corrupted {
    let size = draws.within(1, LONGEST.min((answer.len() / SHARE).max(2)));
    let count = answer.len().div_ceil(size);
    loop {
        let (mut tokens, mut labelled, mut segments) = (Vec::with_capacity(answer.len()), Vec::new(), 0);
        let ratio = draws.ratio();
        let mut changed_before = false;
        for segment in answer.chunks(size) {
            let fate = Fate::of(ratio, changed_before, draws);
            let is_labelled = !matches!(fate, Fate::Kept);
            changed_before = matches!(fate, Fate::Replaced | Fate::Shifted);
            match fate {
                Fate::Replaced => replace(segment, (answer, size, count), draws, &mut tokens),
                Fate::Shifted => shift(segment, draws, &mut tokens),
                Fate::Kept | Fate::Doubted => tokens.extend_from_slice(segment),
            }
            segments += usize::from(is_labelled);
            labelled.resize(tokens.len(), is_labelled);
        }
        if segments > 0 || answer.is_empty() {
            return Corrupted {
                tokens,
                labelled,
                ratio,
                share: segments as f32 / count.saturating_sub(1).max(1) as f32,
            };
        }
    }
}

/// What becomes of a segment.
enum Fate {
    /// Nothing.
    Kept,
    /// It stays, but is labelled.
    Doubted,
    /// Its first token comes more than once.
    Shifted,
    /// Other tokens of the answer stand in its place.
    Replaced,
}

impl Fate {
    fn of(ratio: f32, changed_before: bool, draws: &mut dyn Draws) -> Self {
        let (replaced, shifted) = (draws.uniform() < ratio, draws.uniform() < ratio);
        match (replaced, shifted && !changed_before) {
            (true, _) => Self::Replaced,
            (false, true) if draws.uniform() < 0.5 => Self::Shifted,
            (false, true) => Self::Doubted,
            (false, false) => Self::Kept,
        }
    }
}

/// Other tokens of the answer, of which some give way to the original. Where they begin is drawn among the numbers of the segments but
/// counts tokens: as the authors' code has it.
fn replace(
    segment: &[u32],
    (answer, size, count): (&[u32], usize, usize),
    draws: &mut dyn Draws,
    tokens: &mut Vec<u32>,
) {
    let from = draws.within(0, count - 1);
    let fake = &answer[from..(from + size).min(answer.len())];
    let restored = draws.uniform() / 2.0;
    for (index, &original) in segment.iter().enumerate() {
        let fake = fake.get(index).copied().unwrap_or(original);
        tokens.push(if draws.uniform() > restored { fake } else { original });
    }
}

/// The first token some times, then the others as far as there is room.
fn shift(segment: &[u32], draws: &mut dyn Draws, tokens: &mut Vec<u32>) {
    let repeats = draws.within(1, segment.len().div_ceil(2));
    tokens.extend(std::iter::repeat_n(segment[0], repeats));
    tokens.extend_from_slice(&segment[1..1 + segment.len() - repeats]);
}

/// Draws that follow from a seed.
#[derive(Debug, Clone)]
pub struct Seeded {
    seed: u64,
    drawn: u64,
}

impl Seeded {
    /// Before the first draw.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    fn next(&mut self) -> f64 {
        self.drawn += 1;
        uniform(self.seed, self.drawn - 1)
    }
}

impl Draws for Seeded {
    fn uniform(&mut self) -> f32 {
        // Rounding must not make it 1.
        (self.next() as f32).min(1.0 - f32::EPSILON / 2.0)
    }

    fn within(&mut self, least: usize, most: usize) -> usize {
        least + (self.next() * (most - least + 1) as f64) as usize
    }

    /// By Box and Muller, until it lies within the bound: nearly always the first.
    fn ratio(&mut self) -> f32 {
        let (deviation, most) = RATIO;
        loop {
            let (radius, angle) = ((-2.0 * (1.0 - self.next()).ln()).sqrt(), std::f64::consts::TAU * self.next());
            let ratio = deviation * (radius * angle.cos()).abs() as f32;
            if ratio <= most {
                return ratio;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn errors_are_labelled_and_lengths_stay(length in 1_usize..80, seed: u64) {
            let answer: Vec<u32> = (0..length as u32).collect();
            let corrupted = corrupt(&answer, &mut Seeded::new(seed));
            prop_assert_eq!((corrupted.tokens.len(), corrupted.labelled.len()), (length, length));
            prop_assert!(corrupted.labelled.contains(&true));
            prop_assert!((0.0..=0.5).contains(&corrupted.ratio));
            let both = corrupted.tokens.iter().zip(&answer);
            prop_assert!(corrupted.labelled.iter().zip(both).all(|(labelled, (token, answer))| *labelled || token == answer));
        }
    }

    #[test]
    fn the_share_of_labelled_tokens_is_what_plans_count_with() {
        let answer: Vec<u32> = (0..512).collect();
        let labelled = |seed| corrupt(&answer, &mut Seeded::new(seed)).labelled.into_iter().filter(|is| *is).count();
        let share = (0..2000).map(labelled).sum::<usize>() as f64 / (2000.0 * 512.0);
        assert!((share - 0.29).abs() < 0.02, "{share}");
    }

    #[test]
    fn ratios_are_those_of_the_cut_normal_distribution() {
        let mut draws = Seeded::new(3);
        let ratios: Vec<f32> = (0..20_000).map(|_| draws.ratio()).collect();
        let mean = ratios.iter().sum::<f32>() / 20_000.0;
        // (phi(0) - phi(2)) / (Phi(2) - 1/2) standard deviations.
        assert!((mean - 0.1807).abs() < 0.003, "{mean}");
    }
}
