//! Comparisons in parts: what each part needs, and that the whole is what one process would have found.

use std::sync::atomic::{AtomicBool, Ordering};

use percept_compare::{Event, Finalists, Lineup, ModelSpec, Part, PartState, Purpose, Spec, Stage, State, Sweep};
use percept_train::Override;

use crate::place::{Place, find, timeless};

/// Two models, a sweep and a finalist.
fn spec(place: &Place) -> Spec {
    Spec {
        sweep: Some(Sweep { lr: 2, fraction: 0.3, ..Sweep::default() }),
        finalists: Some(Finalists { models: 1, seeds: vec![7] }),
        ..place.spec(&["llp", "perceiver-ar"], "1200 tokens", &[])
    }
}

/// As each process opens the comparison.
fn opened(place: &Place, spec: Spec) -> Lineup {
    Lineup::new(spec, &place.path("parts"), Purpose::Shared, &mut |_| {}).unwrap()
}

/// Runs a part as a process of its own would; it is asked to stop at line `lines` of its metrics.
fn run(place: &Place, spec: &Spec, (stage, number): (Stage, usize), lines: usize) -> Part {
    let lineup = opened(place, spec.clone());
    let (stop, mut seen) = (AtomicBool::new(false), 0);
    let part = lineup.part(stage, number).unwrap();
    let mut watch = |event: Event| {
        seen += usize::from(matches!(event, Event::Step { .. }));
        stop.store(seen >= lines, Ordering::Relaxed);
    };
    lineup.run_part(&part, &stop, &mut watch).unwrap()
}

/// How the parts of a stage stand.
fn states(place: &Place, spec: &Spec, stage: Stage) -> Vec<PartState> {
    let parts = opened(place, spec.clone()).parts().unwrap();
    parts.iter().filter(|part| part.stage == stage).map(|part| part.state).collect()
}

#[test]
fn a_comparison_in_parts_finds_what_one_process_finds() {
    use PartState::{Begun, Finished, Ready, Waiting};
    let place = Place::new();
    let spec = spec(&place);
    let (whole, _) = place.compare(spec.clone(), "whole");
    assert_eq!(states(&place, &spec, Stage::Sweep), [Ready; 4]);
    assert_eq!(states(&place, &spec, Stage::Finalists), [Waiting]);
    // In an order that no single process takes, and one part in two sittings.
    for number in [2, 3, 1, 0] {
        assert_eq!(run(&place, &spec, (Stage::Sweep, number), usize::MAX).state, Finished);
    }
    assert!(place.sweep_runs_with("parts", "checkpoints").is_empty(), "nobody uses their weights");
    assert_eq!(states(&place, &spec, Stage::Runs), [Ready; 2]);
    assert_eq!(run(&place, &spec, (Stage::Runs, 1), 2).state, Begun);
    assert_eq!(states(&place, &spec, Stage::Runs), [Ready, Begun]);
    for number in [1, 0] {
        assert_eq!(run(&place, &spec, (Stage::Runs, number), usize::MAX).state, Finished);
    }
    let unfinished = opened(&place, spec.clone()).check_finished().unwrap_err();
    assert!(unfinished.to_string().starts_with("1 of 7 runs are not finished: "), "{unfinished}");
    let finalist = run(&place, &spec, (Stage::Finalists, 0), usize::MAX);
    assert_eq!((finalist.state, finalist.label), (Finished, format!("{} seed 7", whole.models[0].name)));

    opened(&place, spec.clone()).check_finished().unwrap();
    let (assembled, trained) = place.compare(spec, "parts");
    assert!(trained.is_empty() && assembled.state == State::Finished, "{trained:?}");
    assert_eq!(timeless(assembled), timeless(whole));
}

#[test]
fn a_part_that_must_wait_says_for_what_and_a_finished_one_trains_nothing() {
    let place = Place::new();
    let spec = spec(&place);
    let lineup = opened(&place, spec.clone());
    let refused = |stage, number| {
        let part = lineup.part(stage, number).unwrap();
        lineup.run_part(&part, &AtomicBool::new(false), &mut |_| {}).unwrap_err()
    };
    let fault = refused(Stage::Runs, 0);
    let waits = "llp seed 1 waits for runs that are not finished: llp lr 7.07e-3, llp lr 1.41e-2";
    assert_eq!((fault.to_string().as_str(), fault.exit_code()), (waits, 3));
    let finalist = refused(Stage::Finalists, 0).to_string();
    assert!(finalist.ends_with("not finished: llp seed 1, perceiver-ar seed 1"), "{finalist}");
    assert!(!place.path("parts").exists(), "nothing is left of what could not begin");
    let two = Spec { seeds: vec![1, 2], ..spec.clone() };
    let labels: Vec<String> = opened(&place, two).parts().unwrap().into_iter().map(|part| part.label).collect();
    assert_eq!(
        labels[4..],
        ["llp seed 1", "perceiver-ar seed 1", "llp seed 2", "perceiver-ar seed 2", "finalist 1 seed 7"]
    );
    let none = lineup.part(Stage::Sweep, 4).unwrap_err();
    assert_eq!((none.exit_code(), none.hint_text()), (2, Some("its tasks are 0 to 3")));

    run(&place, &spec, (Stage::Sweep, 0), usize::MAX);
    let part = lineup.part(Stage::Sweep, 0).unwrap();
    let mut told = 0;
    lineup.run_part(&part, &AtomicBool::new(false), &mut |_| told += 1).unwrap();
    assert_eq!((part.state, told), (PartState::Finished, 0));
}

#[test]
fn a_model_that_diverges_leaves_nothing_to_wait_for() {
    let place = Place::new();
    let set = vec![Override::set("train.learning_rate=1e35").unwrap()];
    let wild = ModelSpec { set, ..ModelSpec::from("llp") };
    let spec = Spec {
        models: vec![ModelSpec::from("transformer"), wild],
        sweep: Some(Sweep { lr: 1, fraction: 0.5, ..Sweep::default() }),
        finalists: Some(Finalists { models: 2, seeds: vec![2] }),
        ..place.spec(&[], "600 tokens", &[])
    };
    for stage in Stage::ALL {
        for number in 0..stage.parts(&spec) {
            let part = run(&place, &spec, (stage, number), usize::MAX);
            assert!(part.state.is_over(), "{}", part.label);
            assert_eq!(part.failure.is_some(), (stage, number) == (Stage::Sweep, 1), "{}", part.label);
        }
    }
    assert_eq!(states(&place, &spec, Stage::Runs), [PartState::Finished, PartState::Skipped]);
    assert_eq!(states(&place, &spec, Stage::Finalists), [PartState::Finished, PartState::Skipped]);
    let (assembled, trained) = place.compare(spec, "parts");
    assert!(trained.is_empty() && assembled.state == State::Finished, "{trained:?}");
    assert_eq!(find(&assembled, "llp").failure.as_ref().unwrap().in_words(), "diverged");
}

#[test]
fn what_machines_could_read_or_choose_differently_is_refused() {
    let place = Place::new();
    let refused = |change: &str| {
        let spec = place.spec(&["llp"], "600 tokens", &[change]);
        Lineup::new(spec, &place.path("parts"), Purpose::Shared, &mut |_| {}).unwrap_err()
    };
    let precision = refused("train.precision=auto");
    assert!(precision.is_usage() && precision.to_string().starts_with("train.precision is auto"), "{precision}");
    let stream = refused("data.sources=[\"-\"]");
    assert!(stream.is_usage() && stream.to_string().starts_with("- can be read only once"), "{stream}");
}
