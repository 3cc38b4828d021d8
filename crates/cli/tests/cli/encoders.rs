//! Encoders: training, going on, scoring, masks and promises through the binary.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Finished, Work};

/// An encoder that trains in a second.
const TINY: [&str; 12] = [
    "encoder.dim=16",
    "encoder.depth=1",
    "encoder.heads=2",
    "encoder.context=32",
    "encoder.conv_group=8",
    "train.batch=8",
    "train.log_every=1",
    "train.validate_every=0",
    "train.checkpoint_every=5",
    "train.learning_rate=0.02",
    "train.warmup=2",
    "train.keep=99",
];

fn arguments<'a>(preset: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", preset, "--data", "text.txt"];
    arguments.extend(TINY.iter().flat_map(|set| ["--set", *set]));
    arguments.extend(more);
    arguments
}

fn train(work: &Work, preset: &str, more: &[&str]) -> Finished {
    work.run(&arguments(preset, more))
}

fn trained(steps: &str) -> Work {
    let work = Work::new();
    let said = train(&work, "groupbert-tiny", &["--run", "run", "--steps", steps]).succeeds();
    assert!(said.stderr.contains("fill run 'Once upon a [MASK]'"), "{}", said.stderr);
    work
}

#[test]
fn both_kinds_learn_to_tell_masked_words() {
    let work = Work::new();
    for preset in ["groupbert-tiny", "bert-tiny"] {
        let perplexity = |steps: &str| {
            train(&work, preset, &["--run", steps, "--steps", steps]).succeeds();
            let score = work.run(&["eval", steps, "--data", "text.txt", "--limit", "400", "--json"]).succeeds().json();
            assert!(score["protocol"].as_str().unwrap().starts_with("sequences of 32 tokens, words masked"));
            assert_eq!(score["tokens"], 400);
            assert!(score["targets"].as_u64().unwrap() > 10 && score["pseudo"].is_null());
            score["masked_perplexity"].as_f64().unwrap()
        };
        let (before, after) = (perplexity("1"), perplexity("80"));
        assert!(after < before / 4.0, "{preset}: {before} {after}");
        std::fs::remove_dir_all(work.path("1")).unwrap();
        std::fs::remove_dir_all(work.path("80")).unwrap();
    }
}

#[test]
fn an_encoder_is_scored_filled_shown_and_verified() {
    let work = trained("40");
    let eval = ["eval", "run", "--data", "text.txt", "--limit", "60", "--pseudo", "--json"];
    let score = work.run(&eval).succeeds().json();
    assert_eq!(score["pseudo"]["targets"], 60);
    let (sum, perplexity) = (&score["pseudo"]["pseudo_log_likelihood"], &score["pseudo"]["pseudo_perplexity"]);
    let mean = -sum.as_f64().unwrap() / 60.0;
    assert!((mean.exp() / perplexity.as_f64().unwrap() - 1.0).abs() < 1e-9);
    // The same masks again.
    let again = work.run(&eval).succeeds().json();
    assert_eq!(score["loss"], again["loss"]);

    let filled = work.run(&["fill", "run", "The quick br[MASK]wn fox", "--top", "3", "--json"]).succeeds().json();
    assert_eq!(filled["masks"][0].as_array().unwrap().len(), 3);
    assert_eq!(filled["text"].as_str().unwrap().chars().count(), "The quick brown fox".len());
    let said = work.run(&["fill", "run", "The quick br[MASK]wn fox"]).succeeds().stdout;
    assert!(said.contains("mask 1: ") && said.lines().count() == 2, "{said}");

    let verdict = work.run(&["verify", "run", "--json"]).succeeds();
    assert!(verdict.stdout.contains("padding-independence"), "{}", verdict.stdout);
    assert_eq!(work.run(&["verify", "bert-small", "--json"]).succeeds().json()["passed"], true);
    let shown = work.run(&["runs", "show", "run", "--json"]).succeeds().json();
    assert_eq!((&shown["layers"], &shown["status"]), (&"groupbert".into(), &"finished".into()));
}

#[test]
fn a_plan_counts_the_weights_and_matches_the_operations_of_both_kinds() {
    let work = trained("1");
    let settings: Vec<&str> = TINY.iter().flat_map(|set| ["--set", *set]).collect();
    let plan = work.run(&[&["plan", "groupbert-tiny", "--quick", "--json"], &settings[..]].concat()).succeeds().json();
    let shown = work.run(&["runs", "show", "run", "--json"]).succeeds().json();
    assert_eq!(plan["parameters"], shown["parameters"]);
    for size in ["tiny", "small", "base"] {
        let flops = |kind: &str| {
            let plan = work.run(&["plan", &format!("{kind}-{size}"), "--quick", "--json"]).succeeds().json();
            plan["flops_per_token"].as_f64().unwrap()
        };
        let ratio = flops("bert") / flops("groupbert");
        assert!((ratio - 1.0).abs() < 0.04, "{size}: {ratio}");
    }
}

fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let mut lines: Vec<serde_json::Value> = Vec::new();
    for line in text.lines().map_while(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        match line["kind"] == "resumed" {
            true => lines.retain(|earlier| earlier["step"].as_u64() <= line["step"].as_u64()),
            false => lines.push(line),
        }
    }
    for line in &mut lines {
        for key in ["seconds", "tokens_per_second"] {
            line.as_object_mut().unwrap().remove(key);
        }
    }
    lines
}

#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    let work = Work::new();
    let slower = ["--steps", "60", "--set", "encoder.dim=64", "--set", "train.batch=16"];
    train(&work, "groupbert-tiny", &[&slower[..], &["--run", "whole"]].concat()).succeeds();
    let arguments = arguments("groupbert-tiny", &[&slower[..], &["--run", "cut"]].concat());
    let mut child = work.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while metrics(&work.path("cut")).len() < 8 {
        assert!(begin.elapsed() < Duration::from_secs(120), "nothing happens");
        assert!(child.try_wait().unwrap().is_none(), "the run ended too early");
        std::thread::yield_now();
    }
    // SIGKILL: nothing can be saved.
    child.kill().unwrap();
    child.wait().unwrap();
    work.run(&["resume", "cut"]).succeeds();
    let [whole, cut] = ["whole", "cut"].map(|run| work.path(run));
    assert_eq!(metrics(&whole).len(), 61);
    assert_eq!(metrics(&whole), metrics(&cut));
    for file in ["model.safetensors", "optimizer.safetensors"] {
        let bytes = |run: &Path| std::fs::read(run.join("checkpoints/step-000060").join(file)).unwrap();
        assert!(bytes(&whole) == bytes(&cut), "{file} differs");
    }
}

#[test]
fn what_is_about_another_kind_of_model_is_refused() {
    let work = trained("1");
    work.train(&["--steps", "1", "--run", "text-model"]).succeeds();
    insta::assert_snapshot!(work.run(&["generate", "run", "--prompt", "a"]).refusal(), @r"
    exit 2
    error: run holds an encoder, not a language model
    hint: `percept fill run TEXT` and `percept eval run` run it
    ");
    insta::assert_snapshot!(work.run(&["fill", "text-model", "a [MASK]"]).refusal(), @r"
    exit 2
    error: text-model holds a language model, not an encoder
    hint: `percept generate text-model --prompt TEXT` runs it
    ");
    insta::assert_snapshot!(work.run(&["fill", "run", "a mask"]).refusal(), @r"
    exit 2
    error: the text has no [MASK]
    hint: write [MASK] where a token is to be told
    ");
    insta::assert_snapshot!(work.run(&["fill", "run", "[MASK] is more than the encoder has ever seen"]).refusal(), @r"
    exit 2
    error: a sequence of 41 tokens: the encoder knows 32 positions
    hint: shorten the text, or train with a larger encoder.context
    ");
    insta::assert_snapshot!(work.run(&["eval", "run", "--data", "text.txt", "--window", "8"]).refusal(), @r"
    exit 2
    error: --window is for language models, and this run is an encoder
    hint: an encoder takes --data, --limit and --pseudo
    ");
    insta::assert_snapshot!(work.run(&["eval", "text-model", "--data", "text.txt", "--pseudo"]).refusal(), @r"
    exit 2
    error: --pseudo is for encoders, and this run is a language model
    hint: its perplexity needs no mask: leave --pseudo out
    ");
    insta::assert_snapshot!(work.run(&["bench", "train", "bert-tiny"]).refusal(), @r#"
    exit 2
    error: a language model is needed here, and task = "masked"
    hint: `percept presets` lists the others; train, eval, plan, verify and fill take encoders
    "#);
    insta::assert_snapshot!(work.run(&["plan", "groupbert-tiny", "--set", "model.dim=8"]).refusal(), @r#"
    exit 2
    error: --set model.dim=8: `model.dim` says nothing where task = "masked"
    hint: an encoder (task = "masked") has [encoder] and [masking], a language model [model] and [sample]
    "#);
    insta::assert_snapshot!(work.run(&["resume", "run", "--set", "sample.tokens=4", "--steps", "2"]).refusal(), @r#"
    exit 2
    error: --set sample.tokens=4: `sample.tokens` says nothing where task = "masked"
    hint: an encoder (task = "masked") has [encoder] and [masking], a language model [model] and [sample]
    "#);
}
