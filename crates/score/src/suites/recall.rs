//! Multi-query associative recall (MQAR, arXiv 2312.04927): pairs of keys and values, then the keys again in another order.

use percept_data::Task;

use super::answers::ask;
use super::table::TaskTally;
use super::{Findings, Meter, Options, Recall, Result, Subject};

/// Documents per number of pairs and gap by default.
const DOCUMENTS: usize = 32;
/// Numbers of pairs.
const PAIRS: [u64; 4] = [4, 8, 16, 32];
/// Different values where the model was not trained on others.
const VALUES: u64 = 10;

pub(super) fn run(subject: &Subject<'_>, options: &Options, meter: &mut Meter<'_>) -> Result<(String, Findings)> {
    let documents = options.samples(DOCUMENTS);
    let tasks = tasks(options);
    meter.progress.total = tasks.iter().map(|(_, task)| (documents * task.size()) as u64).sum();
    let mut tally = TaskTally::default();
    for (pairs, task) in &tasks {
        ask(subject, task, (*pairs, options.documents_seed(), documents), &mut tally, meter)?;
    }
    let values = tasks.first().map_or(VALUES, |(_, task)| task.candidates().len() as u64);
    let protocol = format!("{documents} documents of each number of pairs and gap, {values} different values");
    Ok((protocol, Findings::Recall(Recall { chance: 1.0 / values as f64, table: tally.table() })))
}

/// Each number of pairs with three gaps: those of training, or none, a quarter and a half of the length, where they fit.
fn tasks(options: &Options) -> Vec<(u64, Task)> {
    let trained = options.trained_on.iter().find_map(|task| match *task {
        Task::Recall { pairs, values, gap } => Some((pairs, values, gap)),
        Task::Copy { .. } | Task::Reverse { .. } => None,
    });
    let length = options.length as u64;
    let (mut sizes, values, widest) = match trained {
        Some((pairs, values, gap)) => {
            (PAIRS.into_iter().filter(|&size| size < pairs).chain([pairs]).collect(), values, gap)
        }
        None => (PAIRS.to_vec(), VALUES, length / 2),
    };
    let size = |pairs, gap| Task::Recall { pairs, values, gap }.size() as u64;
    sizes.retain(|&pairs| size(pairs, 0) <= length || pairs == PAIRS[0]);
    let mut gaps = vec![0, widest / 2, widest];
    gaps.dedup();
    let all = sizes.into_iter().flat_map(|pairs| gaps.iter().map(move |&gap| (pairs, gap)));
    let fit = all.filter(|&(pairs, gap)| gap == 0 || size(pairs, gap) <= length);
    fit.map(|(pairs, gap)| (pairs, Task::Recall { pairs, values, gap })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit_and_follow_training() {
        let sizes = |length, trained_on: Vec<Task>| -> Vec<(u64, u64, u64)> {
            let options = Options { seed: 0, samples: None, length, trained_on };
            let size = |(size, task)| match task {
                Task::Recall { pairs, values, gap } if pairs == size => (pairs, values, gap),
                other => panic!("{other:?}"),
            };
            tasks(&options).into_iter().map(size).collect()
        };
        assert_eq!(sizes(64, vec![]), [(4, 10, 0), (4, 10, 16), (4, 10, 32), (8, 10, 0), (8, 10, 16)]);
        assert_eq!(sizes(8, vec![]), [(4, 10, 0)]);
        let trained = Task::Recall { pairs: 6, values: 3, gap: 0 };
        assert_eq!(sizes(64, vec![trained]), [(4, 3, 0), (6, 3, 0)]);
    }
}
