//! What a suite says of its result: figures, sentences, and the page.

use percept_compare::suite::{
    ExamAt, LengthChance, ModeResult, ModelExams, RunExam, SuiteReport, TaskResult, suite_words,
};
use percept_compare::{Spread, State, suite::suite_html};

use crate::page::assert_well_formed;

/// Parity up to 4 symbols, asked up to 8, of two models with two seeds; a run of `two` diverged.
fn small() -> SuiteReport {
    let right = |length, right, right_when_shown| ExamAt {
        length,
        exercises: 100,
        symbols: 100,
        right,
        whole: right,
        right_when_shown,
    };
    let run = |seed, within, beyond, beyond_when_shown| RunExam {
        seed,
        folder: "runs/a".into(),
        failure: None,
        lengths: vec![right(4, within, within), right(8, beyond, beyond_when_shown)],
    };
    let diverged =
        |seed| RunExam { failure: Some("diverged at step 3".into()), lengths: Vec::new(), ..run(seed, 0, 0, 0) };
    let model = |name: &str, runs: Vec<RunExam>| ModelExams {
        name: name.into(),
        failure: runs.iter().find_map(|run| run.failure.clone()),
        runs,
    };
    let mode = |mode: &str, one, two| ModeResult {
        mode: mode.into(),
        folder: format!("parity-{mode}").into(),
        models: vec![model("one", one), model("two", two)],
    };
    SuiteReport {
        format: 1,
        name: "small & true".into(),
        state: State::Finished,
        length: 4,
        beyond: 8,
        exercises: 100,
        budget: "1k tokens".parse().unwrap(),
        tasks: vec![TaskResult {
            name: "parity".into(),
            class: "regular".into(),
            chance: [4, 8].map(|length| LengthChance { length, chance: 0.5 }).to_vec(),
            modes: vec![
                mode(
                    "direct",
                    [1, 2].map(|seed| run(seed, 50, 49, 49)).into(),
                    [1, 2].map(|seed| run(seed, 100, 95, 95)).into(),
                ),
                mode("cot", vec![run(1, 100, 97, 100), run(2, 100, 91, 99)], vec![run(1, 100, 99, 100), diverged(2)]),
            ],
        }],
    }
}

#[test]
fn a_line_tells_what_is_right_within_and_beyond_training() {
    let report = small();
    let lines = report.lines();
    assert_eq!(
        lines.iter().map(|line| (line.task, line.model)).collect::<Vec<_>>(),
        [("parity", "one"), ("parity", "two")]
    );
    let one = lines[0];
    let mean = |spread: Option<Spread>| spread.unwrap().mean;
    assert_eq!((mean(one.direct.within), mean(one.direct.beyond)), (0.5, 0.49));
    assert_eq!((mean(one.cot.within), mean(one.cot.beyond), mean(one.cot_shown.beyond)), (1.0, 0.94, 0.995));
    assert_eq!((one.gain.within, one.chance.within, one.chance.beyond), (Some(0.5), Some(0.5), Some(0.5)));
    assert!((one.gain.beyond.unwrap() - 0.45).abs() < 1e-9);
    assert_eq!((one.cot.beyond.unwrap().min, one.cot.beyond.unwrap().max), (0.91, 0.97));
    // The seed that is left would flatter a model whose other run diverged.
    assert_eq!((lines[1].cot.within, lines[1].gain.beyond), (None, None));
    assert_eq!((report.reached("one", "direct", "regular"), report.reached("one", "cot", "regular")), ((0, 1), (1, 1)));
    assert_eq!(report.reached("two", "cot", "regular"), (0, 0));
}

#[test]
fn words_say_what_is_reached_what_is_gained_and_what_failed() {
    let mut report = small();
    let words = [
        "one reaches 0 of 1 regular problems directly, 1 of 1 with a chain of thought.",
        "two reaches 1 of 1 regular problems directly, 0 of 0 with a chain of thought.",
        "On parity a chain of thought takes one from 50 % to 100 % within training, from 49 % to 94 % beyond.",
        "parity cot: two diverged at step 3, and has no figure there.",
    ];
    assert_eq!(suite_words(&report), words);
    report.state = State::Unfinished;
    assert_eq!(suite_words(&report)[0], "This suite is not finished.");
}

#[test]
fn the_page_shows_classes_accuracies_and_every_length() {
    let page = suite_html(&small());
    assert_well_formed(&page);
    let section = |id: &str| {
        page.split_once(&format!("<section id=\"{id}\""))
            .unwrap_or_else(|| panic!("no {id}"))
            .1
            .split("</section>")
            .next()
            .unwrap()
    };
    assert!(page.contains("<h1>small &amp; true</h1>") && !page.contains("unfinished"));
    assert!(section("words").contains("On parity a chain of thought takes one from 50 %"));
    assert!(section("classes").contains("0 of 1") && section("classes").contains("1 of 1"), "{}", section("classes"));
    let accuracy = section("accuracy");
    for figure in ["94.0 %", "91.0 % to 97.0 %", "+45.0", "99.5 %", "Teacher forcing", "50.0 %"] {
        assert!(accuracy.contains(figure), "{figure}: {accuracy}");
    }
    // Models in the order in which they were named, a row for each way to answer, a column for each length.
    let map = section("lengths");
    let rows = ["one, direct", "one, cot", "one, cot, shown", "two, direct", "two, cot", "two, cot, shown", "chance"];
    let places: Vec<usize> =
        rows.iter().map(|row| map.find(&format!(">{row}<")).unwrap_or_else(|| panic!("{row}"))).collect();
    assert!(places.is_sorted() && map.contains(">4<") && map.contains(">+8<"), "{places:?}");
    assert!(section("comparisons").contains("<a href=\"parity-cot/report.html\">parity cot</a>"));
    for outside in ["http:", "https:", "src=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let unfinished = SuiteReport { state: State::Unfinished, tasks: Vec::new(), ..small() };
    let page = suite_html(&unfinished);
    assert_well_formed(&page);
    assert!(page.contains("unfinished"));
}
