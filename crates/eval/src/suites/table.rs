//! Accuracies by size and distance.

use std::collections::BTreeMap;

use super::statistics::accuracy;
use super::{TaskCell, TaskTable};

/// Answers counted by size and by the doubling into which the distance falls: bucket b holds `2^b .. 2^(b + 1)`.
#[derive(Debug, Default)]
pub(super) struct TaskTally(BTreeMap<(u64, u32), Counts>);

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    trials: u64,
    correct: f64,
    nll: f64,
    /// Smallest and largest bucket.
    buckets: Option<(u32, u32)>,
}

impl Counts {
    fn merge(&mut self, other: &Self) {
        self.trials += other.trials;
        self.correct += other.correct;
        self.nll += other.nll;
        self.buckets = match (self.buckets, other.buckets) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (own, others) => own.or(others),
        };
    }

    fn cell(&self, size: u64) -> TaskCell {
        let (first, last) = self.buckets.unwrap_or_default();
        TaskCell {
            size,
            distance_from: 1 << first,
            distance_to: 2 << last,
            accuracy: accuracy(self.correct, self.trials),
            nll: self.nll / self.trials as f64,
        }
    }
}

impl TaskTally {
    /// Counts an answer at a distance of at least 1: how right it is, and the loss of the right token.
    pub(super) fn add(&mut self, size: u64, distance: u64, correct: f64, nll: f64) {
        let bucket = distance.max(1).ilog2();
        let one = Counts { trials: 1, correct, nll, buckets: Some((bucket, bucket)) };
        self.0.entry((size, bucket)).or_default().merge(&one);
    }

    pub(super) fn table(&self) -> TaskTable {
        let by_size = self.grouped(|&(size, _)| size);
        let by_distance = self.grouped(|&(_, bucket)| bucket);
        TaskTable {
            cells: self.0.iter().map(|(&(size, _), counts)| counts.cell(size)).collect(),
            by_size: by_size.into_iter().map(|(size, counts)| counts.cell(size)).collect(),
            by_distance: by_distance.into_values().map(|counts| counts.cell(0)).collect(),
        }
    }

    fn grouped<K: Ord>(&self, key: impl Fn(&(u64, u32)) -> K) -> BTreeMap<K, Counts> {
        let mut groups: BTreeMap<K, Counts> = BTreeMap::new();
        for (cell, counts) in &self.0 {
            groups.entry(key(cell)).or_default().merge(counts);
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_grouped_by_size_and_distance() {
        let mut tally = TaskTally::default();
        for (size, distance, correct) in [(4, 1, 1.0), (4, 2, 0.0), (4, 3, 0.5), (8, 3, 1.0), (8, 9, 0.0)] {
            tally.add(size, distance, correct, 2.0);
        }
        let table = tally.table();
        let short = |cells: &[TaskCell]| -> Vec<(u64, u64, u64, u64, f64)> {
            let short = |cell: &TaskCell| {
                (cell.size, cell.distance_from, cell.distance_to, cell.accuracy.trials, cell.accuracy.correct)
            };
            cells.iter().map(short).collect()
        };
        assert_eq!(short(&table.cells), [(4, 1, 2, 1, 1.0), (4, 2, 4, 2, 0.5), (8, 2, 4, 1, 1.0), (8, 8, 16, 1, 0.0)]);
        assert_eq!(short(&table.by_size), [(4, 1, 4, 3, 1.5), (8, 2, 16, 2, 1.0)]);
        assert_eq!(short(&table.by_distance), [(0, 1, 2, 1, 1.0), (0, 2, 4, 3, 1.5), (0, 8, 16, 1, 0.0)]);
        assert!(table.cells.iter().all(|cell| cell.nll == 2.0));
    }
}
