//! Texts of single tokens, whatever the tokenizer: blanks between words, characters across tokens.

use std::sync::Arc;

use percept_data::Tokenizer;
use percept_model::{LanguageModel, ModelConfig};
use percept_serve::{Access, Limits, ServedModel};
use serde_json::{Value, json};

use crate::support::{Running, config};

fn serving(tokenizer: &Tokenizer) -> Running {
    let config = ModelConfig { vocab: tokenizer.vocab_size(), ..config() };
    let model = Arc::new(LanguageModel::new(&config, 3, &Default::default()).unwrap().into());
    let served = ServedModel { name: "tiny".into(), model, tokenizer: tokenizer.clone() };
    Running::of(Limits::default(), Access::Loopback, vec![served])
}

/// As RWKV's World tokenizer: all bytes, and tokens that hold parts of characters.
fn world() -> Tokenizer {
    let byte = |byte: u8| match byte {
        b'\'' | b'\\' => format!("'\\{}'", char::from(byte)),
        b' '..=b'~' => format!("'{}'", char::from(byte)),
        _ => format!("b'\\x{byte:02x}'"),
    };
    let bytes = (0..=u8::MAX).map(|value| format!("{} {} 1\n", u32::from(value) + 1, byte(value)));
    let more = ["257 ' the' 4\n", "258 b'\\xe6\\x97' 2\n", "259 b'\\xa5a' 2\n"].map(String::from);
    Tokenizer::from_vocabulary(bytes.chain(more).collect::<String>().as_bytes()).unwrap()
}

/// As BERT: words, between which its decoder puts blanks.
fn words() -> Tokenizer {
    let special = |id: usize, content: &str| {
        json!({
            "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false,
        })
    };
    let names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", "é"];
    let vocab: serde_json::Map<String, Value> =
        names.iter().enumerate().map(|(id, name)| ((*name).to_owned(), json!(id))).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "post_processor": null,
        "added_tokens": names[..5].iter().enumerate().map(|(id, name)| special(id, name)).collect::<Vec<_>>(),
        "normalizer": null,
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    });
    Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
}

/// The bytes of a token's text, as it is told.
fn bytes(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    match text.strip_prefix("bytes:") {
        Some(hex) => hex.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect(),
        None => text.as_bytes().to_vec(),
    }
}

#[test]
fn texts_of_tokens_join_to_the_text_and_stand_where_they_say() {
    let cases = [(Tokenizer::bytes(), "the é cats"), (world(), "on the 日a 日b é"), (words(), "the cats sat é the")];
    for (tokenizer, prompt) in cases {
        let server = serving(&tokenizer);
        let body = json!({ "prompt": prompt, "max_tokens": 0, "echo": true, "logprobs": 5 });
        let choice = server.complete(&body.to_string())["choices"][0].clone();
        assert_eq!(choice["text"], prompt);
        let tokens = choice["logprobs"]["tokens"].as_array().unwrap();
        let joined = tokens.iter().flat_map(bytes).collect::<Vec<u8>>();
        assert_eq!(String::from_utf8_lossy(&joined), prompt, "{tokens:?}");
        let (mut before, offsets) = (Vec::new(), choice["logprobs"]["text_offset"].as_array().unwrap());
        for (token, offset) in tokens.iter().zip(offsets) {
            // The characters before it that are whole.
            let whole = before.utf8_chunks().next().map_or(0, |chunk| chunk.valid().chars().count());
            assert_eq!(offset.as_u64(), Some(whole as u64), "{tokens:?} {offsets:?}");
            before.extend(bytes(token));
        }
    }
}

#[test]
fn a_word_keeps_its_blank_after_the_prompt() {
    let server = serving(&words());
    let bias = json!({ "8": 100 });
    let body = json!({ "prompt": "the cat", "max_tokens": 2, "temperature": 0, "logprobs": 1, "logit_bias": bias });
    let choice = server.complete(&body.to_string())["choices"][0].clone();
    assert_eq!((&choice["text"], &choice["logprobs"]["tokens"]), (&json!(" sat sat"), &json!([" sat", " sat"])));
    assert_eq!(choice["logprobs"]["text_offset"], json!([7, 11]));
    // Alternatives have theirs, too.
    let body = json!({ "prompt": "the", "max_tokens": 1, "logprobs": 10, "seed": 1 });
    let top = server.complete(&body.to_string())["choices"][0]["logprobs"]["top_logprobs"][0].clone();
    assert!(top[" cat"].is_f64() && top["s"].is_f64() && top["cat"].is_null(), "{top}");
}

#[test]
fn a_character_that_the_prompt_begins_is_ended_by_the_text() {
    let server = serving(&Tokenizer::bytes());
    let bias = json!({ "169": 100 });
    let mut body = json!({ "prompt": [97, 195], "max_tokens": 1, "temperature": 0, "logprobs": 0, "logit_bias": bias });
    let choice = server.complete(&body.to_string())["choices"][0].clone();
    assert_eq!((&choice["text"], &choice["logprobs"]["text_offset"]), (&json!("é"), &json!([1])));
    body["echo"] = json!(true);
    let choice = server.complete(&body.to_string())["choices"][0].clone();
    assert_eq!((&choice["text"], &choice["logprobs"]["text_offset"]), (&json!("aé"), &json!([0, 1, 1])));
    // Nothing ends it.
    body["max_tokens"] = json!(0);
    assert_eq!(server.complete(&body.to_string())["choices"][0]["text"], "a\u{fffd}");
}
