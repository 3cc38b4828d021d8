//! Models that diverge: they are results, and the others are compared without them.

use percept_compare::{Comparison, FailureKind, Finalists, ModelSpec, REPORT, Spec, State, Sweep};
use percept_train::{Override, RunStatus};

use crate::place::{Place, find, timeless};

/// A learning rate at which the second step is no longer finite.
const WILD: &str = "train.learning_rate=1e35";

/// The same model at a rate at which it diverges.
fn wild(name: &str) -> ModelSpec {
    let set = vec![Override::set(WILD).unwrap()];
    ModelSpec { name: "wild".into(), set, ..ModelSpec::named(name, "") }
}

fn spec(place: &Place) -> Spec {
    let mut spec = place.spec(&["llp", "transformer"], "600 tokens", &[]);
    spec.models.push(wild("llp"));
    spec
}

#[test]
fn a_diverging_model_is_recorded_and_the_others_are_compared() {
    let place = Place::new();
    let (comparison, trained) = place.compare(spec(&place), "out");
    assert_eq!((comparison.state, trained.len()), (State::Finished, 3));
    let model = find(&comparison, "wild");
    let failure = model.failure.as_ref().unwrap();
    assert_eq!((failure.kind, failure.in_words().as_str()), (FailureKind::Diverged, "diverged at step 2"));
    assert!(failure.message.starts_with("training diverged: the "), "{failure:?}");
    assert_eq!((model.rank, model.test, model.validation, model.ties.len()), (None, None, None, 0));
    assert_eq!(model.runs[0].failure.as_ref(), Some(failure));
    assert_eq!(RunStatus::of(&place.path("out").join(&model.runs[0].folder)), RunStatus::Diverged);
    for name in ["llp", "transformer"] {
        let model = find(&comparison, name);
        assert!(model.rank.is_some() && model.test.is_some() && model.failure.is_none(), "{name}");
    }
    assert_eq!(comparison.models[2].name, "wild", "it stands last");
    let timed: Vec<&str> = comparison.timing.as_ref().unwrap().models.iter().map(|step| step.model.as_str()).collect();
    assert_eq!(timed, ["llp", "transformer"]);
    assert!(comparison.readings.iter().all(|reading| reading.values.len() == 2) && comparison.readings.len() == 4);
    assert!(comparison.fairness.data_order[0].equal && comparison.is_meaningful());

    let written = std::fs::read_to_string(place.path("out").join(REPORT)).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&written).unwrap(), comparison);
    let (again, trained) = place.compare(spec(&place), "out");
    assert!(trained.is_empty(), "it is not trained again: {trained:?}");
    assert_eq!(timeless(again), timeless(comparison.clone()));
    // Who wants to try again removes the run.
    std::fs::remove_dir_all(place.path("out").join(&model.runs[0].folder)).unwrap();
    assert_eq!(place.compare(spec(&place), "out").1, ["wild seed 1"]);
}

#[test]
fn one_seed_of_several_takes_the_place_of_a_model_but_not_its_runs() {
    let place = Place::new();
    let spec = || Spec { seeds: vec![1, 2], ..place.spec(&["llp", "transformer"], "600 tokens", &[]) };
    let (first, _) = place.compare(spec(), "out");
    // As if the second seed had diverged.
    let run = place.path("out").join(&find(&first, "llp").runs[1].folder);
    let done = std::fs::read_to_string(run.join("done.json")).unwrap();
    let mut done: serde_json::Value = serde_json::from_str(&done).unwrap();
    (done["end"], done["step"], done["message"]) = ("diverged".into(), 5.into(), "training diverged: made up".into());
    std::fs::write(run.join("done.json"), done.to_string()).unwrap();
    std::fs::remove_file(run.join("test.json")).unwrap();
    let (comparison, trained) = place.compare(spec(), "out");
    assert!(trained.is_empty() && comparison.state == State::Finished, "{trained:?}");
    let model = find(&comparison, "llp");
    assert_eq!(model.failure.as_ref().unwrap().in_words(), "diverged at step 5");
    assert_eq!((model.rank, model.test, model.runs[1].test.is_none()), (None, None, true));
    assert!(model.runs[0].test.is_some() && model.runs[0].failure.is_none());
    assert_eq!(find(&comparison, "transformer").test.unwrap().seeds, 2);
}

#[test]
fn a_sweep_of_which_every_rate_diverges_is_a_result() {
    let place = Place::new();
    let mut spec = spec(&place);
    spec.sweep = Some(Sweep { lr: 2, factor: 2.0, fraction: 0.5 });
    spec.finalists = Some(Finalists { models: 2, seeds: vec![2] });
    let (comparison, _) = place.compare(spec.clone(), "out");
    let model = find(&comparison, "wild");
    let failure = model.failure.as_ref().unwrap();
    assert!(failure.in_words() == "diverged" && model.runs.is_empty() && model.rank.is_none(), "{model:?}");
    assert_eq!(failure.message.matches("diverged at step 2").count(), 2, "{failure:?}");
    assert_eq!(comparison.state, State::Finished);
    assert_eq!(find(&comparison, "transformer").test.unwrap().seeds, 2, "the finalists are the two others");
    let (_, trained) = place.compare(spec, "out");
    assert!(trained.is_empty(), "{trained:?}");
}

#[test]
fn where_every_model_diverges_there_is_still_a_report() {
    let place = Place::new();
    let mut spec = place.spec(&[], "600 tokens", &[]);
    spec.models = vec![wild("llp"), ModelSpec { name: "wilder".into(), ..wild("transformer") }];
    let (comparison, _) = place.compare(spec, "out");
    assert_eq!((comparison.state, comparison.failed().count()), (State::Finished, 2));
    assert!(!comparison.is_meaningful() && comparison.timing.is_none() && comparison.readings.is_empty());
}

#[test]
fn a_model_that_gives_no_probabilities_for_the_test_text_is_recorded() {
    let place = Place::new();
    // One step at a rate that ruins the weights, and no validation that would see it.
    let spec = || {
        let mut spec =
            place.spec(&["llp", "transformer"], "64 tokens", &["data.split.validation=0", "sample.tokens=0"]);
        spec.models.push(wild("llp"));
        spec
    };
    let (comparison, _) = place.compare(spec(), "out");
    let failure = find(&comparison, "wild").failure.as_ref().unwrap();
    assert_eq!((failure.kind, failure.in_words().as_str()), (FailureKind::Unscored, "could not be scored"));
    assert!(failure.message.contains("the model gives no probabilities"), "{failure:?}");
    assert!(find(&comparison, "transformer").rank.is_some() && comparison.state == State::Finished);
    let (again, trained) = place.compare(spec(), "out");
    assert!(trained.is_empty() && timeless(again) == timeless(comparison));
}
