//! `percept tokenizer export`: bytes, a World vocabulary, a run; and what it refuses.

use serde_json::{Value, json};

use crate::support::Work;

/// Text in which tokens begin alike, a character has several bytes, and the name of the document token stands.
const TEXT: &str = "the then\t\t ther né 日<|document|>\r\n";

/// A World vocabulary: all bytes, and some words.
fn world(work: &Work) {
    let bytes = (0..=255u8).map(|byte| format!("{} b'\\x{byte:02x}' 1\n", u32::from(byte) + 1));
    let words = ["257 'the' 3\n", "258 'then' 4\n", "259 '\\t\\t' 2\n", "260 'né' 3\n"].map(String::from);
    work.write("world.txt", &bytes.chain(words).collect::<String>());
}

fn inspected(work: &Work, tokenizer: &str) -> Value {
    work.run(&["tokenizer", "inspect", tokenizer, "--text", TEXT, "--json"]).succeeds().json()
}

fn read(work: &Work, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(work.path(name)).unwrap()).unwrap()
}

#[test]
fn what_is_exported_gives_the_same_ids() {
    let work = Work::trained(1);
    world(&work);
    for (tokenizer, vocab, document) in [("bytes", 257, 256), ("world.txt", 261, 0), ("run", 257, 256)] {
        let out = format!("out/{tokenizer}");
        let export = ["tokenizer", "export", tokenizer, "--out", &out, "--json"];
        let said = json!({ "out": out, "vocab": vocab, "document_token": document });
        assert_eq!(work.run(&export).succeeds().json(), said);
        let original = if tokenizer == "run" { "run/tokenizer.json" } else { tokenizer };
        let (ours, theirs) = (inspected(&work, original), inspected(&work, &format!("{out}/tokenizer.json")));
        assert_eq!(ours["tokens"], theirs["tokens"], "{tokenizer}");
        assert_eq!((&theirs["vocab"], &theirs["document_token"]), (&json!(vocab), &json!(document)));
        let config = read(&work, &format!("{out}/tokenizer_config.json"));
        assert_eq!((&config["bos_token"], &config["eos_token"]), (&json!("<|document|>"), &json!("<|document|>")));
    }
    let said = work.run(&["tokenizer", "export", "bytes", "--out", "said"]).succeeds();
    assert_eq!(said.stdout, "said: bytes in Hugging Face's format\n");
    // No listing of text takes it for text.
    let data = work.run(&["data", "stats", "out", "--json"]);
    assert!(data.refusal().contains("what Percept wrote is left out"), "{}", data.stderr);
}

#[test]
fn a_tokenizer_of_hugging_faces_stays_what_it_is() {
    let work = Work::new();
    work.run(&["tokenizer", "train", "text.txt", "--vocab", "270"]).succeeds();
    work.run(&["tokenizer", "export", "tokenizer.json", "--out", "out"]).succeeds();
    let (ours, theirs) = (inspected(&work, "tokenizer.json"), inspected(&work, "out/tokenizer.json"));
    assert_eq!(ours, theirs);
}

#[test]
fn what_is_in_the_way_stays() {
    let work = Work::trained(1);
    work.write("texts/a.txt", "text");
    let export = |tokenizer: &str, out: &str| work.run(&["tokenizer", "export", tokenizer, "--out", out]).refusal();
    work.run(&["tokenizer", "export", "bytes", "--out", "out"]).succeeds();
    let before = std::fs::read(work.path("out/tokenizer.json")).unwrap();
    work.run(&["tokenizer", "train", "text.txt", "--vocab", "270"]).succeeds();
    insta::assert_snapshot!(export("tokenizer.json", "out"), @r"
    exit 2
    error: out/tokenizer.json is there already
    hint: choose a new folder
    ");
    assert_eq!(std::fs::read(work.path("out/tokenizer.json")).unwrap(), before);
    insta::assert_snapshot!(export("bytes", "run"), @r"
    exit 2
    error: run/tokenizer.json is there already
    hint: choose a new folder
    ");
    insta::assert_snapshot!(export("bytes", "texts"), @r"
    exit 2
    error: texts holds other files
    hint: choose a new folder
    ");
    insta::assert_snapshot!(export("bytes", "text.txt"), @r"
    exit 3
    error: cannot write [DIR]/text.txt: Not a directory (os error 20)
    hint: a part of this path is a file: choose another folder
    ");
    assert_eq!(std::fs::read_dir(work.path("texts")).unwrap().count(), 1);
}

#[test]
fn what_is_no_tokenizer_is_named() {
    let work = Work::new();
    work.write("texts/a.txt", "text");
    world(&work);
    let mut taken = std::fs::read_to_string(work.path("world.txt")).unwrap();
    taken += "261 '<|document|>' 12\n";
    work.write("taken.txt", &taken);
    work.write("broken.txt", &taken.replace("\n17 ", "\n18 "));
    let export = |tokenizer: &str| work.run(&["tokenizer", "export", tokenizer, "--out", "out"]).refusal();
    insta::assert_snapshot!(export("nothing"), @r"
    exit 3
    error: cannot read tokenizer nothing: No such file or directory (os error 2)
    hint: check the path
    ");
    insta::assert_snapshot!(export("texts"), @r"
    exit 3
    error: cannot read tokenizer texts/tokenizer.json: No such file or directory (os error 2)
    hint: check the path
    ");
    insta::assert_snapshot!(export("texts/a.txt"), @r"
    exit 2
    error: texts/a.txt is not a tokenizer: not JSON: expected ident at line 1 column 2
    hint: give a Hugging Face tokenizer.json, train one with `percept tokenizer train`, or use `bytes`
    ");
    insta::assert_snapshot!(export("taken.txt"), @r"
    exit 2
    error: a token of the vocabulary is the text <|document|>
    hint: that is what the document token is called in Hugging Face's format
    ");
    insta::assert_snapshot!(export("broken.txt"), @r"
    exit 2
    error: broken.txt is not a tokenizer: the token 18 is empty, or not the only one of its id or bytes
    hint: give a Hugging Face tokenizer.json, train one with `percept tokenizer train`, or use `bytes`
    ");
    insta::assert_snapshot!(work.run(&["tokenizer", "export", "bytes"]).refusal(), @r"
    exit 2
    error: the following required arguments were not provided: --out <FOLDER>
    hint: `percept tokenizer export --help` shows what is accepted
    ");
    assert!(!work.path("out").exists());
}
