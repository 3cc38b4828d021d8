//! Whole comparisons of very small models: fair, resumable, and with their budgets kept.

mod failures;
mod parts;
mod place;
mod suite;
mod timing;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use percept_compare::{
    Comparison, DataOrder, Ended, Event, Finalists, Lineup, Parameters, Purpose, REPORT, Spec, State, Sweep,
};
use percept_train::{RunFolder, RunStatus};

use place::{BATCH, CONTEXT, LATENTS, Place, TOKENS_PER_STEP, find, timeless};

#[test]
fn models_of_every_kind_are_compared_under_equal_conditions() {
    let place = Place::new();
    let models = ["llp", "perceiver-ar", "perceiver-v3", "transformer"];
    let mut spec = place.spec(&models, "1500 targets", &["model.compressed=8", "sample.prompt=12 sheep"]);
    spec.seeds = vec![3, 4];
    let (comparison, trained) = place.compare(spec, "out");
    assert_eq!((comparison.state, trained.len()), (State::Finished, 8));

    // The same text in the same order, for models that take different numbers of steps.
    assert_ne!(find(&comparison, "llp").runs[0].steps, find(&comparison, "perceiver-ar").runs[0].steps);
    let orders = &comparison.fairness.data_order;
    assert_eq!(orders.iter().map(|order| (order.seed, order.equal)).collect::<Vec<_>>(), [(3, true), (4, true)]);
    let hash = |order: &DataOrder| order.hash.clone();
    assert!(orders[0].step >= 16 && hash(&orders[0]).len() == 64 && hash(&orders[0]) != hash(&orders[1]), "{orders:?}");

    let target = find(&comparison, "llp").cost.parameters as f64;
    let test_tokens = comparison.corpus.splits[2].tokens;
    for model in &comparison.models {
        assert!((model.cost.parameters as f64 / target - 1.0).abs() <= 0.02, "{}", model.name);
        let trained = model.usage.as_ref().unwrap().targets;
        let most = if model.cost.targets_per_window == LATENTS { LATENTS * BATCH } else { CONTEXT * BATCH } as u64;
        assert!(trained <= 1500 && trained + most > 1500, "{}: {trained}", model.name);
        for run in &model.runs {
            let test = run.test.as_ref().unwrap();
            assert_eq!((test.targets, test.protocol.as_str()), (test_tokens, "sliding window w = 32, t = 16"));
            assert!(run.curve.len() >= 4 && run.best.is_some(), "{}", model.name);
        }
        let written = model.sample.as_ref().unwrap().chars().count();
        assert!(
            model.rank.is_some() && (1..=4).contains(&written),
            "four bytes at most, without the prompt: {written}"
        );
        assert_eq!(model.test.unwrap().seeds, 2);
    }
    let baseline = &comparison.baselines[0];
    assert!(baseline.order == 2 && baseline.test_bits_per_byte.is_some_and(|bits| (0.1..8.0).contains(&bits)));
    assert_eq!(comparison.readings.len(), 4);

    let written = std::fs::read_to_string(place.path("out").join(REPORT)).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&written).unwrap(), comparison);
}

#[test]
fn budgets_of_tokens_and_operations_are_kept_within_one_step() {
    let place = Place::new();
    let (tokens, _) = place.compare(place.spec(&["llp", "perceiver-ar"], "1000 tokens", &[]), "tokens");
    for model in &tokens.models {
        let used = model.usage.as_ref().unwrap().tokens;
        assert!(used <= 1000 && used + TOKENS_PER_STEP > 1000, "{}: {used}", model.name);
    }
    let (operations, _) = place.compare(place.spec(&["llp", "perceiver-ar"], "50M flops", &[]), "flops");
    for model in &operations.models {
        let used = model.usage.as_ref().unwrap().flops;
        let step = model.cost.training_flops_per_token * TOKENS_PER_STEP as f64;
        assert!(used <= 50e6 && used + step > 50e6, "{}: {used}", model.name);
    }
}

#[test]
fn a_time_budget_ends_every_run_with_its_decay() {
    let place = Place::new();
    // A timing of this very model lies there.
    place.compare(place.spec(&["llp"], "300 tokens", &[]), "out");
    place.change_speed("out", |speed| speed["models"][0]["seconds"] = 1e6.into());
    let (comparison, _) = place.compare(place.spec(&["llp"], "0.3 s", &[]), "out");
    let model = find(&comparison, "llp");
    assert!(comparison.state == State::Finished && model.runs[0].steps >= 1 && model.test.is_some());
    assert!(model.usage.as_ref().unwrap().seconds < 1e6 && comparison.timing.is_none());
    let (again, trained, timed) = place.compare_and_time(place.spec(&["llp"], "0.3 s", &[]), "out");
    assert!(trained.is_empty(), "a finished run is reused, whatever speed is measured now: {trained:?}");
    assert!(timed == 0 && again.timing.is_none(), "the time that passed is what counts");
}

#[test]
fn an_interrupted_comparison_equals_an_uninterrupted_one() {
    let place = Place::new();
    let spec = || {
        let mut spec = place.spec(&["llp", "perceiver-ar"], "1200 tokens", &[]);
        spec.sweep = Some(Sweep { lr: 2, fraction: 0.3, ..Sweep::default() });
        spec.finalists = Some(Finalists { models: 1, seeds: vec![7] });
        spec
    };
    let (whole, trained) = place.compare(spec(), "whole");
    assert_eq!(trained.len(), 4 + 2 + 1);
    // Every sitting is stopped at its second line of metrics, wherever that is.
    let mut sittings = 0;
    let cut = loop {
        sittings += 1;
        assert!(sittings < 100);
        let (stop, lines) = (AtomicBool::new(false), Cell::new(0));
        let ended = place.lineup(spec(), "cut").run(&stop, &mut |event| {
            if let Event::Step { .. } = event {
                lines.set(lines.get() + 1);
                stop.store(lines.get() >= 2, Ordering::Relaxed);
            }
        });
        match ended.unwrap() {
            Ended::Finished(comparison) => break comparison,
            Ended::Interrupted(comparison) => assert_eq!(comparison.state, State::Unfinished),
        }
    };
    assert!(sittings > 5, "{sittings}");
    assert_eq!(timeless(cut), timeless(whole));
}

#[test]
fn finished_runs_are_reused_by_what_they_depend_on() {
    let place = Place::new();
    let (first, trained) = place.compare(place.spec(&["llp"], "600 tokens", &[]), "out");
    assert_eq!(trained, ["llp seed 1"]);
    // Its test text is scored: its weights may go.
    let run = place.path("out").join(&first.models[0].runs[0].folder);
    std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let mut more = place.spec(&["llp", "transformer"], "600 tokens", &[]);
    more.points = 2;
    let (both, trained) = place.compare(more, "out");
    assert_eq!(trained, ["transformer seed 1"]);
    assert_eq!((find(&both, "llp").test, both.state), (first.models[0].test, State::Finished));
    let faster = place.spec(&["llp", "transformer"], "600 tokens", &["train.learning_rate=0.02"]);
    assert_eq!(place.compare(faster, "out").1, ["llp seed 1", "transformer seed 1"]);
    std::fs::write(place.path("texts/00.txt"), "other sheep").unwrap();
    assert_eq!(place.compare(place.spec(&["llp"], "600 tokens", &[]), "out").1, ["llp seed 1"]);
}

#[test]
fn sweeps_cost_the_same_for_every_model_and_choose_on_validation() {
    let place = Place::new();
    let mut spec = place.spec(&["llp", "transformer"], "2000 tokens", &["train.learning_rate=0.001"]);
    spec.sweep = Some(Sweep { lr: 3, factor: 100.0, fraction: 0.5 });
    spec.parameters = Parameters::AsGiven;
    let (comparison, trained) = place.compare(spec, "out");
    assert_eq!(trained.len(), 6 + 2);
    for model in &comparison.models {
        let run = &model.runs[0];
        let rates: Vec<f64> = run.sweep.iter().map(|point| point.learning_rate).collect();
        assert!(rates.len() == 3 && (rates[0] - 1e-5).abs() < 1e-12 && (rates[2] - 0.1).abs() < 1e-9, "{rates:?}");
        assert!(run.sweep.iter().all(|point| point.tokens == 15 * TOKENS_PER_STEP), "{:?}", run.sweep);
        let lowest = run.sweep.iter().min_by(|a, b| a.loss.unwrap().total_cmp(&b.loss.unwrap())).unwrap();
        assert_eq!(run.learning_rate, lowest.learning_rate);
        assert_ne!(run.learning_rate, rates[0], "a rate that learns nothing in 15 steps");
    }
}

#[test]
fn the_weights_of_a_sweep_go_once_a_rate_is_chosen() {
    let place = Place::new();
    let spec = || {
        let mut spec = place.spec(&["llp", "transformer"], "600 tokens", &[]);
        spec.sweep = Some(Sweep { lr: 2, fraction: 0.5, ..Sweep::default() });
        spec
    };
    // Stopped at the first line of metrics of the second point: one model's search is under way.
    let (stop, begun) = (AtomicBool::new(false), Cell::new(0));
    let ended = place.lineup(spec(), "out").run(&stop, &mut |event| match event {
        Event::Run { .. } => begun.set(begun.get() + 1),
        Event::Step { .. } => stop.store(begun.get() == 2, Ordering::Relaxed),
        _ => {}
    });
    assert!(matches!(ended.unwrap(), Ended::Interrupted(_)));
    assert_eq!(place.sweep_runs_with("out", "checkpoints").len(), 2, "no rate is chosen yet");
    let (first, trained) = place.compare(spec(), "out");
    assert_eq!(trained.len(), 1 + 2 + 2, "the finished point is found, the interrupted one goes on");
    for kept in ["config.toml", "done.json", "metrics.jsonl"] {
        assert_eq!(place.sweep_runs_with("out", kept).len(), 4, "{kept}");
    }
    for gone in ["checkpoints", "latest", "best"] {
        assert!(place.sweep_runs_with("out", gone).is_empty(), "{gone}");
    }
    for run in place.sweep_runs_with("out", "config.toml") {
        assert_eq!(RunStatus::of(&run), RunStatus::Finished);
    }
    for model in &first.models {
        let folder = RunFolder::new(place.path("out").join(&model.runs[0].folder));
        assert!(!folder.checkpoint_steps().unwrap().is_empty(), "full runs keep theirs");
    }
    let (again, trained) = place.compare(spec(), "out");
    assert!(trained.is_empty(), "finished without their weights: {trained:?}");
    assert_eq!(timeless(again), timeless(first));
}

#[test]
fn what_cannot_run_is_refused_before_anything_runs() {
    let place = Place::new();
    let refused = |spec: Spec| Lineup::new(spec, &place.path("out"), Purpose::Run, &mut |_| {}).unwrap_err();
    let stride = refused(Spec { stride: Some(17), ..place.spec(&["llp", "perceiver-ar"], "1m", &[]) });
    assert!(stride.is_usage() && stride.to_string().contains("stride 17 leaves targets out"), "{stride}");
    let model = refused(place.spec(&["llp", "transfomer"], "1m", &[]));
    assert_eq!(model.hint_text(), Some("did you mean `transformer`?"));
    assert!(!place.path("out").exists());
}

#[test]
fn a_preview_says_what_would_run() {
    let place = Place::new();
    let mut spec = place.spec(&["llp", "perceiver-ar"], "6400 targets", &[]);
    (spec.seeds, spec.sweep) = (vec![1, 2], Some(Sweep::default()));
    let preview = place.lineup(spec, "out").preview().unwrap();
    assert_eq!(preview.runs, 2 * (2 + 3));
    let [llp, perceiver] = &preview.models[..] else { panic!("{preview:?}") };
    assert!(llp.steps >= 100 && perceiver.steps >= 2 * 100, "{preview:?}");
    assert_eq!((llp.tokens, llp.usable_context), (llp.steps * TOKENS_PER_STEP, 23));
    assert!(preview.seconds > llp.seconds && !place.path("out").exists());
}
