//! What a comparison says in plain words, by rules: the same data always give the same sentences.

use super::Report;
use super::figures::{Quality, amount, best, bytes, count, judged, loss, used, widest_spread};
use crate::{Axis, Comparison, ModelResult, Reading, RunResult, State};
use percept_chart::pareto_front;
use percept_score::suites::Findings;

/// Sentences, the most important first. Names of models stand in them as they are: escape them for HTML.
pub fn plain_words(report: &Report) -> Vec<String> {
    let comparison = &report.comparison;
    let mut words = Vec::new();
    words.extend(progress(comparison));
    words.extend(failures(comparison));
    words.extend(winner(comparison));
    words.extend(last(comparison));
    words.extend(certainty(comparison));
    words.extend([Axis::Tokens, Axis::Seconds].into_iter().filter_map(|axis| at_equal(comparison, axis)));
    words.extend(under_trained(comparison));
    words.extend([End::Lowest, End::Highest].into_iter().filter_map(|end| rate_at(comparison, end)));
    words.extend(efficient(comparison));
    words.extend(fastest(comparison));
    words.extend(state(comparison));
    words.extend(usable_context(comparison));
    words.extend(context_gain(report));
    words
}

fn progress(comparison: &Comparison) -> Option<String> {
    let count = |is: fn(&ModelResult) -> bool| comparison.models.iter().filter(|model| is(model)).count();
    let (trained, scored) = (count(|model| model.usage.is_some()), count(|model| model.test.is_some()));
    (comparison.state == State::Unfinished).then(|| {
        let all = comparison.models.len();
        format!(
            "This comparison is not finished: {trained} of {all} models are trained, {scored} scored on the test text. \
             Places may still change."
        )
    })
}

/// Who has no result, and why.
fn failures(comparison: &Comparison) -> Vec<String> {
    let failed = comparison.failed().map(|(model, failure)| {
        let left = match model.runs.iter().filter(|run| run.test.is_some()).count() {
            0 => "",
            _ => " Its other seeds are among the runs; their mean would flatter it.",
        };
        format!("{} {} and has no place: {}.{left}", model.name, failure.in_words(), failure.message)
    });
    failed.collect()
}

/// Who is best, and who ties with it.
fn winner(comparison: &Comparison) -> Option<String> {
    let (model, value) = best(comparison)?;
    let text = if model.test.is_some() { "test text" } else { "validation text" };
    let quality = Quality::of(comparison).name();
    let mut sentence = format!("On the {text}, {} is best with {} {quality}", model.name, loss(value.mean));
    if !model.ties.is_empty() {
        let verb = if model.ties.len() == 1 { "ties" } else { "tie" };
        let others = list(model.ties.iter().map(String::as_str));
        sentence.push_str(&format!("; {others} {verb} with it: they differ by less than the seeds do"));
    }
    Some(sentence + ".")
}

/// How far the last one is behind.
fn last(comparison: &Comparison) -> Option<String> {
    let (best, value) = best(comparison)?;
    let last = comparison.models.iter().filter_map(|model| Some((model, judged(model)?.mean)));
    let last = last.max_by(|a, b| a.1.total_cmp(&b.1));
    let (last, mean) = last.filter(|last| last.1 > value.mean)?;
    Some(format!("{} is last, {:.1} % above {}.", last.name, (mean / value.mean - 1.0) * 100.0, best.name))
}

/// Without several seeds nobody knows how much a difference means.
fn certainty(comparison: &Comparison) -> Option<String> {
    best(comparison)?;
    match widest_spread(comparison) {
        None => Some(
            "Every model was trained with one seed, so small differences may be chance: no spread is known.".into(),
        ),
        Some(spread) => Some(format!(
            "Seeds of one model differ by up to {} {}: smaller differences between models say little.",
            loss(spread),
            Quality::of(comparison).name()
        )),
    }
}

/// Who leads the validation curves at equal tokens or seconds.
fn at_equal(comparison: &Comparison, axis: Axis) -> Option<String> {
    let reading = comparison.readings.iter().find(|reading| reading.axis == axis)?;
    let mut values = reading.values.iter().filter(|value| value.value.is_finite());
    let (first, second) = (values.next()?, values.next()?);
    let what = match axis {
        Axis::Seconds => format!("After {} of training", amount(axis, reading.at)),
        _ => format!("At {}", amount(axis, reading.at)),
    };
    let gap = second.value - first.value;
    let close = widest_spread(comparison).is_some_and(|spread| gap < spread);
    let lead = if close { "by less than the seeds differ" } else { &format!("by {}", loss(gap)) };
    let order = order_of(reading);
    Some(format!("{what}, {} leads the validation curves, {lead}. In order: {order}.", first.model))
}

fn order_of(reading: &Reading) -> String {
    let values = reading.values.iter().filter(|value| value.value.is_finite());
    values.map(|value| format!("{} {}", value.model, loss(value.value))).collect::<Vec<_>>().join(", ")
}

/// Who does not beat counting bytes.
fn under_trained(comparison: &Comparison) -> Option<String> {
    let order2 = comparison.baselines.iter().find(|baseline| baseline.order == 2)?;
    let value = order2.test_bits_per_byte.or(order2.validation_bits_per_byte).filter(|value| value.is_finite())?;
    let judgement = |model: &&ModelResult| model.under_trained == Some(true);
    let weak: Vec<&str> = comparison.models.iter().filter(judgement).map(|model| model.name.as_str()).collect();
    let counting = format!("counting bytes ({}, {})", order2.name, loss(value));
    if weak.len() > 1 && weak.len() == comparison.models.len() - comparison.failed().count() {
        return Some(format!("No model beats {counting}: all are under-trained, and places say little."));
    }
    if !weak.is_empty() {
        let (verb, they) = if weak.len() == 1 { ("does", "it is") } else { ("do", "they are") };
        let names = list(weak.into_iter());
        return Some(format!("{names} {verb} not beat {counting}: {they} under-trained, and the place says little."));
    }
    let known = comparison.models.iter().any(|model| model.under_trained == Some(false));
    known.then(|| format!("Every model that was judged beats {counting}."))
}

/// An end of the learning rates that a sweep tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Lowest,
    Highest,
}

/// Whose sweep chose the rate at an end: the best one may lie beyond it.
fn rate_at(comparison: &Comparison, end: End) -> Option<String> {
    let chose = |run: &RunResult| {
        let mut others = run.sweep.iter().map(|point| point.learning_rate).filter(|rate| *rate != run.learning_rate);
        run.sweep.len() > 1
            && match end {
                End::Lowest => others.all(|rate| rate > run.learning_rate),
                End::Highest => others.all(|rate| rate < run.learning_rate),
            }
    };
    let at_end = comparison.models.iter().filter(|model| model.runs.iter().any(chose));
    let names: Vec<&str> = at_end.map(|model| model.name.as_str()).collect();
    let (which, other) = match end {
        End::Lowest => ("lowest", "lower"),
        End::Highest => ("highest", "higher"),
    };
    let whom = if names.len() == 1 { "it" } else { "them" };
    (!names.is_empty()).then(|| {
        let names = list(names.into_iter());
        format!("Of the learning rates that were tried, the {which} was best for {names}: a {other} one may suit {whom} better.")
    })
}

/// Whom nobody beats in quality without costing more.
fn efficient(comparison: &Comparison) -> Option<String> {
    let judged: Vec<(&ModelResult, f64)> =
        comparison.models.iter().filter_map(|model| Some((model, judged(model)?.mean))).collect();
    if judged.len() < 2 {
        return None;
    }
    let points: Vec<(f64, f64)> = judged.iter().map(|(model, mean)| (model.cost.flops_per_token, *mean)).collect();
    let front = pareto_front(&points);
    let names = list(front.iter().map(|index| judged[*index].0.name.as_str()));
    Some(match front.len() {
        1 => format!("{names} is both the best and the cheapest in operations per token."),
        _ => format!("Beaten by nothing that costs as few operations per token, from cheap to good: {names}."),
    })
}

fn fastest(comparison: &Comparison) -> Option<String> {
    let mut speeds: Vec<(&str, f64)> = comparison
        .models
        .iter()
        .filter_map(|model| Some((model.name.as_str(), used(model, |usage| usage.targets_per_second)?)))
        .filter(|(_, speed)| *speed > 0.0)
        .collect();
    speeds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let ((first, most), (last, least)) = (*speeds.first()?, *speeds.last()?);
    (speeds.len() > 1).then(|| {
        let times = most / least;
        format!(
            "In training, {first} is fastest with {} targets per second, {times:.1} times as fast as {last}.",
            count(most)
        )
    })
}

fn state(comparison: &Comparison) -> Option<String> {
    let models = || comparison.models.iter();
    let least = models().min_by_key(|model| model.cost.state_bytes_1m)?;
    let most = models().rev().max_by_key(|model| model.cost.state_bytes_1m)?;
    (most.cost.state_bytes_1m > least.cost.state_bytes_1m).then(|| {
        let (small, large) = (bytes(least.cost.state_bytes_1m), bytes(most.cost.state_bytes_1m));
        format!(
            "To go on writing after a million tokens, {} must keep a state of {small}, {} one of {large}.",
            least.name, most.name
        )
    })
}

/// Models that see less are judged on what they see: that should be known.
fn usable_context(comparison: &Comparison) -> Option<String> {
    let contexts = || comparison.models.iter().map(|model| model.cost.usable_context);
    let (least, most) = (contexts().min()?, contexts().max()?);
    (least < most).then(|| {
        let short = comparison.models.iter().filter(|model| model.cost.usable_context == least);
        let names = list(short.map(|model| model.name.as_str()));
        format!("Under this protocol, targets can use up to {most} tokens of context; in {names} only {least}.")
    })
}

/// Who gains most from more context. Without any a model is asked what it never saw in training: a high loss there is no merit,
/// so the least context above none is what gains are over.
fn context_gain(report: &Report) -> Option<String> {
    let quality = Quality::of(&report.comparison);
    let mut gains: Vec<(&str, (u64, u64), f64)> = Vec::new();
    for result in &report.suites {
        if let Findings::Context(context) = &result.findings
            && let [first, .., last] = context.given()
        {
            let gain = quality.of_loss(&first.loss) - quality.of_loss(&last.loss);
            gains.push((&result.model, (first.context, last.context), gain));
        }
    }
    gains.retain(|gain| gain.2.is_finite());
    gains.sort_by(|a, b| b.2.total_cmp(&a.2));
    let (name, (from, to), gain) = *gains.first()?;
    let change = |gain: f64| format!("{} by {}", if gain < 0.0 { "rises" } else { "falls" }, loss(gain.abs()));
    let (own, unit) = (change(gain), quality.name());
    let mut sentence =
        format!("From {from} to {to} tokens of context, the loss of {name} {own} {unit}: nobody gains more");
    if let [.., (last, _, least)] = gains[1..] {
        sentence.push_str(&format!("; that of {last} {}", change(least)));
    }
    Some(sentence + ".")
}

/// `a`, `a and b`, `a, b and c`.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.to_string(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
