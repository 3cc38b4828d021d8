//! `percept serve`: which runs it serves, under which names, and how exactly.

use std::io::{BufRead, BufReader};

use crate::serve::{send, start, started};
use crate::support::Work;

fn get(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n")
}

#[test]
fn a_name_stands_before_the_first_equals_sign_unless_the_whole_is_a_folder() {
    let work = Work::trained(1);
    std::fs::rename(work.path("run"), work.path("d=16")).unwrap();
    let (_server, address) = start(&work, &["mine=d=16"]);
    let models = send(&address, &get("/v1/models", ""));
    assert!(models.contains(r#""id":"mine""#), "{models}");
    insta::assert_snapshot!(work.run(&["serve", "d=16"]).refusal(), @r#"
    exit 2
    error: "d=16" is no name for a model
    hint: letters, digits and -_.: make a name; give one with NAME=RUN
    "#);
    insta::assert_snapshot!(work.run(&["serve", "a b=d=16"]).refusal(), @r#"
    exit 2
    error: "a b" is no name for a model
    hint: letters, digits and -_.: make a name; give one with NAME=RUN
    "#);
    assert!(work.run(&["serve", "=d=16"]).refusal().starts_with("exit 2\nerror: \"\" is no name for a model\n"));
}

#[test]
fn the_checkpoint_that_was_asked_for_is_served() {
    let work = Work::new();
    work.train(&["--steps", "2", "--set", "train.checkpoint_every=1"]).succeeds();
    for (which, step) in [("1", 1), ("latest", 2)] {
        let (mut server, _) = start(&work, &["run", "--checkpoint", which]);
        let mut said = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        let loaded = said.find(|line| line.starts_with("run: ")).unwrap();
        assert!(loaded.starts_with(&format!("run: run at step {step}, ")), "{which}: {loaded}");
    }
}

#[test]
fn weights_are_as_exact_as_was_asked_for() {
    let work = Work::trained(3);
    let body = r#"{"prompt":"The quick brown","max_tokens":0,"echo":true,"logprobs":0}"#;
    let length = body.len();
    let request = format!(
        "POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let scores = |weights: &str| -> Vec<f64> {
        let (_server, address) = start(&work, &["run", "--weights", weights]);
        let answer = send(&address, &request);
        let answer: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let scores = answer["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap();
        scores.iter().filter_map(serde_json::Value::as_f64).collect()
    };
    let exact = scores("f32");
    for weights in ["bf16", "int8"] {
        let rounded = scores(weights);
        assert!(rounded.len() == exact.len() && rounded != exact, "{weights}");
        assert!(rounded.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 0.05), "{rounded:?} {exact:?}");
    }
}

#[test]
fn tokens_of_a_file_stand_in_place_of_those_of_the_environment() {
    let work = Work::trained(1);
    work.write("tokens", "a-token-of-the-file\n");
    let mut command = work.command(&["serve", "run", "--listen", "127.0.0.1:0", "--tokens", "tokens"]);
    command.env("PERCEPT_TOKENS", "a-token-of-the-environment");
    let (_server, address) = started(command);
    for (token, status) in [("a-token-of-the-file", "200"), ("a-token-of-the-environment", "401")] {
        let answer = send(&address, &get("/v1/models", token));
        assert!(answer.starts_with(&format!("HTTP/1.0 {status}")), "{token}: {answer}");
    }
}

#[test]
fn beginnings_of_prompts_are_counted_beside_the_texts() {
    let work = Work::trained(1);
    let refused = work.run(&["serve", "run", "--listen", "127.0.0.1:0", "--prefix-cache", "1000000000000000"]);
    let said = refused.refusal();
    assert!(
        refused.code == 3 && said.contains("error: what is kept of texts and of the beginnings of prompts needs about"),
        "{said}"
    );
    assert!(said.contains("hint: give a lower --prefix-cache or --max-streams, or serve fewer runs"), "{said}");
    // Texts that fit without any beginnings are let in.
    let (_server, address) = start(&work, &["run", "--prefix-cache", "0"]);
    assert!(send(&address, &get("/v1/models", "")).starts_with("HTTP/1.0 200"));
}
