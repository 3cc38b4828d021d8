//! Budgets that are less than one step takes, and more than anybody has.

use crate::support::{TINY, Work};

fn compare(work: &Work, more: &[&str]) -> crate::support::Finished {
    let base = ["compare", "--models", "llp,transformer", "--data", "text.txt", "--out", "compared"];
    let small = TINY.iter().filter(|set| !set.ends_with("_every=1") && !set.ends_with("_every=0"));
    let sets: Vec<&str> = small.flat_map(|set| ["--set", *set]).collect();
    work.run(&[&base[..], &sets, more].concat())
}

#[test]
fn a_budget_below_one_step_says_what_is_trained() {
    let work = Work::new();
    // Two windows of 64 tokens.
    let run = compare(&work, &["--budget", "1 tokens", "--json"]).succeeds();
    let told = "warning: the budget, 1 tokens, is less than one step, which is trained all the same: \
                llp 128 tokens, transformer 128 tokens";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert_eq!(run.json()["models"][0]["runs"][0]["curve"][0]["tokens"], 128);
    for (budget, told) in
        [("1 targets", "llp 128 trained targets"), ("1 flops", "llp "), ("0.000001 s", " seconds of training")]
    {
        let preview = compare(&work, &["--budget", budget, "--dry-run", "--json"]).succeeds();
        let notes = preview.json()["notes"].as_array().unwrap().clone();
        assert_eq!(notes.len(), 1, "{budget}: {notes:?}");
        let note = notes[0].as_str().unwrap();
        assert!(note.starts_with("the budget, ") && note.contains(told), "{budget}: {note}");
    }
    let swept = compare(&work, &["--budget", "1280 tokens", "--sweep", "lr=2", "--dry-run", "--json"]).succeeds();
    assert_eq!(swept.json()["notes"].as_array().unwrap().len(), 0, "{}", swept.stdout);
    let swept = compare(&work, &["--budget", "200 tokens", "--sweep", "lr=2", "--dry-run", "--json"]).succeeds();
    let note = swept.json()["notes"][0].as_str().unwrap().to_owned();
    assert!(note.starts_with("the sweep's share of the budget, "), "{note}");
    let enough = compare(&work, &["--budget", "128 tokens", "--dry-run", "--json"]).succeeds();
    assert_eq!(enough.json()["notes"].as_array().unwrap().len(), 0, "{}", enough.stdout);
}

#[test]
fn a_budget_of_more_steps_than_any_run_takes_is_refused() {
    let work = Work::new();
    for budget in ["1e30 tokens", "1e30 targets", "1e300 flops"] {
        let refusal = compare(&work, &["--budget", budget]).refusal();
        assert!(refusal.starts_with("exit 2\n") && refusal.contains("more than 4294967295 steps"), "{refusal}");
    }
}

#[test]
fn a_time_limit_below_one_step_says_what_was_trained() {
    let work = Work::new();
    let run = work.train(&["--steps", "9", "--set", "train.seconds=0.000001"]).succeeds();
    let told = "warning: train.seconds = 0.000001 is less than one step, which took ";
    assert!(run.stderr.contains(told) && run.stderr.contains("is all of this run: 128 tokens"), "{}", run.stderr);
    let long = work.train(&["--steps", "2", "--run", "long", "--set", "train.seconds=1000"]).succeeds();
    assert!(!long.stderr.contains("train.seconds"), "{}", long.stderr);
}
