//! Tokenizers that people bring: text that goes on, and figures where the text survives.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::Work;

/// As Llama 2: a blank before the text, words with their blank, bytes for everything unknown.
fn llama(work: &Work) {
    let mut pieces = vec!["<unk>".to_string(), "<s>".into(), "</s>".into()];
    pieces.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    pieces.push("▁".into());
    pieces.extend(('a'..='z').map(String::from));
    let mut merges: Vec<Value> = Vec::new();
    for word in ["the", "cat", "sat", "on", "mat"] {
        let mut left = "▁".to_string();
        for c in word.chars() {
            merges.push(json!([left, c.to_string()]));
            left.push(c);
            pieces.push(left.clone());
        }
    }
    let mut vocab = serde_json::Map::new();
    for piece in pieces {
        let id = vocab.len();
        vocab.entry(piece).or_insert(json!(id));
    }
    merges.dedup();
    let special = |id: usize, content: &str| json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "pre_tokenizer": null, "post_processor": null,
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ]},
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" }, { "type": "Fuse" }, { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ]},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    });
    work.write("llama.json", &tokenizer.to_string());
}

/// A model that has learned a sentence in words of the Llama kind.
fn trained() -> Work {
    let work = Work::new();
    llama(&work);
    work.write("text.txt", &"the cat sat on the mat and ".repeat(150));
    work.train(&["--steps", "120", "--tokenizer", "llama.json"]).succeeds();
    work
}

#[test]
fn the_first_word_keeps_its_blank() {
    let work = trained();
    let greedy = ["generate", "run", "--tokens", "4", "--temperature", "0", "--json"];
    let generate = |more: &[&str]| work.run(&[&greedy[..], more].concat()).succeeds().json();
    let whole = generate(&["--prompt", "and the cat"]);
    assert_eq!(whole["text"], " sat on the mat");
    work.run(&["state", "save", "run", "--prompt", "and the cat", "--out", "s"]).succeeds();
    assert_eq!(generate(&["--from-state", "s"])["text"], whole["text"], "from a state");
    let streams = generate(&["--prompt", "and the cat", "--streams", "2"]);
    assert!((0..2).all(|index| streams["streams"][index]["text"] == whole["text"]), "{streams}");
    let stopped = generate(&["--prompt", "and the cat", "--stop", " on"]);
    assert_eq!((&stopped["text"], &stopped["stopped"]), (&json!(" sat"), &json!(true)));
    let at_once = generate(&["--prompt", "and the cat", "--stop", " sat"]);
    assert_eq!((&at_once["text"], &at_once["stopped"]), (&json!(""), &json!(true)));
    // What the model expects next is shown with its blank too.
    let expected = work.run(&["state", "load", "run", "s", "--json"]).succeeds().json();
    assert_eq!(expected["expected"][0]["text"], " sat");
    let inspected = work.run(&["tokenizer", "inspect", "llama.json", "--text", "the cat", "--json"]).succeeds().json();
    assert_eq!((&inspected["tokens"][0]["text"], &inspected["tokens"][1]["text"]), (&json!("the"), &json!(" cat")));
}

#[test]
fn a_text_that_survives_has_bits_per_byte() {
    let work = trained();
    let eval = |data: &str| work.run(&["eval", "run", "--data", data, "--json"]).succeeds();
    let score = eval("text.txt").json();
    assert_eq!(score["tokenizer"], "lossless");
    let bits = score["nll"].as_f64().unwrap() / std::f64::consts::LN_2 / 4050.0;
    assert!((score["bits_per_byte"].as_f64().unwrap() / bits - 1.0).abs() < 1e-9, "{score}");
    assert!(score["word_perplexity"].is_f64());
    let metrics = std::fs::read_to_string(work.path("run/metrics.jsonl")).unwrap();
    assert!(metrics.lines().next().unwrap().contains("\"bits_per_byte\":"), "{metrics}");
    // The character that stands for a blank does not come back; the document that holds it is named.
    work.write("more/a.txt", "the cat sat");
    work.write("more/b.txt", "the cat\u{2581}sat");
    let lossy = eval("more");
    assert_eq!((&lossy.json()["tokenizer"], &lossy.json()["bits_per_byte"]), (&json!("lossy"), &Value::Null));
    let said = "more/b.txt: at byte 7, \"▁sat\" comes back as \" sat\"";
    assert!(lossy.stderr.contains(said), "{}", lossy.stderr);
}

#[test]
fn a_part_of_a_document_is_measured_with_its_blank() {
    let work = trained();
    let part = ["eval", "run", "--data", "text.txt", "--context-only", "1", "--limit", "3", "--json"];
    let score = work.run(&part).succeeds().json();
    assert_eq!(score["text"]["bytes"], json!(" cat sat on".len()), "{score}");
}

#[test]
fn a_prompt_is_no_need() {
    let work = Work::trained(5);
    let generate =
        |more: &[&str]| work.run(&[&["generate", "run", "--tokens", "12", "--json"], more].concat()).succeeds().json();
    let alone = generate(&[]);
    assert_eq!((alone["prompt_tokens"].as_u64(), alone["tokens"].as_u64()), (Some(0), Some(12)));
    assert_eq!(generate(&["--prompt", ""])["text"], alone["text"]);
    work.write("empty.txt", "");
    assert_eq!(generate(&["--file", "empty.txt"])["text"], alone["text"]);
    // A state of nothing is a mistake.
    assert_eq!(work.run(&["state", "save", "run", "--prompt", "", "--out", "s"]).code, 2);
}

#[test]
fn a_pipe_goes_on_from_a_state() {
    let work = Work::trained(5);
    work.run(&["state", "save", "run", "--prompt", "The quick ", "--out", "s"]).succeeds();
    work.write("prompt.txt", "brown fox");
    let greedy = ["generate", "run", "--from-state", "s", "--tokens", "12", "--json"];
    let named = work.run(&[&greedy[..], &["--prompt", "brown fox"]].concat()).succeeds().json();
    let file = std::fs::File::open(work.path("prompt.txt")).unwrap();
    let piped = work.command(&greedy).stdin(Stdio::from(file)).output().unwrap();
    let piped: Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert_eq!((&piped["prompt_tokens"], &piped["text"]), (&json!(9), &named["text"]));
}
