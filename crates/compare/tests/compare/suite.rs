//! Whole suites of very small models: what they can do is found, and an interruption changes nothing.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use percept_compare::suite::{ExamAt, Questions, SUITE, Suite, SuiteEnded, SuiteEvent, SuiteReport};
use percept_compare::{Event, ModelSpec, PartState, Spec, Stage, State};
use percept_train::Override;

/// A folder for suites.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn suite(&self, models: &[ModelSpec], budget: &str, questions: Questions) -> Suite {
        let small = [
            "model.dim=32",
            "model.depth=2",
            "model.heads=2",
            "model.segment=8",
            "train.batch=32",
            "train.warmup=10",
            "train.device=cpu",
        ];
        let mut base = vec![Override::flag("--cache", "data.cache", self.path("cache").display().to_string())];
        base.extend(small.iter().map(|set| Override::set(set).unwrap()));
        Suite::new(Spec {
            models: models.to_vec(),
            base,
            budget: Some(budget.parse().unwrap()),
            points: 4,
            suite: Some(questions),
            ..Spec::default()
        })
        .unwrap()
    }

    /// Runs to the end; the report, and the number of runs that were trained and examined.
    fn run(&self, suite: &Suite, name: &str) -> (SuiteReport, usize, usize) {
        let (mut trained, mut asked) = (0, 0);
        let ended = suite.run(&self.path(name), &AtomicBool::new(false), &mut |event| match event {
            SuiteEvent::Comparison(Event::Run { .. }) => trained += 1,
            SuiteEvent::Exam { .. } => asked += 1,
            _ => {}
        });
        match ended.unwrap() {
            SuiteEnded::Finished(report) => (report, trained, asked),
            SuiteEnded::Interrupted(_) => panic!("nobody asked it to stop"),
        }
    }

    /// The examinations in the folder of a comparison.
    fn exams(&self, folder: &std::path::Path) -> Vec<PathBuf> {
        let runs = std::fs::read_dir(folder.join("runs")).unwrap().map(|run| run.unwrap().path().join("exam.json"));
        runs.filter(|exam| exam.exists()).collect()
    }

    fn written(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name).join(SUITE)).unwrap()
    }
}

fn questions(tasks: &[&str], length: u64, exercises: usize) -> Questions {
    Questions { tasks: tasks.iter().map(|&task| task.into()).collect(), length, exercises, ..Questions::default() }
}

fn wild(name: &str) -> ModelSpec {
    let set = vec![Override::set("train.learning_rate=1e35").unwrap()];
    ModelSpec { set, ..ModelSpec::from(name) }
}

#[test]
fn a_model_that_learns_parity_of_two_symbols_answers_all() {
    let place = Place::new();
    let suite = place.suite(&["transformer".into()], "120k tokens", questions(&["parity"], 2, 16));
    let (report, trained, asked) = place.run(&suite, "out");
    assert_eq!((report.state, trained, asked), (State::Finished, 2, 2));
    for mode in ["direct", "cot"] {
        let run = &report.tasks[0].model(mode, "transformer").unwrap().runs[0];
        let all = |length| ExamAt { length, exercises: 16, symbols: 16, right: 16, whole: 16, right_when_shown: 16 };
        assert_eq!(run.lengths[..2], [all(1), all(2)], "{mode}");
        assert_eq!(run.lengths[2..].iter().map(|at| at.length).collect::<Vec<_>>(), [3, 4]);
        assert!(place.path("out").join(&run.folder).join("exam.json").is_file());
    }
    assert!(report.tasks[0].chance.iter().all(|at| (at.chance - 0.5).abs() < 0.05));
    assert_eq!(serde_json::from_str::<SuiteReport>(&place.written("out")).unwrap(), report);
    // Trained and examined once; more questions are asked of the runs that are there.
    let (again, trained, _) = place.run(&suite, "out");
    assert_eq!((again, trained), (report, 0));
    let more = place.suite(&["transformer".into()], "120k tokens", questions(&["parity"], 2, 20));
    let (more, trained, _) = place.run(&more, "out");
    assert_eq!((more.tasks[0].modes[1].models[0].runs[0].lengths[1].right, trained), (20, 0));
}

#[test]
fn an_interrupted_suite_equals_an_uninterrupted_one() {
    let place = Place::new();
    let models = ["llp".into(), "rwkv7".into()];
    let suite = place.suite(&models, "6k tokens", questions(&["parity", "mqar?values=2"], 2, 4));
    let (whole, trained, asked) = place.run(&suite, "whole");
    assert_eq!((trained, asked), (8, 8));
    assert_eq!(whole.models(), ["llp", "rwkv7"], "in the order in which they were named");
    assert_eq!(whole.classes(), ["regular", "recall"]);
    // Every sitting is stopped at its second line of metrics, or where the first run is examined.
    let (mut sittings, mut last) = (0, 0);
    loop {
        sittings += 1;
        assert!(sittings < 100);
        let (stop, lines) = (AtomicBool::new(false), Cell::new(0));
        let ended = suite.run(&place.path("cut"), &stop, &mut |event| match event {
            SuiteEvent::Comparison(Event::Step { .. }) => {
                lines.set(lines.get() + 1);
                stop.store(lines.get() >= 2, Ordering::Relaxed);
            }
            SuiteEvent::Exam { .. } if lines.get() > 0 => stop.store(true, Ordering::Relaxed),
            _ => {}
        });
        match ended.unwrap() {
            SuiteEnded::Finished(_) => break,
            SuiteEnded::Interrupted(report) => {
                assert!(report.state == State::Unfinished && report.tasks.len() >= last);
                assert_eq!(serde_json::from_str::<SuiteReport>(&place.written("cut")).unwrap(), report);
                last = report.tasks.len();
            }
        }
    }
    assert!(sittings > 5 && last == 2, "{sittings} {last}");
    assert_eq!(place.written("cut"), place.written("whole"));
}

#[test]
fn a_suite_in_parts_equals_one_in_one_go() {
    let place = Place::new();
    let models = [wild("llp"), "rwkv7".into()];
    let suite = place.suite(&models, "2k tokens", questions(&["parity"], 2, 4));
    place.run(&suite, "whole");
    let folder = place.path("parts");
    let fault = suite.check_finished(&folder).unwrap_err();
    assert!(fault.to_string().starts_with("4 of 4 runs are not finished: parity direct llp seed 1, "), "{fault}");
    assert_eq!(Stage::ALL.map(|stage| suite.tasks(stage)), [0, 4, 0]);
    for number in (0..4).rev() {
        let part = suite.part(&folder, Stage::Runs, number).unwrap();
        assert_eq!((part.part().number, part.part().state), (number, PartState::Ready));
        let after = part.run(&AtomicBool::new(false), &mut |_| ()).unwrap();
        assert_eq!((after.state, after.failure.is_some()), (PartState::Finished, number % 2 == 0), "{number}");
    }
    // Trained and not examined: not over.
    let run = place.exams(&folder.join("parity-direct"));
    assert_eq!(run.len(), 1);
    std::fs::remove_file(&run[0]).unwrap();
    assert_eq!(suite.parts(&folder).unwrap()[1].state, PartState::Begun);
    let mut told = Vec::new();
    suite.part(&folder, Stage::Runs, 1).unwrap().run(&AtomicBool::new(false), &mut |event| told.push(event)).unwrap();
    assert!(matches!(&told[..], [SuiteEvent::Exam { .. }]) && run[0].is_file(), "{told:?}");
    suite.check_finished(&folder).unwrap();
    let (_, trained, _) = place.run(&suite, "parts");
    assert_eq!((place.written("parts"), trained), (place.written("whole"), 0));
}

#[test]
fn a_model_that_diverges_has_no_figure_and_the_others_do() {
    let place = Place::new();
    let models = [wild("llp"), "transformer".into()];
    let (report, ..) = place.run(&place.suite(&models, "2k tokens", questions(&["parity"], 2, 4)), "out");
    let failures: Vec<_> = report.failures().map(|(label, model, _)| (label, model)).collect();
    assert_eq!(failures, [("parity direct".to_owned(), "llp"), ("parity cot".to_owned(), "llp")]);
    let of = |model: &str| report.tasks[0].model("cot", model).unwrap().clone();
    assert!(of("llp").failure.unwrap().starts_with("diverged at step ") && of("llp").runs[0].lengths.is_empty());
    assert!(of("transformer").failure.is_none() && of("transformer").runs[0].lengths.len() == 4);
    assert!(report.tasks[0].accuracy("cot", "llp", |_| true).is_none());
}

#[test]
fn the_folder_of_a_run_is_refused() {
    let place = Place::new();
    let suite = place.suite(&["llp".into()], "300 tokens", questions(&["parity"], 2, 4));
    let (report, ..) = place.run(&suite, "out");
    let run = place.path("out").join(&report.tasks[0].modes[0].models[0].runs[0].folder);
    let fault = suite.run(&run, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert!(fault.is_usage() && fault.to_string().ends_with("already holds a run"), "{fault}");
}

#[test]
fn the_quick_suite_is_one() {
    let spec = percept_compare::suite::quick().unwrap();
    assert_eq!(spec.name, "quick");
    Suite::new(spec).unwrap();
}
