//! `--keys-values bf16`: half of the state, in every command that keeps one.

use serde_json::Value;

use crate::support::Work;

#[test]
fn a_state_of_halves_goes_on_where_its_text_ends_and_in_its_own_precision_alone() {
    let work = Work::trained(10);
    let run = |arguments: &[&str]| work.run(&[arguments, &["--keys-values", "bf16"]].concat()).succeeds();
    let text = ["--tokens", "20", "--temperature", "0"];
    // So short that all of it is read token by token.
    let whole = run(&[&["generate", "run", "--prompt", "The quick brown"][..], &text].concat());
    assert!(whole.stderr.trim_end().ends_with("of state, keys and values in bf16"), "{}", whole.stderr);
    let saved = run(&["state", "save", "run", "--prompt", "The quick ", "--out", "s", "--json"]).json();
    let rest = ["generate", "run", "--from-state", "s", "--prompt", "brown"];
    assert_eq!(run(&[&rest[..], &text].concat()).stdout, whole.stdout);
    let exact = work.run(&["state", "save", "run", "--prompt", "The quick ", "--out", "exact", "--json"]);
    let bytes = |saved: &Value| saved["state_bytes"].as_u64().unwrap();
    assert_eq!(bytes(&exact.succeeds().json()), 2 * bytes(&saved));
    let inspected = work.run(&["state", "inspect", "s", "--json"]).succeeds().json();
    let formats = |inspected: &Value| inspected["formats"].as_array().unwrap().clone();
    assert_eq!(bytes(&inspected), bytes(&saved));
    assert_eq!(formats(&inspected).len(), inspected["tensors"].as_array().unwrap().len());
    assert!(formats(&inspected).contains(&"BF16".into()) && formats(&inspected).contains(&"F32".into()));
    assert!(work.run(&["state", "inspect", "s"]).succeeds().stdout.contains(" bf16\n"));
    assert!(!work.run(&["state", "inspect", "exact"]).succeeds().stdout.contains("bf16"));
    assert_eq!(run(&["state", "load", "run", "s", "--json"]).json()["state_bytes"], saved["state_bytes"]);
    insta::assert_snapshot!(work.run(&["state", "load", "run", "s"]).refusal(), @r"
    exit 2
    error: s: this state keeps keys and values in bf16, and here they are kept in f32
    hint: go on from it with --keys-values bf16
    ");
    insta::assert_snapshot!(work.run(&["generate", "run", "--from-state", "exact", "--keys-values", "bf16"]).refusal(), @r"
    exit 2
    error: exact: this state keeps keys and values in f32, and here they are kept in bf16
    hint: go on from it with --keys-values f32
    ");
}

#[test]
fn what_halves_cost_is_scored_and_planned_and_timed() {
    let work = Work::trained(60);
    let eval = |more: &[&'static str]| {
        let common = ["eval", "run", "--data", "text.txt", "--limit", "300", "--json"];
        work.run(&[&common[..], more].concat()).succeeds().json()
    };
    let (exact, halves) = (eval(&[]), eval(&["--keys-values", "bf16"]));
    assert_eq!((&exact["keys_values"], &halves["keys_values"]), (&"f32".into(), &"bf16".into()));
    assert!(halves["model"].as_str().unwrap().ends_with(", keys and values in bf16"), "{halves}");
    let bits = |score: &Value| score["bits_per_byte"].as_f64().unwrap();
    let off = (bits(&halves) - bits(&exact)).abs();
    assert!(off > 1e-7 && off < 0.05, "{} {}", bits(&halves), bits(&exact));
    let windows = ["eval", "run", "--data", "text.txt", "--window", "64", "--keys-values", "bf16"];
    insta::assert_snapshot!(work.run(&windows).refusal(), @r"
    exit 2
    error: --keys-values bf16 is for models that are scored with carried state
    hint: windows are scored from nothing, and keep no keys and values
    ");
    let plan = work.run(&["plan", "llp-tiny", "--json"]).succeeds().json();
    assert_eq!(plan["state_bytes"].as_u64(), plan["state_bytes_bf16"].as_u64().map(|bytes| 2 * bytes));
    let text = |preset: &'static str| work.run(&["plan", preset]).succeeds().stdout;
    assert!(text("llp-tiny").contains(" with keys and values in bf16\n"));
    assert!(!text("rwkv7-tiny").contains("bf16\n"));
    let bench = |format: &'static str| {
        let decode = ["bench", "decode", "llp-tiny", "--tokens", "4", "--position", "40", "--streams", "9", "--json"];
        work.run(&[&decode[..], &["--keys-values", format]].concat()).succeeds().json()
    };
    let [exact, halves] = ["f32", "bf16"].map(bench);
    assert_eq!((&exact["keys_values"], &halves["keys_values"]), (&"f32".into(), &"bf16".into()));
    assert_eq!(exact["state_bytes"].as_u64(), halves["state_bytes"].as_u64().map(|bytes| 2 * bytes));
}

/// What the server says of a model's state.
#[cfg(unix)]
fn said(work: &Work, run: &str) -> String {
    use std::io::{BufRead, BufReader};
    let (mut server, _) = crate::serve::start(work, &[run, "--keys-values", "bf16"]);
    let mut line = String::new();
    BufReader::new(server.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    line
}

#[cfg(unix)]
#[test]
fn a_server_says_what_of_a_state_stays_in_f32() {
    let work = Work::trained(1);
    assert!(said(&work, "run").trim_end().ends_with(" of state per text, keys and values in bf16"));
    work.train(&["--steps", "1", "--run", "mixed", "--set", "model.layers=llp, rwkv7"]).succeeds();
    let mixed = said(&work, "mixed");
    assert!(
        mixed.contains(" of state per text, keys and values in bf16, at most ")
            && mixed.trim_end().ends_with(" of it in f32"),
        "{mixed}"
    );
    work.train(&["--steps", "1", "--run", "recurrent", "--set", "model.layers=rwkv7"]).succeeds();
    let recurrent = said(&work, "recurrent");
    assert!(
        recurrent.trim_end().ends_with(" of state per text, without keys and values: all of it in f32"),
        "{recurrent}"
    );
}
