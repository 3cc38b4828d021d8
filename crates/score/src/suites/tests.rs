//! The suites, with models whose answers are known.

use percept_data::Task;
use proptest::prelude::*;

use super::fixtures::{Known, Rule, SURE, VOCAB, findings, options, result, texts};
use super::*;
use crate::{Scored, score_each};

fn copying(model: &Known, options: &Options) -> Copying {
    match findings(Suite::Copy, model, options) {
        Findings::Copy(copying) => copying,
        other => panic!("{other:?}"),
    }
}

fn recall(model: &Known, options: &Options) -> Recall {
    match findings(Suite::Recall, model, options) {
        Findings::Recall(recall) => recall,
        other => panic!("{other:?}"),
    }
}

fn needle(model: &Known, texts: Option<&dyn Texts>, options: &Options) -> Needle {
    match result(Suite::Needle, model, texts, options).unwrap().findings {
        Findings::Needle(needle) => needle,
        other => panic!("{other:?}"),
    }
}

fn context(model: &Known, texts: &dyn Texts, options: &Options) -> Vec<ContextPoint> {
    match result(Suite::Context, model, Some(texts), options).unwrap().findings {
        Findings::Context(context) => context.points,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_copies_perfectly_gets_all() {
    let sure = -SURE.ln();
    for (rows, longest) in [(usize::MAX, usize::MAX), (5, 200)] {
        let model = |rule| Known { rows, longest, ..Known::new(rule) };
        let straight = copying(&model(Rule::Copy), &options(100, 3));
        let backwards = copying(&model(Rule::Reverse), &options(100, 3));
        assert_eq!(straight.chance, 1.0 / 16.0);
        for (table, other) in [(straight.copy, backwards.copy), (backwards.reverse, straight.reverse)] {
            let sizes: Vec<u64> = table.by_size.iter().map(|cell| cell.size).collect();
            assert_eq!(sizes, [8, 16, 32]);
            for (cell, other) in table.cells.iter().zip(&other.cells) {
                assert_eq!((cell.accuracy.accuracy, cell.accuracy.high), (1.0, 1.0));
                assert!((cell.nll - sure).abs() < 1e-6 && cell.accuracy.low < 1.0);
                assert!(other.accuracy.accuracy < 0.7, "the other task is another one: {other:?}");
            }
            assert_eq!(table.by_size[1].accuracy.trials, 48);
        }
    }
}

#[test]
fn who_knows_nothing_is_at_chance() {
    let within = |accuracy: Accuracy, chance: f64| {
        assert!(accuracy.low <= chance && chance <= accuracy.high, "{accuracy:?}, chance {chance}");
    };
    for rule in [Rule::Uniform, Rule::Noise] {
        let model = Known::new(rule);
        let copying = copying(&model, &options(40, 8));
        let recall = recall(&model, &options(40, 8));
        let needle = needle(&model, None, &options(200, 8));
        let cells = |chance: f64, cells: &[TaskCell]| cells.iter().for_each(|cell| within(cell.accuracy, chance));
        cells(1.0 / 16.0, &copying.copy.by_size);
        cells(1.0 / 16.0, &copying.reverse.by_size);
        cells(0.1, &recall.table.by_size);
        within(needle.total, 0.1);
        assert_eq!((copying.chance, recall.chance, needle.chance), (1.0 / 16.0, 0.1, 0.1));
        if let Rule::Uniform = rule {
            assert!((recall.table.cells[0].accuracy.accuracy - 0.1).abs() < 1e-12);
            assert!((recall.table.cells[0].nll - (VOCAB as f64).ln()).abs() < 1e-6);
        }
    }
}

#[test]
fn recall_ends_where_sight_ends() {
    let model = Known { sees: 18, ..Known::new(Rule::Induction) };
    let table = recall(&model, &options(150, 6)).table;
    let (mut near, mut far) = (0, 0);
    for cell in &table.cells {
        // The key stands one token before its value.
        if cell.distance_to <= 16 {
            assert_eq!(cell.accuracy.accuracy, 1.0, "{cell:?}");
            near += 1;
        } else if cell.distance_from > 16 {
            assert!((cell.accuracy.accuracy - 0.1).abs() < 1e-9, "{cell:?}");
            far += 1;
        }
    }
    assert!(near > 3 && far > 3);
    let all = recall(&Known::new(Rule::Induction), &options(150, 6)).table;
    assert!(all.cells.iter().all(|cell| cell.accuracy.accuracy == 1.0));
    let trials: u64 = all.cells.iter().map(|cell| cell.accuracy.trials).sum();
    // Three gaps each of 4, 8, 16 and 32 pairs, but not the widest with the most.
    assert_eq!(trials, 6 * (3 * (4 + 8 + 16) + 32));
    assert_eq!(all.by_size.iter().map(|cell| cell.accuracy.trials).sum::<u64>(), trials);
    assert_eq!(all.by_distance.iter().map(|cell| cell.accuracy.trials).sum::<u64>(), trials);
}

#[test]
fn a_short_window_slides_over_a_long_document() {
    let model = Known { longest: 40, rows: 30, ..Known::new(Rule::Induction) };
    let (mut near, mut far) = (0, 0);
    for cell in recall(&model, &options(150, 6)).table.cells {
        if cell.distance_to <= 16 {
            assert_eq!(cell.accuracy.accuracy, 1.0, "{cell:?}");
            near += 1;
        } else if cell.distance_from >= 64 {
            assert!((cell.accuracy.accuracy - 0.1).abs() < 1e-9, "{cell:?}");
            far += 1;
        }
    }
    assert!(near > 3 && far > 0);
}

#[test]
fn training_sizes_are_asked_for() {
    let trained = Options { trained_on: vec![Task::Copy { length: 5, symbols: 2 }], ..options(40, 2) };
    let copying = copying(&Known::new(Rule::Copy), &trained);
    assert_eq!((copying.chance, copying.copy.by_size[0].size), (0.5, 5));
}

#[test]
fn needles_are_found_as_far_as_one_sees() {
    let text = texts(&["it was a dark night, and so on. ".repeat(40).as_str()]);
    for haystack in [None, Some(&text as &dyn Texts)] {
        let all = needle(&Known::new(Rule::Induction), haystack, &options(800, 3));
        assert_eq!(all.haystack, if haystack.is_some() { "text" } else { "synthetic" });
        assert_eq!(all.cells.len(), 20);
        assert!(all.cells.iter().all(|cell| cell.accuracy.accuracy == 1.0), "{:?}", all.cells);
        assert_eq!((all.total.trials, all.total.correct), (60, 60.0));
        // Seeing little and having a short window come to the same.
        for model in
            [Known { sees: 350, ..Known::new(Rule::Induction) }, Known { longest: 350, ..Known::new(Rule::Induction) }]
        {
            for cell in needle(&model, haystack, &options(800, 3)).cells {
                let back = (1.0 - cell.depth) * cell.length as f64;
                match back {
                    0.0..250.0 => assert_eq!(cell.accuracy.accuracy, 1.0, "{cell:?}"),
                    400.0.. => assert!(cell.accuracy.accuracy < 0.5, "{cell:?}"),
                    _ => {}
                }
            }
        }
    }
}

/// Words in a random order: what stands far back helps.
fn story() -> String {
    let words = ["river", "stone", "letter", "winter", "garden", "horse", "bread", "voice"];
    (0..600).map(|at| format!("{} ", words[percept_random::below(8, &[at]) as usize])).collect()
}

#[test]
fn context_beyond_sight_gains_exactly_nothing() {
    let text = texts(&[&story(), &story()[..300]]);
    let model = Known { sees: 64, ..Known::new(Rule::Induction) };
    let points = context(&model, &text, &options(512, 40));
    let contexts: Vec<u64> = points.iter().map(|point| point.context).collect();
    assert_eq!(contexts, [0, 64, 128, 256, 512]);
    let figures = |point: &ContextPoint| (point.loss, point.gain, point.gain_standard_error);
    assert!(points[1].gain > 0.5, "{:?}", points[1]);
    for point in &points[2..] {
        assert_eq!(figures(point), figures(&points[1]));
    }
    let bits = points[4].gain_bits_per_byte.unwrap();
    assert!((bits - points[4].gain / std::f64::consts::LN_2).abs() < 1e-12);
    let further = context(&Known::new(Rule::Induction), &text, &options(512, 40));
    assert_eq!(figures(&further[1]), figures(&points[1]));
    assert!(further[4].loss.nll < further[1].loss.nll, "who sees further gains");
}

#[test]
fn every_context_has_the_same_targets() {
    let text = texts(&[&story()]);
    let model = Known { longest: 100, ..Known::new(Rule::Uniform) };
    let points = context(&model, &text, &options(512, 30));
    assert_eq!(points.iter().map(|point| point.context).collect::<Vec<_>>(), [0, 13, 26, 52, 100]);
    let asked = model.asked.borrow();
    let targets = |length| -> Vec<u32> {
        asked.iter().filter(|(_, inputs)| *inputs == length).map(|(target, _)| *target).collect()
    };
    assert_eq!(targets(1).len(), 30);
    for point in &points[1..] {
        assert_eq!(targets(point.context as usize), targets(1));
        assert_eq!((point.gain, point.gain_standard_error), (0.0, Some(0.0)));
        assert!((point.loss.bits_per_byte.unwrap() - (VOCAB as f64).log2()).abs() < 1e-6);
    }
}

#[test]
fn a_suite_that_lacks_something_says_so() {
    let model = Known::new(Rule::Uniform);
    for suite in Suite::ALL {
        let fault = result(suite, &model, None, &options(100, 2)).err();
        assert_eq!(fault.is_some(), suite.needs_text(), "{suite:?}");
        assert!(fault.is_none_or(|fault| fault.is_usage() && fault.hint_text().unwrap().contains("--data")));
        assert!(result(suite, &model, None, &options(100, 0)).unwrap_err().is_usage());
        assert_eq!(suite.name().parse::<Suite>().unwrap(), suite);
    }
    let fault = result(Suite::Context, &model, Some(&texts(&["a", ""])), &options(100, 2)).unwrap_err();
    assert!(fault.to_string().contains("none has context"), "{fault}");
    let fault = "neddle".parse::<Suite>().unwrap_err();
    assert_eq!(fault.hint_text(), Some("did you mean `needle`?"));
}

#[test]
fn another_seed_asks_something_else() {
    let model = |seed| {
        let model = Known::new(Rule::Noise);
        let options = Options { seed, ..options(64, 4) };
        (copying(&model, &options), recall(&model, &options), needle(&model, None, &options))
    };
    let (first, again, other) = (model(1), model(1), model(2));
    assert_eq!(first, again);
    assert!(first.0 != other.0 && first.1 != other.1);
}

proptest! {
    #[test]
    fn position_counts_every_target_once(
        lengths in proptest::collection::vec(0_usize..150, 1..4), limit in 1_usize..300, sliding: bool,
    ) {
        prop_assume!(lengths.iter().sum::<usize>() > 0);
        let documents: Vec<String> =
            lengths.iter().map(|&length| story().chars().skip(length).take(length).collect()).collect();
        let text = texts(&documents.iter().map(String::as_str).collect::<Vec<_>>());
        let model = Known { sees: 3, ..Known::new(Rule::Noise) };
        let protocol = if sliding { Protocol::SlidingWindow { window: 9, stride: 4 } } else { Protocol::Stream };
        let limits = Limits { tokens: Some(limit), ..Limits::default() };
        let (mut tally, mut all) = (PositionTally::default(), Vec::new());
        let mut visit = |scored: Scored<'_>| {
            tally.add(&scored);
            all.extend(scored.targets.zip(scored.nll).map(|(index, nll)| (index as u64, *nll)));
        };
        let score = score_each(&model, &text, protocol, &limits, &mut |_| (), &mut visit).unwrap();
        let position = tally.position(&score);
        for buckets in [&position.logarithmic, &position.linear] {
            for bucket in buckets {
                let own: Vec<f64> =
                    all.iter().filter(|(index, _)| (bucket.from..bucket.to).contains(index)).map(|(_, nll)| *nll).collect();
                prop_assert_eq!(bucket.loss.targets as usize, own.len());
                prop_assert!((bucket.loss.nll - own.iter().sum::<f64>() / own.len() as f64).abs() < 1e-9);
            }
            let targets: u64 = buckets.iter().map(|bucket| bucket.loss.targets).sum();
            prop_assert_eq!(targets, score.targets);
            let nll: f64 = buckets.iter().map(|bucket| bucket.loss.nll * bucket.loss.targets as f64).sum();
            prop_assert!((nll / score.nll - 1.0).abs() < 1e-9);
            let bits: f64 =
                buckets.iter().map(|bucket| bucket.loss.bits_per_byte.unwrap() * bucket.loss.targets as f64).sum();
            prop_assert!((bits / score.targets as f64 / score.bits_per_byte.unwrap() - 1.0).abs() < 1e-9);
        }
        let width = position.linear[0].to - position.linear[0].from;
        prop_assert!(position.linear.iter().all(|bucket| bucket.to - bucket.from == width && bucket.from % width == 0));
        prop_assert!(position.linear.len() <= 32);
    }
}
