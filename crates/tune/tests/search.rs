//! What every method promises.

use percept_tune::{
    Axis, EvolutionSettings, Halving, IndependentSettings, Method, Outcome, ReinforceSettings, Search, SearchState,
    Space, Stage, Study, Table, TpeSettings, Trial,
};

/// Four axes, one of them of names: 240 points.
fn space() -> Space {
    let numbers = |key: &str, count: i64| Axis::new(key, (0..count).map(Into::into).collect()).unwrap();
    let names = Axis::new("model.layers", ["tost", "rwkv7", "llp"].map(Into::into).to_vec()).unwrap();
    Space::new(vec![numbers("model.depth", 4), numbers("model.dim", 5), names, numbers("train.batch", 4)]).unwrap()
}

/// One point is the best, depth and width go together, and a sixth of the points fail or diverge.
fn outcome(point: &[usize]) -> Outcome {
    let x: Vec<f64> = point.iter().map(|choice| *choice as f64).collect();
    match point {
        [_, _, 0, 3] => Outcome::Diverged,
        [3, 4, ..] => Outcome::Failed,
        _ => Outcome::of(
            (x[0] - 2.0).powi(2) + (x[1] - x[0] - 1.0).powi(2) + 2.0 * (x[2] - 1.0).abs() + (x[3] - 1.0).abs(),
        ),
    }
}

fn table() -> Table {
    let stage = |point: &[usize], _, fraction| Stage { fraction, cost: 10.0 * fraction, outcome: outcome(point) };
    Table::tabulate(space(), 1, &[1.0 / 3.0, 1.0], stage).unwrap()
}

/// Runs some trials, and gives them.
fn run(search: &mut Search, trials: usize) -> Vec<Trial> {
    let step = |_| {
        let trial = search.next();
        search.tell(&trial, outcome(&trial.point)).unwrap();
        trial
    };
    (0..trials).map(step).collect()
}

/// The search as it is read back from a file.
fn again(search: &Search) -> Search {
    let kept = serde_json::to_string(&search.state().unwrap()).unwrap();
    let state: SearchState = serde_json::from_str(&kept).unwrap();
    Search::resume(search.space().clone(), state).unwrap()
}

#[test]
fn a_search_that_goes_on_is_one_that_was_never_interrupted() {
    for method in Method::all() {
        let start = || Search::new(space(), method.clone(), Halving { rungs: 2, factor: 3 }, 7).unwrap();
        let (mut whole, mut cut) = (start(), start());
        let trials = run(&mut whole, 45);
        let mut pieces = Vec::new();
        for length in [1, 2, 1, 3, 13, 20, 5] {
            cut = again(&cut);
            pieces.extend(run(&mut cut, length));
        }
        assert_eq!(trials, pieces, "{}", method.name());
        assert_eq!(whole.state().unwrap(), cut.state().unwrap(), "{}", method.name());
    }
}

#[test]
fn a_seed_is_a_search_and_asking_changes_nothing() {
    for method in Method::all() {
        let start = |seed| Search::new(space(), method.clone(), Halving::default(), seed).unwrap();
        let mut asked = start(1);
        (0..3).for_each(|_| assert_eq!(asked.next(), asked.next()));
        assert_eq!(run(&mut asked, 30), run(&mut start(1), 30), "{}", method.name());
        assert_ne!(run(&mut start(1), 30), run(&mut start(2), 30), "{}", method.name());
    }
}

/// At equal numbers of trials.
#[test]
fn every_method_finds_the_best_more_often_than_chance() {
    let (table, trials) = (table(), 100);
    let solved =
        |method: &Method, seeds| Study::run(&table, method, Halving::default(), trials, seeds).unwrap().solved(trials);
    let random = solved(&Method::Random, 300);
    // 1 - (239/240)^100 = 0.34.
    assert!((0.26..0.42).contains(&random), "{random}");
    for method in &Method::all()[1..] {
        // The policy of attention takes the longest.
        let found = solved(method, if matches!(method, Method::Reinforce(_)) { 24 } else { 300 });
        println!("{}: {found}, random {random}", method.name());
        assert!(found > random + 0.1, "{}: {found}, random {random}", method.name());
    }
}

#[test]
fn every_method_learns_to_keep_off_what_fails() {
    for method in &Method::all()[1..] {
        let failed = |trials: &[Trial]| trials.iter().filter(|trial| outcome(&trial.point).value().is_none()).count();
        let (mut early, mut late) = (0, 0);
        for seed in 1..=6 {
            let trials = run(&mut Search::new(space(), method.clone(), Halving::default(), seed).unwrap(), 120);
            early += failed(&trials[..40]);
            late += failed(&trials[80..]);
        }
        assert!(late < early, "{}: {early} {late}", method.name());
    }
}

#[test]
fn random_search_takes_every_point_alike() {
    let mut search = Search::new(space(), Method::Random, Halving::default(), 3).unwrap();
    let mut counts = vec![0.0; space().size()];
    run(&mut search, 24_000).iter().for_each(|trial| counts[space().index(&trial.point)] += 1.0);
    // Chi-squared of 239 degrees of freedom: 311 is passed once in a thousand times.
    let statistic: f64 = counts.iter().map(|count: &f64| (count - 100.0).powi(2) / 100.0).sum();
    assert!((170.0..311.0).contains(&statistic), "{statistic}");
}

#[test]
fn a_state_of_another_space_is_refused() {
    let one = |choices: i64| Axis::new("model.depth", (0..choices).map(Into::into).collect()).unwrap();
    let small = Space::new(vec![one(2)]).unwrap();
    for method in &Method::all()[1..] {
        let mut search = Search::new(space(), method.clone(), Halving::default(), 1).unwrap();
        run(&mut search, 12);
        let fault = Search::resume(small.clone(), search.state().unwrap()).err().unwrap();
        assert!(fault.is_environment() && fault.hint_text().is_some(), "{}: {fault}", method.name());
    }
    let mut search = Search::new(space(), Method::Random, Halving { rungs: 2, factor: 4 }, 1).unwrap();
    run(&mut search, 2);
    assert!(Search::resume(small, search.state().unwrap()).err().unwrap().is_environment());
    // A state that was tampered with.
    let mut state = serde_json::to_value(search.state().unwrap()).unwrap();
    state["search"]["rung"] = 1.into();
    let fault = Search::resume(space(), serde_json::from_value(state.clone()).unwrap()).err().unwrap();
    assert!(fault.to_string().contains("another search"), "{fault}");
    state["search"]["rung"] = 0.into();
    state["algorithm"] = "nothing".into();
    let fault = Search::resume(space(), serde_json::from_value(state).unwrap()).err().unwrap();
    assert!(fault.to_string().contains("can't be read"), "{fault}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let evolution = |population, sample| Method::Evolution(EvolutionSettings { population, sample });
    let tpe = |change: fn(&mut TpeSettings)| {
        let mut settings = TpeSettings::default();
        change(&mut settings);
        Method::Tpe(settings)
    };
    let independent = |learning_rate, momentum| Method::Independent(IndependentSettings { learning_rate, momentum });
    let reinforce = |change: fn(&mut ReinforceSettings)| {
        let mut settings = ReinforceSettings::default();
        change(&mut settings);
        Method::Reinforce(settings)
    };
    let wrong = [
        (evolution(0, 1), "population"),
        (evolution(1, 0), "sample"),
        (tpe(|settings| settings.good = 1.0), "good"),
        (tpe(|settings| settings.candidates = 0), "candidates"),
        (tpe(|settings| settings.prior = 0.0), "prior"),
        (independent(0.0, 0.5), "learning_rate"),
        (independent(f64::NAN, 0.5), "learning_rate"),
        (independent(0.1, 1.0), "momentum"),
        (reinforce(|settings| settings.width = 0), "width"),
        (reinforce(|settings| settings.width = 257), "width"),
        (reinforce(|settings| settings.blocks = 0), "blocks"),
        (reinforce(|settings| settings.orders = 0), "orders"),
        (reinforce(|settings| settings.learning_rate = -1.0), "learning_rate"),
        (reinforce(|settings| settings.entropy = -1.0), "entropy"),
        (reinforce(|settings| settings.critic = f64::INFINITY), "critic"),
    ];
    for (method, setting) in wrong {
        let fault = method.start(&space(), 1).err().unwrap();
        assert!(fault.is_usage() && fault.to_string().contains(setting), "{fault}");
    }
}
