//! What a suite says in plain words, by rules: the same data always give the same sentences.

use super::line::Line;
use super::result::SuiteReport;
use crate::State;

/// Gains below this are none.
const GAIN: f64 = 0.05;

/// Sentences, the most important first.
pub fn suite_words(report: &SuiteReport) -> Vec<String> {
    let mut words = Vec::new();
    if report.state == State::Unfinished {
        words.push("This suite is not finished.".to_owned());
    }
    for model in report.models() {
        for class in report.classes() {
            let [(direct, of), (cot, of_cot)] = ["direct", "cot"].map(|mode| report.reached(model, mode, class));
            if of.max(of_cot) > 0 {
                words.push(format!(
                    "{model} reaches {direct} of {of} {class} problems directly, {cot} of {of_cot} with a chain of thought."
                ));
            }
        }
    }
    words.extend(report.lines().iter().filter_map(gain));
    let failures = report.failures();
    words.extend(
        failures.map(|(label, model, failure)| format!("{label}: {model} {failure}, and has no figure there.")),
    );
    words
}

/// What a chain of thought gives or takes, where that is more than little.
fn gain(line: &Line<'_>) -> Option<String> {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let changes =
        [("within training", line.direct.within, line.cot.within), ("beyond", line.direct.beyond, line.cot.beyond)];
    let told = changes.into_iter().filter_map(|(where_, direct, cot)| {
        let (direct, cot) = (direct?.mean, cot?.mean);
        ((cot - direct).abs() > GAIN).then(|| format!("from {} to {} {where_}", percent(direct), percent(cot)))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("On {} a chain of thought takes {} {}.", line.task, line.model, told.join(", ")))
}
