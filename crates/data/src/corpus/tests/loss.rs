//! What a tokenizer loses of a text.

use super::*;

/// Whether each of some texts survives the tokenizer, as a corpus of its own.
fn survive(tokenizer: &Tokenizer, texts: &[&str]) -> Vec<bool> {
    let one = |text: &&str| {
        let folder = Folder::with(&[("a.txt", text.as_bytes())]);
        let (corpus, notes) = corpus(&folder.config(), tokenizer).unwrap();
        assert_eq!((notes.len(), corpus.loss().is_some()), (usize::from(!corpus.is_lossless()), !corpus.is_lossless()));
        corpus.is_lossless()
    };
    texts.iter().map(one).collect()
}

#[test]
fn the_text_at_hand_says_what_is_lost() {
    let probes =
        ["the cat sat", "  the cat", "the  cat.\nsat", "The Cat", "caf\u{e9}", "cafe\u{301}", "the\u{2581}cat"];
    let lossless = |tokenizer: Tokenizer| survive(&tokenizer, &probes);
    assert_eq!(lossless(kinds::gpt2()), [true; 7]);
    assert_eq!(lossless(kinds::qwen()), [true, true, true, true, true, false, true]);
    assert_eq!(lossless(kinds::llama()), [true, true, true, true, true, true, false]);
    assert_eq!(lossless(kinds::t5())[..5], [true, false, false, false, true]);
    assert_eq!(lossless(kinds::bert())[..4], [true, false, false, false]);
}

#[test]
fn a_long_document_survives_in_its_pieces() {
    let text = "the cat sat on the mat ".repeat(6_000);
    let text = text.trim_end();
    for tokenizer in [kinds::qwen(), kinds::llama(), kinds::t5(), kinds::bert()] {
        assert_eq!(survive(&tokenizer, &[text]), [true], "{tokenizer:?}");
    }
    // Without blanks a piece ends inside a word, before which this kind then puts one.
    assert_eq!(survive(&kinds::t5(), &["mat".repeat(100_000).as_str()]), [!kinds::t5().cuts_text()]);
}

#[test]
fn the_document_that_is_lost_is_named_with_its_place() {
    let records = "{\"text\": \"the cat\"}\n{\"text\": \"na\u{ef}ve cafe\u{301} no\"}\n";
    let folder =
        Folder::with(&[("a.txt", b"the cat"), ("b.jsonl", records.as_bytes()), ("c.txt", "e\u{301}".as_bytes())]);
    for _ in 0..2 {
        let (corpus, notes) = corpus(&folder.config(), &kinds::qwen()).unwrap();
        let loss = format!("{}:2: at byte 10, \"e\\u{{301}} no\" comes back as \"\u{e9} no\"", folder.path("b.jsonl"));
        assert_eq!((corpus.is_lossless(), corpus.loss()), (false, Some(loss.clone())));
        assert!(notes.len() == 1 && notes[0].ends_with(&format!("so there are no bits per byte: {loss}")), "{notes:?}");
    }
    // What is left out is not lost.
    let config = DataConfig { exclude: vec!["*.jsonl".into(), "c.txt".into()], ..folder.config() };
    assert!(corpus(&config, &kinds::qwen()).unwrap().0.is_lossless());
}

#[test]
fn a_cache_that_probe_texts_called_lossy_is_written_again() {
    let folder = Folder::with(&[("a.txt", b"the cat")]);
    let (corpus, _) = corpus(&folder.config(), &kinds::qwen()).unwrap();
    let (path, key) = (cache_files(&folder)[0].clone(), corpus.fingerprint().to_string());
    let meta = Meta { lossless: false, ..corpus.cache.meta.clone() };
    drop(corpus);
    let mut writer = format::Writer::new(&path, meta.width).unwrap();
    writer.write(&vec![7; meta.statistics.tokens as usize]).unwrap();
    writer.record(Record { end: meta.statistics.tokens, ..Record::default() }).unwrap();
    writer.finish(&path, &meta).unwrap();
    let (again, notes) = crate::testing::corpus(&folder.config(), &kinds::qwen()).unwrap();
    assert_eq!((again.is_lossless(), notes.len(), again.fingerprint()), (true, 0, key.as_str()));
    assert_eq!(texts(&again, &kinds::qwen()), ["the cat"]);
}

#[test]
fn a_loss_that_no_probe_shows_is_found_in_the_text() {
    let folder = tempfile::tempdir().unwrap();
    bpe().save(folder.path().join("t.json")).unwrap();
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("t.json")).unwrap()).unwrap();
    json["normalizer"] = serde_json::json!({ "type": "Replace", "pattern": { "String": "xyz" }, "content": "" });
    let rare = kinds::from_json(&json);
    assert!(rare.is_lossless());
    assert_eq!(survive(&rare, &["ab", "a xyz b"]), [true, false]);
}
