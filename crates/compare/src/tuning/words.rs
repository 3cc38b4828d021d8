//! What a search says in plain words, by rules: the same data always give the same sentences.

use percept_tune::Effect;

use super::result::{Status, TrialResult, TuneReport, shown};
use super::spec::Strategy;
use crate::State;

/// Shares of the variance below this are not told.
const LITTLE: f64 = 0.05;

/// Sentences, the most important first.
pub fn tune_words(report: &TuneReport) -> Vec<String> {
    let mut words = Vec::new();
    if report.state == State::Unfinished {
        words.push(format!("This search is not finished: {} of {} trials.", report.trials.len(), report.planned));
    }
    words.push(best(report));
    words.extend(against_the_start(report));
    words.push(counts(report));
    words.extend(failures(report));
    words.extend(effects(report));
    if report.best().is_some() && report.seeds.len() == 1 && report.strategy != Strategy::Grid {
        words.push(
            "All trials had one seed, and the best of many is partly luck: train it with other seeds before it counts."
                .to_owned(),
        );
    }
    words
}

/// A metric with its unit.
fn figure(report: &TuneReport, metric: f64) -> String {
    format!("{metric:.4} {}", report.metric.name())
}

fn best(report: &TuneReport) -> String {
    let Some((trial, metric)) = report.best().and_then(|trial| Some((trial, trial.metric?))) else {
        return "No trial has a figure.".to_owned();
    };
    let values: Vec<String> = trial.values.iter().map(|(key, value)| format!("{key} = {}", shown(value))).collect();
    let share = match trial.fraction < 1.0 {
        true => format!(" after {:.1} % of the budget, the most that any trial has had so far", 100.0 * trial.fraction),
        false => String::new(),
    };
    format!("The best is trial {} with {}{share}: {}.", trial.number, figure(report, metric), values.join(", "))
}

/// Whether the search was worth it.
fn against_the_start(report: &TuneReport) -> Option<String> {
    let start = report.start.as_ref()?;
    let Some(metric) = start.metric else {
        let why = start.message.as_deref().unwrap_or("no reason is known");
        return Some(format!("The configuration that it starts from has no figure: {why}."));
    };
    let gain = report.gain()?;
    let said = figure(report, metric);
    Some(match gain > 0.0 {
        true => format!(
            "The configuration that it starts from has {said} after the same budget: the best is {gain:.4} ({:.1} %) below that.",
            100.0 * gain / metric
        ),
        false => {
            format!("The configuration that it starts from has {said} after the same budget: no trial is below that.")
        }
    })
}

fn counts(report: &TuneReport) -> String {
    let runs: std::collections::BTreeSet<_> = report.trials.iter().filter_map(|trial| trial.folder.as_ref()).collect();
    let [finished, diverged, failed] =
        [Status::Finished, Status::Diverged, Status::Failed].map(|status| report.count(status));
    let trials = report.trials.len();
    format!(
        "{trials} trials in {} runs: {finished} finished, {diverged} diverged, {failed} could not be trained.",
        runs.len()
    )
}

/// The reason of the first trial of each kind that has none.
fn failures(report: &TuneReport) -> impl Iterator<Item = String> {
    let first = |status: Status| report.trials.iter().find(|trial| trial.status == status);
    let told = |(status, trial): (Status, &TrialResult)| {
        let message = trial.message.as_deref()?;
        Some(format!("The first that {}, trial {}: {message}.", status.name(), trial.number))
    };
    let kinds = [Status::Diverged, Status::Failed];
    kinds.into_iter().filter_map(move |status| told((status, first(status)?)))
}

/// Which keys matter, where there are trials enough to tell: two for each value.
fn effects(report: &TuneReport) -> Option<String> {
    let values: usize = report.space.iter().map(|axis| axis.values.len()).sum();
    let found = report.effects.as_ref().filter(|found| found.trials >= 2 * values)?;
    let mut keys: Vec<&Effect> = found.keys.iter().filter(|key| key.share >= LITTLE).collect();
    keys.sort_by(|a, b| b.share.total_cmp(&a.share));
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let told: Vec<String> = keys.iter().map(|key| format!("{} {}", key.key, percent(key.share))).collect();
    let told = if told.is_empty() { "none of the keys much".to_owned() } else { told.join(", ") };
    Some(format!(
        "Of the differences between the trials, each key alone explains: {told}; {} are left to keys together and to chance.",
        percent(found.rest)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{report, space, trial};
    use super::*;

    fn words(trials: Vec<TrialResult>) -> Vec<String> {
        let mut found = report(trials);
        found.conclude(&space());
        tune_words(&found)
    }

    #[test]
    fn a_finished_search_says_what_is_best_and_what_it_gains() {
        let words = words(vec![trial(0, 1, Some(3.0)), trial(4, 1, Some(2.0)), trial(2, 1, None)]);
        assert_eq!(
            words[0],
            "The best is trial 4 with 2.0000 bits per byte: model.layers = tost, train.learning_rate = 0.01."
        );
        assert_eq!(
            words[1],
            "The configuration that it starts from has 2.5000 bits per byte after the same budget: the best is 0.5000 (20.0 %) below that."
        );
        assert_eq!(words[2], "3 trials in 3 runs: 2 finished, 1 diverged, 0 could not be trained.");
        assert_eq!(words[3], "The first that diverged, trial 2: training diverged.");
        assert!(words[4].starts_with("All trials had one seed"));
    }

    #[test]
    fn keys_are_told_by_what_they_explain_where_trials_are_enough() {
        // Six values, each tried at least twice; the learning rate alone matters.
        let of = |number: u64, seed| TrialResult { seed, ..trial(number, 1, Some(2.0 + (number % 3) as f64)) };
        let trials: Vec<TrialResult> =
            (0..9).map(|number| of(number, 1)).chain((0..3).map(|number| of(number, 2))).collect();
        let said = words(trials.clone());
        let told = "each key alone explains: train.learning_rate 9";
        assert!(said[3].contains(told) && said[3].contains(" %; "), "{}", said[3]);
        assert!(!words(trials[1..].to_vec()).iter().any(|word| word.contains(told)));
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let early = words(vec![trial(0, 0, Some(2.0))]);
        assert!(early[0].contains("2.0000 bits per byte after 50.0 % of the budget"), "{}", early[0]);
        assert_eq!(early[1], "1 trials in 1 runs: 1 finished, 0 diverged, 0 could not be trained.");
        let worse = words(vec![trial(0, 1, Some(2.5))]);
        assert!(worse[1].ends_with("after the same budget: no trial is below that."), "{}", worse[1]);
        assert_eq!(words(vec![trial(0, 1, None)])[0], "No trial has a figure.");
        let start = TrialResult { metric: None, message: Some("too large".into()), ..trial(0, 1, None) };
        let found = TuneReport { start: Some(start), state: State::Unfinished, planned: 9, ..report(Vec::new()) };
        assert_eq!(tune_words(&found)[0], "This search is not finished: 0 of 9 trials.");
        assert_eq!(tune_words(&found)[2], "The configuration that it starts from has no figure: too large.");
    }
}
