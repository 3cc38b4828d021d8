//! What the page says, whatever the data are like.

use std::collections::BTreeSet;

use percept_compare::report::{Report, html, plain_words, terminal};
use percept_compare::{Comparison, State};
use percept_score::suites::Findings;

use crate::fixture::{comparison, full};

const SECTIONS: [&str; 13] = [
    "words", "summary", "curves", "equal", "cost", "position", "context", "recall", "copy", "needle", "samples",
    "runs", "fairness",
];

fn has_section(page: &str, id: &str) -> bool {
    page.contains(&format!("<section id=\"{id}\""))
}

/// Every element that is opened is closed, in order.
pub(crate) fn assert_well_formed(page: &str) {
    const VOID: [&str; 4] = ["meta", "link", "!doctype", "br"];
    let (before, script) = page.split_once("<script>").unwrap();
    let (head, body) = before.split_once("<style>").unwrap();
    let body = body.split_once("</style>").unwrap().1;
    let mut open: Vec<&str> = Vec::new();
    for part in [head, body, script.split_once("</script>").unwrap().1].iter().flat_map(|text| text.split('<').skip(1))
    {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("an open tag in {part}"));
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default();
        if VOID.contains(&name) || tag.ends_with('/') {
            continue;
        }
        match tag.starts_with('/') {
            true => assert_eq!(open.pop(), Some(name), "before {part}"),
            false => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn every_section_has_its_place_and_nothing_comes_from_elsewhere() {
    let page = html(&full());
    assert_well_formed(&page);
    let places: Vec<usize> = SECTIONS
        .iter()
        .map(|id| page.find(&format!("<section id=\"{id}\"")).unwrap_or_else(|| panic!("no {id}")))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    for outside in ["http:", "https:", "//cdn", "src=", "url(", "@import", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_summary_shows_figures_marks_and_the_baseline() {
    let page = html(&full());
    let table = page.split("<section id=\"summary\"").nth(1).unwrap().split("</section>").next().unwrap();
    for part in [
        "<caption>Quality, cost, memory, state and speed</caption>",
        "data-sort=\"2.188\">2.188<small>2.176 to 2.200</small>",
        ">1=</td>",
        "under-trained</span>",
        "differs by less than the spread from hybrid 5:1\">tie</span>",
        "<i>order-2 bytes</i>",
        ">~377 MiB</td>",
        ">331 MiB</td>",
        ">5.21k<small>5.01k to 5.43k</small></td>",
        "+0.7 %",
        "−9.0 %",
        "<small>llp*5, transformer</small>",
    ] {
        assert!(table.contains(part), "{part} is missing in {table}");
    }
    assert_eq!(table.matches("<th scope=\"row\"").count(), 10);
    assert!(!table.contains("<small>llp</small>"), "a schedule that is the name stands there once");
    assert_eq!(table.matches("under-trained</span>").count(), 1);
}

#[test]
fn what_makes_it_fair_is_stated() {
    let page = html(&full());
    for part in [
        "windows of 1024 tokens, of which each scores its last 512",
        "(sliding window w = 1024, t = 512)",
        "6.3M tokens for each run",
        "1, 2, 3",
        "commit 017ea8b",
        "AMD EPYC 9R14",
        "3.3M ± 2 %",
        "seed 2: equal for all models",
        "the best of 0.5, 1, 2 times",
        "2 threads",
        "diverged",
        "warm-up 50 steps",
        "timed side by side after training: median of 15 steps of each model in 3 rounds",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    let mut unequal = comparison();
    unequal.fairness.data_order[1].equal = false;
    assert!(html(&unequal.into()).contains("seed 2: NOT equal"));
    let mut untimed = comparison();
    untimed.timing = None;
    let page = html(&untimed.into());
    assert!(page.contains("wall time of the runs") && !page.contains("timed side by side"));
}

#[test]
fn words_follow_from_the_data() {
    let words = plain_words(&full());
    let expected = [
        "On the test text, hybrid 5:1 is best with 2.188 bits per byte; llp ties with it: they differ by less than the seeds do.",
        "v3 (compressed history) is last, 35.0 % above hybrid 5:1.",
        "Seeds of one model differ by up to 0.024 bits per byte: smaller differences between models say little.",
        "v3 (compressed history) does not beat counting bytes (order-2 bytes, 2.905): it is under-trained, and the place says little.",
        "Beaten by nothing that costs as few operations per token, from cheap to good: perceiver-ar, llp and hybrid 5:1.",
        "In training, llp is fastest with 6.12k targets per second, 2.7 times as fast as v2.",
        "To go on writing after a million tokens, llp must keep a state of 1.41 MiB, transformer one of 570 MiB.",
        "Under this protocol, targets can use up to 1024 tokens of context; in llp only 383.",
    ];
    for sentence in expected {
        assert!(words.iter().any(|word| word == sentence), "{sentence} is missing in {words:#?}");
    }
    assert!(words.iter().any(|word| {
        word.starts_with("After 10.5 min of training, llp leads the validation curves, by 0.055. In order: llp 2.231")
    }));
}

#[test]
fn words_change_with_the_data() {
    let mut one_seed = comparison();
    one_seed.state = State::Unfinished;
    for model in &mut one_seed.models {
        model.runs.truncate(1);
        model.ties.clear();
        model.under_trained = Some(false);
        for spread in [&mut model.test, &mut model.validation].into_iter().flatten() {
            spread.seeds = 1;
        }
    }
    one_seed.models[3].test = None;
    (one_seed.models[6].test, one_seed.models[6].usage) = (None, None);
    let words = plain_words(&one_seed.into());
    assert!(words[0].contains("not finished: 7 of 8 models are trained, 6 scored on the test text"), "{words:#?}");
    assert!(words[1].ends_with("2.188 bits per byte."), "{words:#?}");
    assert!(
        words.iter().any(|word| word.contains("one seed"))
            && words.iter().any(|word| word.starts_with("Every model that was judged beats"))
    );
    let mut weak = comparison();
    weak.models.iter_mut().for_each(|model| model.under_trained = Some(true));
    let words = plain_words(&weak.into());
    assert!(words.iter().any(|word| word.starts_with("No model beats counting bytes")), "{words:#?}");
    let mut close = comparison();
    for reading in &mut close.readings {
        reading.values[1].value = reading.values[0].value + 0.001;
    }
    assert!(plain_words(&close.into()).iter().any(|word| word.contains("by less than the seeds differ")));
}

#[test]
fn a_rate_at_the_end_of_its_sweep_is_told() {
    assert!(!plain_words(&full()).iter().any(|word| word.contains("learning rates")), "the middle one was best");
    let mut edges = comparison();
    let name = |index: usize| edges.models[index].name.clone();
    let (first, second, third) = (name(0), name(1), name(2));
    for (model, rate) in edges.models.iter_mut().zip([1e-3, 1e-3, 4e-3]) {
        model.runs[0].learning_rate = rate;
    }
    let words = plain_words(&edges.into());
    let tried = "Of the learning rates that were tried, the";
    for sentence in [
        format!("{tried} lowest was best for {first} and {second}: a lower one may suit them better."),
        format!("{tried} highest was best for {third}: a higher one may suit it better."),
    ] {
        assert!(words.contains(&sentence), "{sentence} is missing in {words:#?}");
    }
}

#[test]
fn names_and_samples_are_text() {
    let evil = "</script><script>alert(1)</script>\"'\u{1b}[2J";
    let mut report = full();
    let old = std::mem::replace(&mut report.comparison.models[0].name, evil.into());
    report.suites.iter_mut().filter(|result| result.model == old).for_each(|result| result.model = evil.into());
    let comparison = &mut report.comparison;
    for text in
        [&mut comparison.name, &mut comparison.prompt, &mut comparison.corpus.name, &mut comparison.protocol.text]
    {
        *text = evil.into();
    }
    comparison.models[0].sample = Some(evil.into());
    comparison.models[0].layers = evil.into();
    comparison.models[0].config = evil.into();
    comparison.models[1].ties = vec![evil.into()];
    comparison.baselines[0].name = evil.into();
    comparison.environment.cpu = Some(evil.into());
    comparison.fairness.data_order[0].hash = evil.into();
    comparison.models[0].runs[0].fingerprint = evil.into();
    comparison.readings[0].values[0].model = evil.into();
    report.suites[0].protocol = evil.into();
    let page = html(&report);
    assert_well_formed(&page);
    assert_eq!(
        (page.matches("<script").count(), page.matches("</script").count(), page.contains('\u{1b}')),
        (1, 1, false)
    );
    assert!(!terminal(&report).contains('\u{1b}'));
}

#[test]
fn an_empty_comparison_is_a_page() {
    let mut empty = comparison();
    empty.models.clear();
    empty.readings.clear();
    empty.baselines.clear();
    let report = Report::from(empty);
    let page = html(&report);
    assert_well_formed(&page);
    assert!(has_section(&page, "summary") && has_section(&page, "fairness"));
    for id in ["curves", "cost", "position", "samples", "runs", "equal", "words"] {
        assert!(!has_section(&page, id), "{id}");
    }
    assert!(terminal(&report).contains("model"));
}

/// Only what is known before the first run is finished.
fn before_the_first_run() -> Comparison {
    let mut comparison = comparison();
    comparison.state = State::Unfinished;
    comparison.readings.clear();
    for model in &mut comparison.models {
        (model.rank, model.usage, model.test, model.validation, model.sample, model.under_trained) =
            (None, None, None, None, None, None);
        model.ties.clear();
        model.runs.clear();
    }
    comparison
}

#[test]
fn missing_values_are_dashes_and_sections_without_data_are_left_out() {
    let report = Report::from(before_the_first_run());
    let page = html(&report);
    assert_well_formed(&page);
    for id in ["curves", "cost", "position", "samples", "runs", "equal"] {
        assert!(!has_section(&page, id), "{id}");
    }
    assert!(page.contains("data-sort=\"\">–</td>") && page.contains("unfinished</span>"));
    assert!(terminal(&report).contains("–"));
}

#[test]
fn values_that_are_not_finite_are_missing() {
    let mut report = full();
    for model in &mut report.comparison.models {
        for spread in [&mut model.test, &mut model.validation].into_iter().flatten() {
            (spread.mean, spread.max) = (f64::NAN, f64::INFINITY);
        }
        if let Some(usage) = &mut model.usage {
            (usage.seconds, usage.tokens_per_second, usage.targets_per_second) = (f64::NAN, f64::INFINITY, f64::NAN);
        }
        for point in model.runs.iter_mut().flat_map(|run| &mut run.curve) {
            (point.bits_per_byte, point.seconds) = (Some(f64::NAN), f64::INFINITY);
        }
    }
    for value in report.comparison.readings.iter_mut().flat_map(|reading| &mut reading.values) {
        value.value = f64::NAN;
    }
    for result in &mut report.suites {
        if let Findings::Context(context) = &mut result.findings {
            context.points.iter_mut().for_each(|point| point.loss.bits_per_byte = Some(f64::NAN));
        }
    }
    let (page, table) = (html(&report), terminal(&report));
    assert_well_formed(&page);
    for text in [&page, &table] {
        assert!(!text.contains("NaN") && !text.contains(">inf") && !text.contains("\"inf"), "{table}");
    }
}

#[test]
fn gains_are_over_the_least_context_above_none() {
    let sentence =
        |report: &Report| plain_words(report).into_iter().find(|word| word.contains("tokens of context, the loss of"));
    let mut report = full();
    let told = sentence(&report).unwrap();
    assert!(
        told.starts_with("From 64 to 1024 tokens of context, the loss of ") && told.contains(" falls by "),
        "{told}"
    );
    let mut change = |at: usize, bits: f64| {
        for result in &mut report.suites {
            if let Findings::Context(context) = &mut result.findings {
                context.points[at].loss.bits_per_byte = Some(bits);
            }
        }
        sentence(&report).unwrap()
    };
    assert_eq!(change(0, 50.0), told, "how bad a model is without any context is no merit");
    let rising = change(5, 9.0);
    assert!(rising.contains(" rises by ") && !rising.contains('-') && !rising.contains(" falls by "), "{rising}");
}

/// The swatch and name of every model in the page's legends.
fn legends(page: &str) -> BTreeSet<&str> {
    page.split("<li>")
        .skip(1)
        .filter_map(|item| item.split("</li>").next())
        .filter(|item| item.starts_with("<svg"))
        .collect()
}

#[test]
fn a_model_keeps_its_colour_when_places_change() {
    let report = full();
    let before = html(&report);
    assert_eq!(legends(&before).len(), report.comparison.models.len(), "one style per model");
    let mut reversed = report.clone();
    reversed.comparison.models.reverse();
    assert_eq!(legends(&html(&reversed)), legends(&before));
}

#[test]
fn one_model_is_enough() {
    let mut report = full();
    report.comparison.models.truncate(1);
    report.comparison.models[0].ties.clear();
    let page = html(&report);
    assert_well_formed(&page);
    assert!(has_section(&page, "curves") && has_section(&page, "recall") && !has_section(&page, "cost"));
    assert!(page.contains("1 model on books"));
    assert!(!plain_words(&report).iter().any(|word| word.contains("is last") || word.contains("fastest")));
}

#[test]
fn a_lossy_tokenizer_has_no_bits_per_byte() {
    let mut lossy = comparison();
    for run in lossy.models.iter_mut().flat_map(|model| &mut model.runs) {
        run.curve.iter_mut().for_each(|point| point.bits_per_byte = None);
        run.test.iter_mut().for_each(|test| test.bits_per_byte = None);
    }
    let page = html(&lossy.into());
    assert!(page.contains("Test, nats per target") && !page.contains("Test, bits per byte"));
}

#[test]
fn a_name_that_the_suites_do_not_know_has_no_line() {
    let mut report = full();
    report.suites.retain(|result| result.model == "llp" && matches!(result.findings, Findings::Recall(_)));
    report.suites[0].model = "someone else".into();
    assert!(!has_section(&html(&report), "recall"));
}
