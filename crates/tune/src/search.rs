//! A search: an algorithm, and successive halving on top of it.

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::algorithm::{Algorithm, Method};
use crate::space::Space;
use crate::trial::{Outcome, Trial};

/// Successive halving (Jamieson and Talwalkar 2016): `factor^(rungs - 1)` configurations are trained for a small share of the budget, the
/// best 1/`factor` of them go on to `factor` times as much, and so on, until one has had all of it. One rung is no halving.
///
/// ```
/// use percept_tune::Halving;
/// let halving = Halving { rungs: 3, factor: 3 };
/// assert_eq!([0, 1, 2].map(|rung| halving.trials(rung)), [9, 3, 1]);
/// assert_eq!([0, 1, 2].map(|rung| halving.fraction(rung)), [1.0 / 9.0, 1.0 / 3.0, 1.0]);
/// assert_eq!(Halving::default().trials(0), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Halving {
    /// How many rungs there are.
    pub rungs: u32,
    /// What the budget grows by from rung to rung, and the number of trials shrinks by.
    pub factor: u32,
}

impl Default for Halving {
    fn default() -> Self {
        Self { rungs: 1, factor: 3 }
    }
}

impl Halving {
    /// How many trials of a bracket reach a rung.
    pub fn trials(&self, rung: u32) -> usize {
        (self.factor as usize).saturating_pow(self.rungs.saturating_sub(rung + 1))
    }

    /// The share of the whole budget that a trial has had after a rung.
    pub fn fraction(&self, rung: u32) -> f64 {
        1.0 / self.trials(rung) as f64
    }

    /// Checks that there are as many rungs, and that they grow.
    ///
    /// # Errors
    /// Usage: 1 to 6 rungs and a factor of 2 to 10 are possible.
    pub fn check(&self) -> Result<()> {
        if (1..=6).contains(&self.rungs) && (2..=10).contains(&self.factor) {
            return Ok(());
        }
        Err(Fault::usage(format!("halving with {} rungs by {}", self.rungs, self.factor))
            .hint("take 1 to 6 rungs, and a factor of 2 to 10"))
    }
}

/// A search of a space, one trial after another.
///
/// Only [`Search::tell`] changes it: [`Search::next`] gives the same trial until that is told, so a search that is kept by
/// [`Search::state`] goes on exactly as one that was never interrupted. The algorithm learns what came of the first rung alone,
/// where all trials have had the same budget.
///
/// ```
/// use percept_tune::{Axis, Halving, Method, Outcome, Search, Space};
/// let values = (0..8).map(Into::into).collect();
/// let space = Space::new(vec![Axis::new("model.depth", values)?])?;
/// let mut search = Search::new(space, Method::Random, Halving { rungs: 2, factor: 2 }, 1)?;
/// for _ in 0..2 {
///     let trial = search.next();
///     assert_eq!((trial.rung, trial.fraction), (0, 0.5));
///     search.tell(&trial, Outcome::of(trial.point[0] as f64))?;
/// }
/// // The better of the two goes on to the whole budget.
/// let trial = search.next();
/// assert_eq!((trial.rung, trial.fraction), (1, 1.0));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub struct Search {
    space: Space,
    algorithm: Box<dyn Algorithm>,
    kept: Kept,
}

/// A search without its space and what its algorithm knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    method: Method,
    halving: Halving,
    /// How many configurations were suggested and told.
    asked: u64,
    rung: u32,
    /// Trials of this rung that are still to be run; on the first rung they are asked for one by one.
    waiting: Vec<Trial>,
    /// Those of this rung that were.
    done: Vec<(Trial, Outcome)>,
}

/// A [`Search`] as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchState {
    search: Kept,
    algorithm: Value,
}

impl Search {
    /// A search before its first trial.
    ///
    /// # Errors
    /// Usage: a setting is out of range.
    pub fn new(space: Space, method: Method, halving: Halving, seed: u64) -> Result<Self> {
        halving.check()?;
        let algorithm = method.start(&space, seed)?;
        let kept = Kept { method, halving, asked: 0, rung: 0, waiting: Vec::new(), done: Vec::new() };
        Ok(Self { space, algorithm, kept })
    }

    /// The search that a state was taken of.
    ///
    /// # Errors
    /// Environment: it was a search of another space.
    pub fn resume(space: Space, state: SearchState) -> Result<Self> {
        let SearchState { search: kept, algorithm } = state;
        kept.halving.check()?;
        let algorithm = kept.method.resume(&space, algorithm)?;
        let told = kept.done.iter().map(|(trial, _)| trial).chain(&kept.waiting);
        let fits = |trial: &Trial| {
            let axes = trial.point.iter().zip(space.axes());
            trial.point.len() == space.axes().len() && axes.into_iter().all(|(choice, axis)| *choice < axis.choices())
        };
        // Trials wait on every rung but the first.
        let between = (kept.rung == 0) != kept.waiting.is_empty();
        if !told.into_iter().all(fits) || between || kept.rung >= kept.halving.rungs {
            return Err(Fault::environment("the search's state has trials of another search")
                .hint("it belongs to another space: start a new search"));
        }
        Ok(Self { space, algorithm, kept })
    }

    /// What is searched.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The trial to run now: the same until it is told.
    pub fn next(&self) -> Trial {
        match self.kept.waiting.first() {
            Some(trial) => trial.clone(),
            None => Trial {
                number: self.kept.asked,
                point: self.algorithm.ask(&self.space, self.kept.asked),
                rung: 0,
                fraction: self.kept.halving.fraction(0),
            },
        }
    }

    /// What came of [`Search::next`]'s trial.
    ///
    /// # Errors
    /// Internal: it is another trial; or its metric is no finite number ([`Outcome::of`] sees to that).
    pub fn tell(&mut self, trial: &Trial, outcome: Outcome) -> Result<()> {
        if *trial != self.next() {
            return Err(Fault::internal(format!("trial {} was told, and is not the next one", trial.number)));
        }
        if outcome.value().is_some_and(|value| !value.is_finite()) {
            return Err(Fault::internal("a trial that finished has no finite metric"));
        }
        if trial.rung == 0 {
            self.algorithm.tell(&self.space, trial.number, &trial.point, outcome);
            self.kept.asked += 1;
        } else {
            self.kept.waiting.remove(0);
        }
        self.kept.done.push((trial.clone(), outcome));
        if self.kept.rung_is_over() {
            self.kept.promote();
        }
        Ok(())
    }

    /// All that is needed to go on.
    ///
    /// # Errors
    /// An internal fault where that can't be written.
    pub fn state(&self) -> Result<SearchState> {
        Ok(SearchState { search: self.kept.clone(), algorithm: self.algorithm.state()? })
    }
}

impl Kept {
    fn rung_is_over(&self) -> bool {
        if self.rung == 0 { self.done.len() == self.halving.trials(0) } else { self.waiting.is_empty() }
    }

    /// The best of a rung go on; where it was the last, or nothing finished, a new bracket begins.
    fn promote(&mut self) {
        let mut done = std::mem::take(&mut self.done);
        self.rung += 1;
        if self.rung < self.halving.rungs {
            done.retain(|(_, outcome)| outcome.value().is_some());
            done.sort_by(|a, b| a.1.rank().total_cmp(&b.1.rank()));
            let (rung, fraction) = (self.rung, self.halving.fraction(self.rung));
            let best = done.into_iter().take(self.halving.trials(rung));
            self.waiting = best.map(|(trial, _)| Trial { rung, fraction, ..trial }).collect();
        }
        if self.waiting.is_empty() {
            self.rung = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Axis;

    fn search(rungs: u32) -> Search {
        let space = Space::new(vec![Axis::new("a", (0..100).map(Into::into).collect()).unwrap()]).unwrap();
        Search::new(space, Method::Random, Halving { rungs, factor: 3 }, 4).unwrap()
    }

    /// Runs `count` trials whose outcome `of` tells, and gives them.
    fn run(search: &mut Search, count: usize, of: impl Fn(&Trial) -> Outcome) -> Vec<Trial> {
        let step = |_| {
            let trial = search.next();
            search.tell(&trial, of(&trial)).unwrap();
            trial
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn the_best_third_goes_on_the_best_first() {
        let mut search = search(3);
        let trials = run(&mut search, 26, |trial| Outcome::Finished((trial.number as f64 * 5.0) % 9.0));
        let rungs: Vec<(u64, u32)> = trials.iter().map(|trial| (trial.number, trial.rung)).collect();
        // 5 n mod 9 is 0, 1 and 2 for the numbers 0, 2 and 4.
        assert_eq!(rungs[9..13], [(0, 1), (2, 1), (4, 1), (0, 2)]);
        assert_eq!((rungs[8], rungs[13], rungs[25]), ((8, 0), (9, 0), (9, 2)));
        assert!(
            trials.iter().all(|trial| trial.point == trials.iter().find(|t| t.number == trial.number).unwrap().point)
        );
        assert_eq!(trials[9].fraction, 1.0 / 3.0);
    }

    #[test]
    fn what_failed_is_not_promoted() {
        let mut search = self::search(3);
        let trials =
            run(&mut search, 11, |trial| if trial.number == 6 { Outcome::Finished(1.0) } else { Outcome::Diverged });
        assert_eq!([9, 10].map(|at: usize| (trials[at].number, trials[at].rung)), [(6, 1), (6, 2)]);
        let mut search = self::search(3);
        let trials = run(&mut search, 10, |_| Outcome::Failed);
        assert_eq!((trials[9].number, trials[9].rung), (9, 0));
    }

    #[test]
    fn one_rung_is_no_halving() {
        let trials = run(&mut search(1), 5, |_| Outcome::Finished(1.0));
        assert!(trials.iter().zip(0..).all(|(trial, number)| (trial.number, trial.rung) == (number, 0)));
        assert!(trials.iter().all(|trial| trial.fraction == 1.0));
    }

    #[test]
    fn only_the_next_trial_can_be_told_and_only_numbers() {
        let mut search = search(1);
        let trial = search.next();
        let other = Trial { number: 1, ..trial.clone() };
        assert_eq!(search.tell(&other, Outcome::Failed).unwrap_err().exit_code(), 4);
        assert_eq!(search.tell(&trial, Outcome::Finished(f64::NAN)).unwrap_err().exit_code(), 4);
        assert_eq!(search.next(), trial);
    }

    #[test]
    fn halving_out_of_range_is_refused() {
        let space = search(1).space().clone();
        for (rungs, factor) in [(0, 3), (7, 3), (2, 1), (2, 11)] {
            let fault = Search::new(space.clone(), Method::Random, Halving { rungs, factor }, 1).err().unwrap();
            assert!(fault.is_usage(), "{fault}");
        }
    }
}
