//! Problems as text: `synthetic:parity` and the like.

use crate::support::{TINY, Work};

#[test]
fn a_problem_is_trained_validated_and_evaluated_as_any_text() {
    let work = Work::new();
    for (mode, targets) in [("direct", 40), ("cot", 40 + 40 * 7)] {
        let data = format!("synthetic:parity?length=6&mode={mode}&documents=200");
        let mut arguments = vec!["train", "llp-tiny", "--data", &data, "--run", mode, "--steps", "4", "--quiet"];
        arguments.extend(TINY.iter().flat_map(|set| ["--set", set]));
        arguments.extend(["--set", "train.validate_every=2"]);
        work.run(&arguments).succeeds();
        let metrics = std::fs::read_to_string(work.path(mode).join("metrics.jsonl")).unwrap();
        assert!(metrics.contains("validation"), "{metrics}");
        // Questions of six symbols: the answer is one byte, a working seven more.
        let data = format!("synthetic:parity?shortest=6&length=6&mode={mode}&documents=40&seed=1");
        let score = work.run(&["eval", mode, "--data", &data, "--json"]).succeeds().json();
        assert_eq!(score["targets"], targets, "{score}");
        assert_eq!(score["text"]["bytes"], targets);
    }
}

#[test]
fn the_values_of_mqar_alone_are_scored() {
    let work = Work::trained(2);
    let data = "synthetic:mqar?shortest=8&length=8&documents=10";
    let score = |more: &[&str]| {
        let arguments = [&["eval", "run", "--data", data, "--json"], more].concat();
        work.run(&arguments).succeeds().json()
    };
    let all = score(&[]);
    assert_eq!((&all["targets"], &all["text"]["bytes"]), (&80.into(), &80.into()), "{all}");
    // Windows and streams score the same targets, and a limit counts them.
    assert_eq!(score(&["--window", "32"])["targets"], 80);
    let limited = score(&["--limit", "12"]);
    assert_eq!((&limited["targets"], &limited["text"]["bytes"]), (&12.into(), &12.into()), "{limited}");
}

#[test]
fn stats_tell_what_guessing_is_worth() {
    let work = Work::new();
    let data = "synthetic:cycle-navigation?length=9&mode=cot&documents=20";
    let shown = work.run(&["data", "stats", data]).succeeds().stdout;
    assert!(shown.contains("% of an answer of cycle-navigation at length 1\n"), "{shown}");
    let json = work.run(&["data", "stats", data, "--json"]).succeeds().json();
    let problems = json["problems"].as_array().unwrap();
    let of = |at: usize, key: &str| problems[at][key].clone();
    assert_eq!(
        (of(0, "length"), of(1, "length"), of(1, "name"), of(1, "mode")),
        (1.into(), 9.into(), "cycle-navigation".into(), "cot".into())
    );
    // One step leads to three places, many to all five.
    let chance = [0, 1].map(|at| of(at, "chance").as_f64().unwrap());
    assert!((chance[0] - 1.0 / 3.0).abs() < 0.05 && (chance[1] - 0.2).abs() < 0.05, "{chance:?}");
    let text = work.run(&["data", "stats", "text.txt", "--json"]).succeeds().json();
    assert_eq!(text.get("problems"), None);
}

#[test]
fn mistakes_are_named_with_what_to_do() {
    let work = Work::new();
    let refusal = |source: &str| work.run(&["train", "llp-tiny", "--data", source, "--run", "run"]).refusal();
    insta::assert_snapshot!(refusal("synthetic:dyck"), @r"
    exit 2
    error: synthetic:dyck: unknown task `dyck`
    hint: known: copy, recall, even-pairs, parity, cycle-navigation, modular-arithmetic, modular-arithmetic-brackets, reverse, stack-manipulation, solve-equation, duplicate, missing-duplicate, odds-first, binary-addition, binary-multiplication, square-root, bucket-sort, s3, s5, mqar, fuzzy-recall, selective-copying, induction-heads
    ");
    insta::assert_snapshot!(refusal("synthetic:cycle-navigatoin"), @r"
    exit 2
    error: synthetic:cycle-navigatoin: unknown task `cycle-navigatoin`
    hint: did you mean `cycle-navigation`?
    ");
    insta::assert_snapshot!(refusal("synthetic:parity?modulus=7"), @r"
    exit 2
    error: synthetic:parity?modulus=7: unknown option `modulus`
    hint: did you mean `mode`?
    ");
    insta::assert_snapshot!(refusal("synthetic:parity?mode=aloud"), @r"
    exit 2
    error: synthetic:parity?mode=aloud: unknown `mode` `aloud`
    hint: known: direct, cot
    ");
    insta::assert_snapshot!(refusal("synthetic:parity?length=100000"), @r"
    exit 2
    error: synthetic:parity?length=100000: `length` = 100000 is not between 1 and 65536
    hint: for example length=40
    ");
    insta::assert_snapshot!(refusal("synthetic:parity?shortest=50"), @r"
    exit 2
    error: synthetic:parity?shortest=50: `shortest` = 50 is above `length` = 40
    hint: lengths are drawn from `shortest` to `length`: give both
    ");
    insta::assert_snapshot!(refusal("synthetic:modular-arithmetic?shortest=4&length=4"), @r"
    exit 2
    error: synthetic:modular-arithmetic?shortest=4&length=4: no question of `modular-arithmetic` has a length of 4 to 4
    hint: its lengths are 1, 3, 5, ...
    ");
    insta::assert_snapshot!(refusal("synthetic:parity?length=2000&mode=cot"), @r"
    exit 2
    error: synthetic:parity?length=2000&mode=cot: `length` = 2000 is too long for a working
    hint: with mode=cot it is at most 1024
    ");
    assert!(!work.path("run").exists());
}
