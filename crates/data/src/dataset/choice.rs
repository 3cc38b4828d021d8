//! Which documents are held out.

use std::ops::Range;

use crate::SplitConfig;
use percept_random::Permutation;

/// Keeps the seed of the split apart from other uses of the same seed.
const SPLIT_KEY: u64 = 0x73_70_6c_69_74;

/// Documents for training, validation and test, each ascending.
pub(super) type Choice = [Vec<usize>; 3];

/// A seeded choice by the number of documents. A share above 0 gets a document at least, where training keeps one.
pub(super) fn by_number(documents: usize, split: &SplitConfig) -> Choice {
    let count = |share: f64| match share > 0.0 {
        true => ((documents as f64 * share).round() as usize).max(1),
        false => 0,
    };
    let test = count(split.test).min(documents.saturating_sub(1));
    let validation = count(split.validation).min(documents.saturating_sub(1 + test));
    let order = order(documents, split);
    let members = |ranks: Range<usize>| ascending(ranks.map(|rank| order.apply(rank as u64) as usize).collect());
    let held_out = validation + test;
    [members(held_out..documents), members(0..validation), members(validation..held_out)]
}

/// A seeded choice by size, for documents of these bytes: the one by number where that holds out about the shares that are asked
/// for, else documents that fit into them. `None` where whole documents don't give such shares, or leave less than half of its own
/// share to train on.
pub(super) fn by_size(sizes: &[u64], split: &SplitConfig) -> Option<Choice> {
    let choice = by_number(sizes.len(), split);
    let measure = Measure::new(sizes);
    let bytes = |part: &[usize]| part.iter().map(|&index| sizes[index]).sum::<u64>();
    let is_near = |part: &[usize], share: f64| measure.is_near(bytes(part), share);
    let trains = |train: &[usize]| bytes(train) as f64 >= measure.total * (1.0 - split.validation - split.test) / 2.0;
    if is_near(&choice[1], split.validation) && is_near(&choice[2], split.test) && trains(&choice[0]) {
        return Some(choice);
    }
    let order = order(sizes.len(), split);
    let mut left: Vec<usize> = (0..sizes.len()).map(|rank| order.apply(rank as u64) as usize).collect();
    let test = measure.take(&mut left, split.test)?;
    let validation = measure.take(&mut left, split.validation)?;
    (!left.is_empty() && trains(&left)).then(|| [left, validation, test].map(ascending))
}

fn order(documents: usize, split: &SplitConfig) -> Permutation {
    Permutation::new(documents as u64, &[SPLIT_KEY, split.seed])
}

fn ascending(mut members: Vec<usize>) -> Vec<usize> {
    members.sort_unstable();
    members
}

/// How far a held-out part may be from its share.
struct Measure<'a> {
    sizes: &'a [u64],
    total: f64,
    mean: f64,
}

impl<'a> Measure<'a> {
    fn new(sizes: &'a [u64]) -> Self {
        let total = sizes.iter().sum::<u64>() as f64;
        Self { sizes, total, mean: total / sizes.len().max(1) as f64 }
    }

    /// Whether so many bytes are about this share of all: half to twice, or no more than a document of mean size.
    fn is_near(&self, bytes: u64, share: f64) -> bool {
        let (bytes, target) = (bytes as f64, self.total * share);
        bytes >= target / 2.0 && bytes <= (2.0 * target).max(self.mean)
    }

    /// Takes documents of about this share from those that are left: in their order, those that still fit; else the one whose size
    /// is nearest.
    fn take(&self, left: &mut Vec<usize>, share: f64) -> Option<Vec<usize>> {
        let target = self.total * share;
        let (mut taken, mut bytes) = (Vec::new(), 0);
        left.retain(|&index| {
            let fits = (bytes + self.sizes[index]) as f64 <= target;
            if fits {
                taken.push(index);
                bytes += self.sizes[index];
            }
            !fits
        });
        if self.is_near(bytes, share) {
            return Some(taken);
        }
        left.append(&mut taken);
        let distance = |index: usize| (self.sizes[index] as f64 - target).abs();
        let nearest = (0..left.len()).min_by(|&a, &b| distance(left[a]).total_cmp(&distance(left[b])))?;
        self.is_near(self.sizes[left[nearest]], share).then(|| vec![left.remove(nearest)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(sizes: &[u64], part: &[usize]) -> u64 {
        part.iter().map(|&index| sizes[index]).sum()
    }

    #[test]
    fn every_share_gets_a_document_where_there_are_few() {
        let split = SplitConfig::default();
        let sizes = |documents, split: &SplitConfig| by_number(documents, split).map(|part| part.len());
        assert_eq!(sizes(5, &split), [3, 1, 1]);
        assert_eq!(sizes(2, &split), [1, 0, 1]);
        assert_eq!(sizes(1, &split), [1, 0, 0]);
        assert_eq!(sizes(0, &split), [0, 0, 0]);
        assert_eq!(sizes(10, &SplitConfig { validation: 0.0, test: 0.9, seed: 0 }), [1, 0, 9]);
    }

    #[test]
    fn documents_of_equal_size_are_chosen_by_number() {
        for documents in 5..200 {
            for seed in 0..5 {
                let split = SplitConfig { seed, ..SplitConfig::default() };
                assert_eq!(by_size(&vec![1000; documents], &split), Some(by_number(documents, &split)));
            }
        }
    }

    #[test]
    fn a_novel_among_many_lines_stays_with_the_training_text() {
        // 2000 lines of 100 bytes and a novel of as many bytes: 5 % are 20,000 bytes, 200 lines.
        let mut sizes = vec![100; 2000];
        sizes.push(200_000);
        for seed in 0..200 {
            let split = SplitConfig { seed, ..SplitConfig::default() };
            let [train, validation, test] = by_size(&sizes, &split).unwrap();
            assert!(train.contains(&2000));
            assert!((10_000..=40_000).contains(&bytes(&sizes, &validation)));
            assert!((10_000..=40_000).contains(&bytes(&sizes, &test)));
        }
    }

    #[test]
    fn lines_that_are_too_few_to_hold_out_are_none() {
        let mut sizes = vec![50; 4];
        sizes.push(500_000);
        for seed in 0..20 {
            assert_eq!(by_size(&sizes, &SplitConfig { seed, ..SplitConfig::default() }), None);
        }
    }

    #[test]
    fn what_is_held_out_leaves_half_of_the_training_share() {
        // 300 short texts, and a novel of 77 % of the bytes, which is less than twice the share.
        let mut sizes = vec![100; 300];
        sizes.push(100_000);
        for seed in 0..20 {
            let split = SplitConfig { validation: 0.45, seed, ..SplitConfig::default() };
            assert_eq!(by_size(&sizes, &split), None);
        }
    }

    proptest! {
        #[test]
        fn a_choice_holds_out_about_what_is_asked_for(
            sizes in prop::collection::vec(1_u64..10_000, 5..200), validation in 0.0..0.3, test in 0.0..0.3, seed: u64,
        ) {
            let split = SplitConfig { validation, test, seed };
            let Some(choice) = by_size(&sizes, &split) else { return Ok(()) };
            prop_assert_eq!(by_size(&sizes, &split), Some(choice.clone()), "the same seed, the same choice");
            let mut all = choice.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..sizes.len()).collect::<Vec<_>>(), "each document is in one part");
            let (total, count) = (sizes.iter().sum::<u64>() as f64, sizes.len() as f64);
            prop_assert!(bytes(&sizes, &choice[0]) as f64 >= total * (1.0 - validation - test) / 2.0);
            for (part, share) in [(&choice[1], validation), (&choice[2], test)] {
                let held_out = bytes(&sizes, part) as f64 / total;
                prop_assert!(held_out >= share / 2.0 && held_out <= (2.0 * share).max(1.0 / count));
            }
        }
    }
}
