//! `percept eval --suite`.

use serde_json::Value;

use crate::support::{Finished, Work};

/// Suites without their wall-clock times.
fn suites(finished: Finished) -> Vec<Value> {
    let mut suites = finished.succeeds().json()["suites"].as_array().unwrap().clone();
    for suite in &mut suites {
        assert!(suite.as_object_mut().unwrap().remove("seconds").unwrap().is_f64());
    }
    suites
}

fn sum(cells: &Value, key: &str) -> u64 {
    cells.as_array().unwrap().iter().map(|cell| cell[key].as_u64().unwrap()).sum()
}

#[test]
fn all_suites_are_in_the_one_object() {
    let work = Work::trained(60);
    let arguments = ["eval", "run", "--data", "text.txt", "--suite", "all", "--suite-samples", "3", "--json"];
    let score = work.run(&arguments).succeeds().json();
    let results = suites(work.run(&arguments));
    assert_eq!(results, suites(work.run(&arguments)), "it repeats");
    let names: Vec<_> = results.iter().map(|suite| suite["suite"].as_str().unwrap()).collect();
    assert_eq!(names, ["position", "context", "recall", "copy", "needle"]);
    let [position, context, recall, copy, needle] = &results[..] else { unreachable!("five names") };
    for buckets in ["logarithmic", "linear"] {
        assert_eq!(sum(&position[buckets], "targets"), score["targets"].as_u64().unwrap());
    }
    let points = context["points"].as_array().unwrap();
    let contexts: Vec<_> = points.iter().map(|point| point["context"].as_u64().unwrap()).collect();
    assert_eq!(contexts, [0, 8, 16, 32, 64]);
    assert!(points[4]["gain_bits_per_byte"].as_f64() > Some(0.5), "a repeated sentence: {}", points[4]);
    assert!(points[4]["gain_standard_error"].is_f64() && points[4]["targets"] == 3);
    assert_eq!((&recall["chance"], &copy["chance"], &needle["chance"]), (&0.1.into(), &0.0625.into(), &0.1.into()));
    assert_eq!(sum(&copy["reverse"]["by_size"], "trials"), 3 * (8 + 16));
    assert_eq!(sum(&recall["cells"], "trials"), sum(&recall["by_distance"], "trials"));
    assert_eq!((&needle["haystack"], &needle["seed"]), (&"text".into(), &1.into()));
    for cell in needle["cells"].as_array().unwrap() {
        let [low, accuracy, high] = ["low", "accuracy", "high"].map(|key| cell[key].as_f64().unwrap());
        assert!(low <= accuracy && accuracy <= high && cell["trials"] == 3 && cell["depth"].is_f64());
    }
    let other = suites(work.run(&[&arguments[..], &["--seed", "2"]].concat()));
    assert!(other[0]["linear"] == position["linear"] && other[1]["points"] != context["points"]);
}

#[test]
fn tasks_need_no_text() {
    let work = Work::trained(5);
    let finished = work.run(&["eval", "run", "--suite", "all", "--suite-samples", "2", "--json"]).succeeds();
    assert!(finished.stderr.contains("position and context are left out"), "{}", finished.stderr);
    let json = finished.json();
    assert!(json["nll"].is_null() && json["model"].as_str().unwrap().contains("run"));
    let names: Vec<_> = json["suites"].as_array().unwrap().iter().map(|suite| suite["suite"].clone()).collect();
    assert_eq!(names, ["recall", "copy", "needle"]);
    assert_eq!(json["suites"][2]["haystack"], "synthetic");
}

#[test]
fn a_text_of_one_byte_has_the_suites_that_it_allows() {
    let work = Work::trained(5);
    work.write("one.txt", "a");
    let arguments =
        |suite: &'static str| ["eval", "run", "--data", "one.txt", "--suite", suite, "--suite-samples", "2"];
    let text = work.run(&arguments("all")).succeeds();
    for suite in ["associative recall", "reverse copy", "needle in a haystack"] {
        assert!(text.stdout.contains(suite), "{suite} in {}", text.stdout);
    }
    for reason in [
        "the suite position is left out: all targets have the same place in their documents",
        "the suite context is left out: no document of the text has two tokens",
    ] {
        assert!(text.stderr.contains(reason), "{reason} in {}", text.stderr);
    }
    let json = work.run(&[&arguments("all")[..], &["--json"]].concat()).succeeds().json();
    let names: Vec<_> = json["suites"].as_array().unwrap().iter().map(|suite| suite["suite"].clone()).collect();
    assert_eq!((names, &json["targets"]), (vec!["recall".into(), "copy".into(), "needle".into()], &1.into()));
    let left_out: Vec<_> = json["left_out"].as_array().unwrap().iter().map(|one| one["suite"].clone()).collect();
    assert_eq!(left_out, ["position", "context"]);
    assert!(json["left_out"][1]["reason"].as_str().unwrap().contains("none has context"), "{json}");
    for (suite, message) in [("position", "there is no loss by position"), ("context", "none has context")] {
        let alone = work.run(&[&arguments(suite)[..], &["--json"]].concat());
        assert!(alone.code == 2 && alone.stderr.contains(message), "{}", alone.refusal());
        assert!(alone.stderr.contains("hint: give a longer text"), "{}", alone.stderr);
    }
}

#[test]
fn a_text_without_spaces_has_figures_per_character() {
    let work = Work::trained(5);
    work.write("chinese.txt", &"今天天气很好我们一起去公园散步然后回家吃饭".repeat(40));
    let text = work.run(&["eval", "run", "--data", "chinese.txt"]).succeeds().stdout;
    for part in ["word perplexity    not defined: no spaces\n", "bits per character ", "over 840 characters"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("inf") && !text.contains("NaN"), "{text}");
    let json = work.run(&["eval", "run", "--data", "chinese.txt", "--json"]).succeeds().json();
    assert_eq!((&json["word_perplexity"], &json["word_perplexity_undefined"]), (&Value::Null, &"no spaces".into()));
    let [bits, perplexity] = ["bits_per_character", "character_perplexity"].map(|key| json[key].as_f64().unwrap());
    assert!((perplexity.log2() / bits - 1.0).abs() < 1e-9, "{bits} {perplexity}");
    // Line ends and ideographic blanks are no blanks between words.
    for (name, line) in [("verse.txt", "今天天气\n很好我们　一起\n"), ("thai.txt", "วันนี้อากาศดีมาก\nเราไปเดินเล่น\n")]
    {
        work.write(name, &line.repeat(40));
        let verse = work.run(&["eval", "run", "--data", name, "--json"]).succeeds().json();
        assert_eq!(
            (&verse["word_perplexity"], &verse["word_perplexity_undefined"]),
            (&Value::Null, &"no spaces".into())
        );
        let counted = work.run(&["eval", "run", "--data", name, "--words", "1000", "--json"]).succeeds().json();
        assert!(counted["word_perplexity"].is_f64(), "{counted}");
    }
    let counted = work.run(&["eval", "run", "--data", "chinese.txt", "--words", "3", "--json"]).succeeds().json();
    assert_eq!(counted["word_perplexity_undefined"], "too large for a number");
    let words = work.run(&["eval", "run", "--data", "text.txt", "--json"]).succeeds().json();
    assert!(words["word_perplexity"].is_f64() && words["word_perplexity_undefined"].is_null());
}

#[test]
fn tables_fit_a_terminal() {
    let work = Work::trained(5);
    let arguments = ["eval", "run", "--data", "text.txt", "--suite", "all", "--suite-samples", "2"];
    let text = work.run(&[&arguments[..], &["--suite-length", "2000"]].concat()).succeeds().stdout;
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for part in
        ["loss by position", "gain of context", "associative recall", "reverse copy", "depth \\ length", "6.2 %"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn mistakes_are_refused_before_work_begins() {
    let work = Work::new();
    let refusal = |arguments: &[&str]| work.run(&[&["eval", "absent"], arguments].concat()).refusal();
    insta::assert_snapshot!(refusal(&["--suite", "copy,neddle"]), @r"
    exit 2
    error: unknown suite `neddle`
    hint: did you mean `needle`?
    ");
    insta::assert_snapshot!(refusal(&["--suite", "context"]), @r"
    exit 2
    error: the suite `context` measures on a text, and there is none
    hint: give one with --data
    ");
    assert!(refusal(&["--suite-samples", "3"]).starts_with("exit 2"));
}

#[test]
fn a_trained_copier_copies_within_its_reach_only() {
    let work = Work::new();
    let accuracy = |length: u64, run: &str| {
        let data = format!("synthetic:copy?length={length}&symbols=4");
        let sets = ["model.dim=32", "model.depth=2", "model.segment=8", "train.batch=16", "train.learning_rate=0.01"];
        let mut arguments = vec!["train", "llp-tiny", "--data", &data, "--run", run, "--steps", "200", "--quiet"];
        let more = ["model.context=64", "train.validate_every=0", "train.sample_every=0", "train.checkpoint_every=0"];
        arguments.extend(sets.iter().chain(&more).flat_map(|set| ["--set", set]));
        work.run(&arguments).succeeds();
        let copy = &suites(work.run(&["eval", run, "--suite", "copy", "--json"]))[0];
        assert_eq!(copy["chance"], 0.25);
        let sizes = copy["copy"]["by_size"].as_array().unwrap();
        let cell = sizes.iter().find(|cell| cell["size"] == length).unwrap();
        ["low", "high"].map(|key| cell[key].as_f64().unwrap())
    };
    // Two layers with segments of 8 reach 23 tokens back.
    let [low, _] = accuracy(6, "near");
    let [far, high] = accuracy(28, "far");
    assert!(low > 0.5, "{low}");
    assert!(far < 0.25 && 0.25 < high, "{far} to {high}");
}
