//! Accuracies by size and distance.

use std::collections::BTreeMap;

use super::clusters::Clusters;
use super::statistics::accuracy;
use super::{TaskCell, TaskTable};

/// Answers counted by size and by the doubling into which the distance falls: bucket b holds `2^b .. 2^(b + 1)`.
#[derive(Debug, Default)]
pub(super) struct TaskTally(BTreeMap<(u64, u32), Counts>);

#[derive(Debug, Clone, Default)]
struct Counts {
    /// Answers and right ones by document. Documents of one number have the same keys, values and symbols whatever their size and
    /// gap: they are one unit.
    documents: BTreeMap<u64, (u64, f64)>,
    nll: f64,
    /// Smallest and largest bucket.
    buckets: Option<(u32, u32)>,
}

impl Counts {
    fn merge(&mut self, other: &Self) {
        for (&document, &(trials, correct)) in &other.documents {
            self.add(document, trials, correct);
        }
        self.nll += other.nll;
        self.buckets = match (self.buckets, other.buckets) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (own, others) => own.or(others),
        };
    }

    fn add(&mut self, document: u64, trials: u64, correct: f64) {
        let own = self.documents.entry(document).or_default();
        (own.0, own.1) = (own.0 + trials, own.1 + correct);
    }

    fn cell(&self, size: u64) -> TaskCell {
        let (first, last) = self.buckets.unwrap_or_default();
        let mut clusters = Clusters::default();
        self.documents.values().for_each(|&(trials, correct)| clusters.add(trials, correct));
        TaskCell {
            size,
            distance_from: 1 << first,
            distance_to: 2 << last,
            accuracy: accuracy(&[clusters]),
            nll: self.nll / clusters.trials(),
        }
    }
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// Size of the task.
    pub(super) size: u64,
    /// Number of its document.
    pub(super) document: u64,
    /// Distance to what it repeats.
    pub(super) distance: u64,
    /// How right it is.
    pub(super) correct: f64,
    /// Loss of the right token.
    pub(super) nll: f64,
}

impl TaskTally {
    /// Counts an answer at a distance of at least 1.
    pub(super) fn add(&mut self, answer: Answered) {
        let bucket = answer.distance.max(1).ilog2();
        let counts = self.0.entry((answer.size, bucket)).or_default();
        counts.add(answer.document, 1, answer.correct);
        counts.nll += answer.nll;
        counts.buckets = Some((bucket, bucket));
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
        let answers = [(4, 1, 1.0, 0), (4, 2, 0.0, 0), (4, 3, 0.5, 1), (8, 3, 1.0, 0), (8, 9, 0.0, 1)];
        for (size, distance, correct, document) in answers {
            tally.add(Answered { size, document, distance, correct, nll: 2.0 });
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
        let units = |cells: &[TaskCell]| -> Vec<u64> { cells.iter().filter_map(|cell| cell.accuracy.units).collect() };
        assert_eq!((units(&table.cells), units(&table.by_distance)), (vec![1, 2, 1, 1], vec![1, 2, 1]));
    }
}
