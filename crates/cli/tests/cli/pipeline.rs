//! The main road: look at the text, train, resume, evaluate, generate, save a state.

use crate::support::Work;

#[test]
fn train_evaluate_generate() {
    let work = Work::new();
    let trained = work.train(&["--steps", "60", "--json", "--quiet"]).succeeds();
    assert_eq!((trained.json()["step"].as_u64(), trained.json()["finished"].as_bool()), (Some(60), Some(true)));
    assert_eq!(trained.stderr, "");

    let score = work.run(&["eval", "run", "--data", "text.txt", "--json"]).succeeds().json();
    let bytes = std::fs::metadata(work.path("text.txt")).unwrap().len();
    assert_eq!(score["targets"].as_u64(), Some(bytes));
    let bits = score["bits_per_byte"].as_f64().unwrap();
    assert!(bits < 4.0, "60 steps on a repeated sentence: {bits}");
    for key in ["model", "protocol", "nll", "token_perplexity", "word_perplexity"] {
        assert!(!score[key].is_null(), "{key}");
    }
    let counted = work.run(&["eval", "run", "--data", "text.txt", "--words", "1000", "--json"]).succeeds().json();
    let perplexity = (score["nll"].as_f64().unwrap() / 1000.0).exp();
    assert!((counted["word_perplexity"].as_f64().unwrap() / perplexity - 1.0).abs() < 1e-9, "{counted}");
    assert_eq!(counted["text"]["words"].as_u64(), Some(1000));
    assert_eq!(work.run(&["eval", "run", "--data", "text.txt", "--words", "0"]).code, 2);
    let windows = ["eval", "run", "--data", "text.txt", "--window", "64", "--stride", "32", "--json"];
    let slid = work.run(&windows).succeeds().json();
    assert_eq!(
        (slid["targets"].as_u64(), slid["protocol"].as_str()),
        (Some(bytes), Some("sliding window w = 64, t = 32"))
    );

    let generated =
        work.run(&["generate", "run", "--prompt", "The quick", "--tokens", "40", "--json"]).succeeds().json();
    assert_eq!((generated["prompt_tokens"].as_u64(), generated["tokens"].as_u64()), (Some(9), Some(40)));
    for key in ["text", "ms_per_token", "state_bytes"] {
        assert!(!generated[key].is_null(), "{key}");
    }
}

/// `auto` stands for what this machine has, which the run then names; so it shows which of several settings won.
#[test]
fn the_environment_chooses_the_precision_and_a_flag_wins() {
    let work = Work::new();
    let precision = |run: &str, environment: &str, more: &[&str]| {
        let mut command = work.training(&[&["--steps", "1", "--run", run, "--quiet"], more].concat());
        let output = command.env("PERCEPT_TRAIN__PRECISION", environment).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let environment = std::fs::read_to_string(work.path(run).join("environment.json")).unwrap();
        let environment: serde_json::Value = serde_json::from_str(&environment).unwrap();
        environment["precision"].as_str().unwrap().to_owned()
    };
    let taken = precision("auto", "auto", &[]);
    assert_eq!(precision("plain", "f32", &[]), "f32");
    assert_eq!(precision("flag", "f32", &["--precision", "auto"]), taken);
    assert_eq!(precision("other", "auto", &["--precision", "f32"]), "f32");
    let mut refused = work.training(&["--steps", "1", "--run", "none"]);
    let refused = refused.env("PERCEPT_TRAIN__PRECISION", "half").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("PERCEPT_TRAIN__PRECISION"), "{refused:?}");
}

#[test]
fn generation_repeats_with_its_seed_and_streams_the_same_text() {
    let work = Work::trained(20);
    let arguments = ["generate", "run", "--prompt", "The", "--tokens", "50", "--seed", "3", "--top-p", "0.9"];
    let streamed = work.run(&arguments).succeeds();
    let json = work.run(&[&arguments[..], &["--json"]].concat()).succeeds().json();
    assert_eq!(Some(streamed.stdout.as_str()), json["text"].as_str());
    let other = work.run(&["generate", "run", "--prompt", "The", "--tokens", "50", "--seed", "4", "--top-p", "0.9"]);
    assert_ne!(streamed.stdout, other.succeeds().stdout);
}

#[test]
fn streams_are_the_texts_of_their_seeds() {
    let work = Work::trained(20);
    let arguments = |more: &[&'static str]| [&["generate", "run", "--prompt", "The", "--tokens", "30"], more].concat();
    let single = |seed| work.run(&arguments(&["--seed", seed, "--json"])).succeeds().json();
    let singles = ["3", "4", "5"].map(single);
    let all = work.run(&arguments(&["--seed", "3", "--streams", "3", "--json"])).succeeds().json();
    let streams = all["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 3);
    for (index, (stream, single)) in streams.iter().zip(&singles).enumerate() {
        assert_eq!(stream["seed"].as_u64(), Some(3 + index as u64));
        for key in ["tokens", "text", "state_bytes", "stopped"] {
            assert_eq!(stream[key], single[key], "{key} of text {index}");
        }
    }
    let sum = |key: &str| streams.iter().map(|stream| stream[key].as_u64().unwrap()).sum::<u64>();
    for key in ["tokens", "state_bytes"] {
        assert_eq!(all[key].as_u64(), Some(sum(key)), "{key}");
    }
    assert!(all["ms_per_token"].is_f64() && all["prompt_tokens"] == singles[0]["prompt_tokens"]);
    let shown = work.run(&arguments(&["--seed", "3", "--streams", "2"])).succeeds().stdout;
    let text = |index: usize| {
        let text = singles[index]["text"].as_str().unwrap();
        format!(
            "== text {} of 2, seed {} ==\n{text}{}",
            index + 1,
            3 + index,
            if text.ends_with('\n') { "" } else { "\n" }
        )
    };
    assert_eq!(shown, text(0) + &text(1));
    assert_eq!(work.run(&arguments(&["--streams", "0"])).code, 2);
}

#[test]
fn a_stop_string_ends_the_text() {
    let work = Work::trained(150);
    let arguments = ["generate", "run", "--prompt", "The quick brown ", "--temperature", "0", "--tokens", "80"];
    let text = work.run(&arguments).succeeds().stdout;
    let stop = " ";
    let at = text.find(stop).expect("a space in eighty tokens");
    let stopped = work.run(&[&arguments[..], &["--stop", stop, "--json"]].concat()).succeeds().json();
    assert_eq!((stopped["text"].as_str(), stopped["stopped"].as_bool()), (Some(&text[..at]), Some(true)));
}

#[test]
fn a_prompt_comes_from_a_flag_a_file_or_a_pipe() {
    let work = Work::trained(5);
    work.write("prompt.txt", "The quick");
    let common = ["generate", "run", "--tokens", "12"];
    let flag = work.run(&[&common[..], &["--prompt", "The quick"]].concat()).succeeds().stdout;
    let file = work.run(&[&common[..], &["--file", "prompt.txt"]].concat()).succeeds().stdout;
    let piped = work.command(&common).stdin(std::fs::File::open(work.path("prompt.txt")).unwrap()).output().unwrap();
    assert_eq!((&flag, flag.as_str()), (&file, &*String::from_utf8_lossy(&piped.stdout)));
}

#[test]
fn a_state_goes_on_where_its_text_ends() {
    let work = Work::trained(10);
    let whole = ["generate", "run", "--prompt", "The quick brown fox", "--tokens", "20", "--temperature", "0"];
    let whole = work.run(&whole).succeeds().stdout;
    let saved = work.run(&["state", "save", "run", "--prompt", "The quick ", "--out", "s", "--json"]).succeeds().json();
    assert_eq!(saved["position"].as_u64(), Some(11));
    let rest =
        ["generate", "run", "--from-state", "s", "--prompt", "brown fox", "--tokens", "20", "--temperature", "0"];
    assert_eq!(work.run(&rest).succeeds().stdout, whole);
    let inspected = work.run(&["state", "inspect", "s", "--json"]).succeeds().json();
    assert_eq!((inspected["position"].as_u64(), &inspected["state_bytes"]), (Some(11), &saved["state_bytes"]));
    let loaded = work.run(&["state", "load", "run", "s", "--json"]).succeeds().json();
    assert_eq!(loaded["expected"].as_array().map(Vec::len), Some(5));
    // Without a prompt, generation goes on from the state alone.
    let alone = work.run(&["generate", "run", "--from-state", "s", "--tokens", "5", "--json"]).succeeds().json();
    assert_eq!((alone["prompt_tokens"].as_u64(), alone["tokens"].as_u64()), (Some(0), Some(5)));
}

#[test]
fn a_tokenizer_is_trained_and_used() {
    let work = Work::new();
    let trained = work.run(&["tokenizer", "train", "text.txt", "--vocab", "270", "--json"]).succeeds().json();
    assert_eq!((trained["vocab"].as_u64(), trained["lossless"].as_bool()), (Some(270), Some(true)));
    let inspected =
        work.run(&["tokenizer", "inspect", "tokenizer.json", "--text", "The fox", "--json"]).succeeds().json();
    let pieces = inspected["tokens"].as_array().unwrap();
    let text: String = pieces.iter().map(|piece| piece["text"].as_str().unwrap()).collect();
    assert_eq!(text, "The fox");
    work.train(&["--steps", "5", "--tokenizer", "tokenizer.json"]).succeeds();
    let score = work.run(&["eval", "run", "--data", "text.txt", "--json"]).succeeds().json();
    assert!(score["targets"].as_u64().unwrap() < 3840 && score["bits_per_byte"].is_f64());
}

#[test]
fn data_is_counted_before_training() {
    let work = Work::new();
    work.write("more/a.txt", "one two\nthree");
    work.write("more/b.jsonl", "{\"text\": \"four\"}\n{\"text\": \"five six\"}\n");
    let stats = work.run(&["data", "stats", "more", "--json"]).succeeds().json();
    assert_eq!(
        (stats["documents"].as_u64(), stats["bytes"].as_u64(), stats["words"].as_u64()),
        (Some(3), Some(25), Some(6))
    );
    let inspected = work.run(&["data", "inspect", "more", "--documents", "1", "--json"]).succeeds().json();
    assert_eq!(inspected["documents"][0]["text"], "one two\nthree");
}

#[test]
fn training_starts_from_the_weights_of_another_run() {
    let work = Work::trained(30);
    work.train(&["--steps", "1", "--run", "second", "--init-from", "run"]).succeeds();
    let first_loss = |run: &str| {
        let metrics = std::fs::read_to_string(work.path(run).join("metrics.jsonl")).unwrap();
        let line: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
        line["loss"].as_f64().unwrap()
    };
    assert!(first_loss("second") < first_loss("run") - 0.5, "{} {}", first_loss("second"), first_loss("run"));
}
