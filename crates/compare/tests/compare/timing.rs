//! The seconds of a comparison: steps timed side by side.

use std::sync::atomic::{AtomicBool, Ordering};

use percept_compare::{Axis, Ended, Event, State};

use crate::place::{Place, TOKENS_PER_STEP, find, timeless};

#[test]
fn seconds_are_steps_times_the_timed_step() {
    let place = Place::new();
    let spec = || place.spec(&["llp", "perceiver-ar"], "600 tokens", &[]);
    let (first, _, timed) = place.compare_and_time(spec(), "out");
    let timing = first.timing.as_ref().unwrap();
    assert_eq!(timed, 2 * timing.rounds * (timing.steps / timing.rounds + 2), "steps of two models with their warm-up");
    for (step, name) in timing.models.iter().zip(["llp", "perceiver-ar"]) {
        assert_eq!(step.model, name);
        assert!(0.0 < step.min && step.min <= step.seconds && step.seconds <= step.max, "{step:?}");
    }
    // Times that nobody measures, so that it is seen where the seconds come from.
    place.change_speed("out", |speed| {
        for (model, seconds) in [1000.0, 4000.0].into_iter().enumerate() {
            speed["models"][model]["seconds"] = seconds.into();
        }
    });
    let (told, trained, timed) = place.compare_and_time(spec(), "out");
    assert!(trained.is_empty() && timed == 0, "both are reused");
    for (name, seconds) in [("llp", 1000.0), ("perceiver-ar", 4000.0)] {
        let model = find(&told, name);
        let (run, usage) = (&model.runs[0], model.usage.as_ref().unwrap());
        assert!(run.curve.iter().all(|point| point.seconds == point.step as f64 * seconds), "{:?}", run.curve);
        assert_eq!(usage.seconds, run.steps as f64 * seconds);
        assert_eq!(usage.tokens_per_second, TOKENS_PER_STEP as f64 / seconds);
    }
    let reading = told.readings.iter().find(|reading| reading.axis == Axis::Seconds).unwrap();
    assert_eq!(reading.at % 1000.0, 0.0, "{reading:?}");
    assert_eq!(timeless(told), timeless(first));
}

#[test]
fn a_timing_is_reused_by_what_it_depends_on() {
    let place = Place::new();
    let spec = |models: &[&str]| place.spec(models, "300 tokens", &[]);
    let (_, _, of_one) = place.compare_and_time(spec(&["llp"]), "out");
    let (more, trained, of_two) = place.compare_and_time(spec(&["llp", "transformer"]), "out");
    assert_eq!((trained.len(), of_two), (1, 2 * of_one), "another model: all are timed again, side by side");
    assert_eq!(more.timing.unwrap().models.len(), 2);
    let again = || place.compare_and_time(spec(&["llp", "transformer"]), "out");
    assert_eq!(again().2, 0);
    place.change_speed("out", |speed| speed["fingerprint"] = "of another machine".into());
    assert_eq!(again().2, of_two);
    // Trained without a timing, as by a version that had none.
    std::fs::remove_file(place.path("out/speed.json")).unwrap();
    let (added, trained, timed) = again();
    assert!(trained.is_empty() && timed == of_two && added.timing.is_some());
}

#[test]
fn a_timing_that_is_stopped_leaves_nothing() {
    let place = Place::new();
    let spec = || place.spec(&["llp"], "300 tokens", &[]);
    let stop = AtomicBool::new(false);
    let mut timed = 0;
    let ended = place.lineup(spec(), "out").run(&stop, &mut |event| match event {
        Event::Timing { done, .. } => {
            timed = done;
            stop.store(done == 3, Ordering::Relaxed);
        }
        Event::Scoring { .. } => panic!("the test text is scored after the timing"),
        _ => {}
    });
    let Ended::Interrupted(comparison) = ended.unwrap() else { panic!("it was asked to stop") };
    assert_eq!((comparison.state, comparison.timing, timed), (State::Unfinished, None, 3));
    assert!(!place.path("out/speed.json").exists());
    let (comparison, trained) = place.compare(spec(), "out");
    assert!(trained.is_empty() && comparison.timing.is_some() && comparison.state == State::Finished);
}
