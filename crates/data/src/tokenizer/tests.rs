use proptest::prelude::*;

use super::*;

const TEXT: &str =
    "It was the best of times, it was the worst of times,\n\n  it's the age of wisdom — naïve café 日本語 🙂 12,345";

fn bpe() -> Tokenizer {
    let texts = (0..50).map(|i| format!("{TEXT} {i}"));
    Tokenizer::train_bpe(texts, 300).unwrap()
}

/// The JSON of a WordPiece tokenizer, which loses blanks, over the words of [`TEXT`].
fn word_piece() -> Value {
    let words = TEXT.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let vocabulary: std::collections::BTreeSet<&str> = words.chain(["[UNK]", ","]).collect();
    let vocabulary: serde_json::Map<String, Value> =
        vocabulary.into_iter().zip(0..).map(|(word, id)| (word.into(), json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "BertPreTokenizer" }, "post_processor": null,
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": false },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    })
}

fn from_hf(json: &Value) -> Tokenizer {
    Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
}

fn streamed(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    let mut detokenizer = tokenizer.detokenizer();
    let mut text: String = tokens.iter().map(|&token| detokenizer.push(token)).collect();
    text += &detokenizer.finish();
    text
}

proptest! {
    #[test]
    fn bytes_round_trip(text: Vec<u8>) {
        let tokenizer = Tokenizer::bytes();
        let tokens = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(tokens.len(), text.len());
        prop_assert_eq!(tokenizer.decode(&tokens), text);
    }

    #[test]
    fn the_detokenizer_shows_all_bytes_once(ids in prop::collection::vec(0_u32..258, 0..200)) {
        let tokenizer = Tokenizer::bytes();
        let expected = String::from_utf8_lossy(&tokenizer.decode(&ids)).into_owned();
        prop_assert_eq!(streamed(&tokenizer, &ids), expected);
    }
}

#[test]
fn any_text_round_trips_through_bpe() {
    let tokenizer = bpe();
    assert_eq!(tokenizer.vocab_size(), 300);
    assert!(tokenizer.is_lossless() && tokenizer.cuts_text());
    proptest!(ProptestConfig::with_cases(200), |(text in "\\PC{0,60}|[ \\t\\n\\ra-z<|>]{0,60}|(.|\\n){0,60}")| {
        let tokens = tokenizer.encode(text.as_bytes()).unwrap();
        prop_assert!(!tokens.contains(&tokenizer.document_token()));
        prop_assert_eq!(tokenizer.decode(&tokens), text.as_bytes());
        prop_assert_eq!(streamed(&tokenizer, &tokens), text);
    });
    proptest!(|(ids in prop::collection::vec(0_u32..300, 0..100))| {
        let expected = String::from_utf8_lossy(&tokenizer.decode(&ids)).into_owned();
        prop_assert_eq!(streamed(&tokenizer, &ids), expected);
    });
}

#[test]
fn the_fast_way_gives_the_tokens_of_the_library() {
    let tokenizer = bpe();
    let text = tokenizer.text().unwrap();
    assert!(text.words.is_some());
    proptest!(ProptestConfig::with_cases(500), |(s in "([ \\t\\n\u{a0}\u{3000}]{0,4}|[a-zéß語]{1,5}|'[a-z]{1,2}|[0-9Ⅷ²]{1,3}|[,.!_<|>-]{1,3}|\\PC){0,25}")| {
        let slow = text.encode_slowly(&s);
        prop_assert_eq!(text.encode(s.as_bytes()), slow.clone());
        prop_assert_eq!(text.encode(s.as_bytes()), slow, "words that are remembered");
    });
}

#[test]
fn training_is_repeatable_and_saving_keeps_everything() {
    let (a, b) = (bpe(), bpe());
    assert_eq!(a.fingerprint(), b.fingerprint());
    let folder = tempfile::tempdir().unwrap();
    for tokenizer in [a, Tokenizer::bytes()] {
        let path = folder.path().join("tokenizer.json");
        tokenizer.save(&path).unwrap();
        let read = Tokenizer::from_file(&path).unwrap();
        assert_eq!(read.fingerprint(), tokenizer.fingerprint());
        assert_eq!(read.encode(TEXT.as_bytes()).unwrap(), tokenizer.encode(TEXT.as_bytes()).unwrap());
        assert_eq!((read.vocab_size(), read.document_token()), (tokenizer.vocab_size(), tokenizer.document_token()));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
}

#[test]
fn the_text_of_the_document_token_is_text() {
    let tokenizer = bpe();
    let text = b"a <|document|> b";
    let tokens = tokenizer.encode(text).unwrap();
    assert!(!tokens.contains(&tokenizer.document_token()));
    assert_eq!(tokenizer.text().unwrap().encode_slowly("a <|document|> b").unwrap(), tokens);
    assert_eq!(tokenizer.decode(&tokens), text);
    assert_eq!(tokenizer.decode(&[tokenizer.document_token(), u32::MAX]), b"");
}

#[test]
fn a_tokenizer_that_loses_blanks_is_lossy() {
    let tokenizer = from_hf(&word_piece());
    assert!(!tokenizer.is_lossless());
    let tokens = tokenizer.encode("it was  the best".as_bytes()).unwrap();
    assert_eq!(tokenizer.decode(&tokens), b"it was the best");
    assert_eq!(streamed(&tokenizer, &tokens), "it was the best");
    assert_eq!(tokenizer.document_token() as usize, tokenizer.vocab_size() - 1, "a document token was added");
}

#[test]
fn an_existing_token_serves_as_the_document_token() {
    let mut json = word_piece();
    let id = json["model"]["vocab"].as_object().unwrap().len();
    json["added_tokens"] = json!([{
        "id": id, "content": "[CLS]", "special": true, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false,
    }]);
    let tokenizer = from_hf(&json);
    assert_eq!((tokenizer.vocab_size(), tokenizer.document_token() as usize), (id + 1, id));
}

#[test]
fn a_tokenizer_that_marks_the_start_of_text_gets_whole_documents() {
    let mut json = word_piece();
    json["normalizer"] = json!({ "type": "Prepend", "prepend": "of " });
    assert!(!from_hf(&json).cuts_text());
    assert!(bpe().cuts_text());
}

#[test]
fn long_texts_are_encoded_as_if_in_one_piece() {
    let tokenizer = bpe();
    let text = format!("{TEXT}\n").repeat(3000);
    let tokens = tokenizer.encode(text.as_bytes()).unwrap();
    assert_eq!(tokens, tokenizer.encode_piece(text.as_bytes()).unwrap());
    assert_eq!(tokenizer.decode(&tokens), text.as_bytes());
}

#[test]
fn faults_name_the_file_and_the_offset() {
    let fault = bpe().encode(b"abc\xffd").unwrap_err();
    assert_eq!(fault.to_string(), "the text is not valid UTF-8 at byte 3");
    let far = [&b"ab ".repeat(60_000)[..], b"\xff"].concat();
    assert_eq!(bpe().encode(&far).unwrap_err().to_string(), "the text is not valid UTF-8 at byte 180000");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    for content in ["{", "{\"a\": 1}"] {
        std::fs::write(&path, content).unwrap();
        let fault = Tokenizer::from_file(&path).unwrap_err();
        assert!(fault.is_usage() && fault.to_string().contains("tokenizer.json is not a tokenizer"), "{fault}");
    }
    let fault = Tokenizer::from_file(folder.path().join("none.json")).unwrap_err();
    assert!(fault.is_environment(), "{fault}");
    let fault = Tokenizer::train_bpe(["a"].into_iter(), 200).unwrap_err();
    assert!(fault.to_string().contains("200 tokens is too small"), "{fault}");
    let fault = Tokenizer::train_bpe(["text"].into_iter(), usize::MAX).unwrap_err();
    assert!(fault.is_usage() && fault.to_string().contains("tokens is too large"), "{fault}");
    let fault = Tokenizer::train_bpe([""; 0].into_iter(), 300).unwrap_err();
    assert!(fault.to_string().contains("no text to train"), "{fault}");
}
