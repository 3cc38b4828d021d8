//! Regularised evolution (Real et al., arXiv 1802.01548): the best of a sample of the youngest configurations is changed in one
//! axis; the oldest die, however good.

use percept_fault::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::told::{self, Told};
use super::{Algorithm, anywhere, check, written};
use crate::draws::Draws;
use crate::space::{Point, Space};
use crate::trial::Outcome;

/// Settings of regularised evolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvolutionSettings {
    /// How many configurations live; as many random ones come first.
    pub population: usize,
    /// How many are drawn to be parents; the best of them is one.
    pub sample: usize,
}

impl Default for EvolutionSettings {
    fn default() -> Self {
        Self { population: 20, sample: 5 }
    }
}

/// The living, the oldest first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evolution {
    settings: EvolutionSettings,
    seed: u64,
    living: Vec<Told>,
}

impl Evolution {
    pub(super) fn new(settings: &EvolutionSettings, seed: u64) -> Result<Self> {
        check(settings.population > 0 && settings.sample > 0, "evolution", "population and sample must be above 0")?;
        Ok(Self { settings: settings.clone(), seed, living: Vec::new() })
    }

    /// The same, if it is one of `space`.
    pub(super) fn of(self, space: &Space) -> Result<Self> {
        told::check(&self.living, space)?;
        Ok(self)
    }

    /// The best of a sample, drawn with replacement; the elder of equals.
    fn parent(&self, draws: &mut Draws) -> Option<&Told> {
        let sample = (0..self.settings.sample).map(|_| draws.below(self.living.len()));
        let best = sample.min_by(|a, b| self.living[*a].outcome.rank().total_cmp(&self.living[*b].outcome.rank()));
        best.map(|index| &self.living[index])
    }
}

impl Algorithm for Evolution {
    fn ask(&self, space: &Space, number: u64) -> Point {
        let mut draws = Draws::new(&[self.seed, number]);
        let parent = if self.living.len() < self.settings.population { None } else { self.parent(&mut draws) };
        let Some(parent) = parent else { return anywhere(space, &mut draws) };
        let mut child = parent.point.clone();
        let mutable: Vec<usize> = (0..child.len()).filter(|axis| space.axes()[*axis].choices() > 1).collect();
        if !mutable.is_empty() {
            let axis = mutable[draws.below(mutable.len())];
            // Any other value: the parent's own is jumped over.
            let other = draws.below(space.axes()[axis].choices() - 1);
            child[axis] = other + usize::from(other >= child[axis]);
        }
        child
    }

    fn tell(&mut self, _space: &Space, _number: u64, point: &[usize], outcome: Outcome) {
        self.living.push(Told { point: point.to_vec(), outcome });
        if self.living.len() > self.settings.population {
            self.living.remove(0);
        }
    }

    fn state(&self) -> Result<Value> {
        written(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Axis;

    fn space(choices: &[i64]) -> Space {
        let axis = |(index, choices): (usize, &i64)| {
            Axis::new(format!("a{index}"), (0..*choices).map(Into::into).collect()).unwrap()
        };
        Space::new(choices.iter().enumerate().map(axis).collect()).unwrap()
    }

    #[test]
    fn a_child_is_its_parent_with_one_other_value_and_every_one_comes() {
        let space = space(&[3, 1, 4]);
        let settings = EvolutionSettings { population: 2, sample: 8 };
        let mut evolution = Evolution::new(&settings, 1).unwrap();
        evolution.tell(&space, 0, &[1, 0, 2], Outcome::Finished(1.0));
        evolution.tell(&space, 1, &[0, 0, 0], Outcome::Failed);
        let mut children: Vec<Point> = (2..500).map(|number| evolution.ask(&space, number)).collect();
        // A sample of eight of two lacks the better one once in 256 times.
        let of_best = |child: &Point| child.iter().zip([1, 0, 2]).filter(|(a, b)| **a != *b).count() == 1;
        let share = children.iter().filter(|child| of_best(child)).count() as f64 / 498.0;
        assert!(share > 0.97, "{share}");
        children.retain(of_best);
        children.sort();
        children.dedup();
        assert_eq!(children, [[0, 0, 2], [1, 0, 0], [1, 0, 1], [1, 0, 3], [2, 0, 2]]);
    }

    #[test]
    fn the_oldest_dies_however_good() {
        let space = space(&[9]);
        let settings = EvolutionSettings { population: 2, sample: 50 };
        let mut evolution = Evolution::new(&settings, 1).unwrap();
        for (number, value) in [(0, 0.0), (1, 5.0), (2, 4.0)] {
            evolution.tell(&space, number, &[number as usize], Outcome::Finished(value));
        }
        let points: Vec<&Point> = evolution.living.iter().map(|told| &told.point).collect();
        assert_eq!(points, [&vec![1], &vec![2]]);
        assert_eq!(evolution.parent(&mut Draws::new(&[1])).unwrap().point, [2]);
    }

    #[test]
    fn where_nothing_can_change_nothing_does() {
        let space = space(&[1, 1]);
        let mut evolution = Evolution::new(&EvolutionSettings { population: 1, sample: 1 }, 1).unwrap();
        evolution.tell(&space, 0, &[0, 0], Outcome::Finished(1.0));
        assert_eq!(evolution.ask(&space, 1), [0, 0]);
    }
}
