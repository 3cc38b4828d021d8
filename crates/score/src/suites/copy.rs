//! Random symbols again, straight and backwards.

use percept_data::Task;

use super::answers::ask;
use super::table::TaskTally;
use super::{Copying, Findings, Meter, Options, Result, Subject};

/// Documents per number of symbols by default.
const DOCUMENTS: usize = 32;
/// Different symbols where the model was not trained on others.
const SYMBOLS: u64 = 16;
/// The smallest number of symbols to copy.
const SHORTEST: u64 = 8;

pub(super) fn run(subject: &Subject<'_>, options: &Options, meter: &mut Meter<'_>) -> Result<(String, Findings)> {
    let documents = options.samples(DOCUMENTS);
    let (lengths, symbols) = sizes(options);
    let tasks = |length| [Task::Copy { length, symbols }, Task::Reverse { length, symbols }];
    meter.progress.total = lengths.iter().map(|&length| (2 * documents * tasks(length)[0].size()) as u64).sum();
    let mut tallies = [TaskTally::default(), TaskTally::default()];
    for &length in &lengths {
        for (task, tally) in tasks(length).iter().zip(&mut tallies) {
            ask(subject, task, (length, options.documents_seed(), documents), tally, meter)?;
        }
    }
    let protocol = format!(
        "{documents} documents of each length, {symbols} different symbols, the symbols before as they should be"
    );
    let [copy, reverse] = tallies.map(|tally| tally.table());
    Ok((protocol, Findings::Copy(Copying { chance: 1.0 / symbols as f64, copy, reverse })))
}

/// Numbers of symbols that fit twice into the length, and how many different ones there are.
fn sizes(options: &Options) -> (Vec<u64>, u64) {
    let trained = options.trained_on.iter().filter_map(|task| match *task {
        Task::Copy { length, symbols } | Task::Reverse { length, symbols } => Some((length, symbols)),
        Task::Recall { .. } => None,
    });
    let (trained, symbols): (Vec<u64>, Vec<u64>) = trained.unzip();
    let fit = |length: &u64| 2 * length < options.length as u64;
    let doubled = std::iter::successors(Some(SHORTEST), |length| Some(2 * length)).take_while(fit);
    let mut lengths: Vec<u64> = doubled.chain(trained).collect();
    if lengths.is_empty() {
        lengths.push(SHORTEST);
    }
    lengths.sort_unstable();
    lengths.dedup();
    (lengths, symbols.into_iter().max().unwrap_or(SYMBOLS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit_and_hold_those_of_training() {
        let options = |length, trained_on| Options { seed: 0, samples: None, length, trained_on };
        assert_eq!(sizes(&options(128, vec![])), (vec![8, 16, 32], 16));
        assert_eq!(sizes(&options(4, vec![])), (vec![8], 16));
        let trained = vec![Task::Copy { length: 24, symbols: 5 }, Task::Recall { pairs: 3, values: 2, gap: 0 }];
        assert_eq!(sizes(&options(64, trained)), (vec![8, 16, 24], 5));
    }
}
