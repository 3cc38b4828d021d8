//! Small tokenizers of the kinds that people bring, made here so that no test needs a download.

use serde_json::{Value, json};

use super::Tokenizer;

/// Words that all of them know; the rest is spelled out.
const WORDS: [&str; 8] = ["the", "cat", "sat", "on", "mat", "quick", "fox", "an"];

pub(crate) fn from_json(json: &Value) -> Tokenizer {
    Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
}

fn special(id: usize, content: &str) -> Value {
    json!({
        "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false,
    })
}

fn json_of(model: &Value, added: &[(usize, &str)], parts: &Value) -> Value {
    let added: Vec<Value> = added.iter().map(|(id, content)| special(*id, content)).collect();
    let mut json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": model,
    });
    for (key, value) in parts.as_object().unwrap() {
        json[key] = value.clone();
    }
    json
}

/// As Llama 2: SentencePiece BPE with a blank before the text, and bytes for characters that it does not know.
pub(crate) fn llama() -> Tokenizer {
    let mut pieces = vec!["<unk>".to_string(), "<s>".into(), "</s>".into()];
    pieces.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    pieces.push("▁".into());
    pieces.extend(('a'..='z').chain(['.', ',', '!', '#', '\'']).map(String::from));
    let mut merges = Vec::new();
    for word in WORDS {
        let mut left = "▁".to_string();
        for c in word.chars() {
            merges.push(json!([left, c.to_string()]));
            left.push(c);
            pieces.push(left.clone());
        }
    }
    let vocab: serde_json::Map<String, Value> = {
        let mut seen = std::collections::HashSet::new();
        let unique = pieces.into_iter().filter(|piece| seen.insert(piece.clone()));
        unique.zip(0..).map(|(piece, id)| (piece, json!(id))).collect()
    };
    let mut seen = std::collections::HashSet::new();
    merges.retain(|pair: &Value| seen.insert(pair.to_string()));
    let model = json!({
        "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
        "vocab": vocab, "merges": merges,
    });
    from_json(&json_of(
        &model,
        &[(0, "<unk>"), (1, "<s>"), (2, "</s>")],
        &json!({
            "normalizer": { "type": "Sequence", "normalizers": [
                { "type": "Prepend", "prepend": "▁" },
                { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
            ]},
            "decoder": { "type": "Sequence", "decoders": [
                { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
                { "type": "ByteFallback" }, { "type": "Fuse" },
                { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
            ]},
        }),
    ))
}

/// As T5: Unigram over words with a blank before each, unknown characters lost.
pub(crate) fn t5() -> Tokenizer {
    let mut pieces = vec![json!(["<pad>", 0.0]), json!(["</s>", 0.0]), json!(["<unk>", -20.0]), json!(["▁", -4.0])];
    pieces.extend(('a'..='z').chain(['.', ',', '!', '#', '\'', 'é']).map(|c| json!([c.to_string(), -6.0])));
    pieces.extend(WORDS.map(|word| json!([format!("▁{word}"), -3.0])));
    let model = json!({ "type": "Unigram", "unk_id": 2, "vocab": pieces, "byte_fallback": false });
    let space = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
    from_json(&json_of(
        &model,
        &[(0, "<pad>"), (1, "</s>"), (2, "<unk>")],
        &json!({ "pre_tokenizer": space, "decoder": space }),
    ))
}

/// As BERT: words and `##` pieces, lower case, blanks tidied up.
pub(crate) fn bert() -> Tokenizer {
    let mut pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
    let letters = ('a'..='z').chain(['.', ',', '!', '#', '\'']);
    pieces.extend(letters.clone().map(String::from));
    pieces.extend(letters.map(|c| format!("##{c}")));
    pieces.extend(WORDS.map(String::from));
    let vocab: serde_json::Map<String, Value> =
        pieces.into_iter().zip(0..).map(|(piece, id)| (piece, json!(id))).collect();
    let model = json!({
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": vocab,
    });
    from_json(&json_of(
        &model,
        &[(0, "[PAD]"), (1, "[UNK]"), (2, "[CLS]"), (3, "[SEP]"), (4, "[MASK]")],
        &json!({
            "normalizer": {
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                "lowercase": true,
            },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        }),
    ))
}

/// As GPT-2: byte-level BPE, which keeps every byte.
pub(crate) fn gpt2() -> Tokenizer {
    Tokenizer::train_bpe((0..20).map(|i| format!("the cat sat on the mat, the quick fox {i} é")), 300).unwrap()
}

/// As Qwen: byte-level BPE after Unicode's composition (NFC), with a pattern of its own.
pub(crate) fn qwen() -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    gpt2().save(&path).unwrap();
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["normalizer"] = json!({ "type": "NFC" });
    json["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": "\\s?\\p{L}+|\\p{N}|[^\\s\\p{L}\\p{N}]+|\\s+" },
          "behavior": "Isolated", "invert": false },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
    ]});
    from_json(&json)
}

/// Tokens of [`world`] beside the 256 bytes: they begin alike, hold parts of a character, blanks, quotes.
pub(crate) const WORLD: [&str; 9] = [
    r"257 'the' 3",
    r"258 ' the' 4",
    r#"259 "'s" 2"#,
    r"260 'then' 4",
    r"261 '\t\t' 2",
    r"262 b'\xe6\x97' 2",
    r"263 '\xe9' 2",
    r"264 'cat' 3",
    r"265 '\U0001f642' 4",
];

/// The file of [`world`].
pub(crate) fn world_vocabulary() -> String {
    let byte = |byte: u8| match byte {
        b'\'' | b'\\' => format!("'\\{}'", char::from(byte)),
        b' '..=b'~' => format!("'{}'", char::from(byte)),
        _ => format!("b'\\x{byte:02x}'"),
    };
    let bytes = (0..=u8::MAX).map(|b| format!("{} {} 1\n", u32::from(b) + 1, byte(b)));
    bytes.chain(WORLD.map(|line| format!("{line}\n"))).collect()
}

/// As RWKV's World tokenizer.
pub(crate) fn world() -> Tokenizer {
    Tokenizer::from_vocabulary(world_vocabulary().as_bytes()).unwrap()
}

/// Each with its name.
pub(crate) fn all() -> [(&'static str, Tokenizer); 7] {
    [
        ("bytes", Tokenizer::bytes()),
        ("GPT-2", gpt2()),
        ("Qwen", qwen()),
        ("Llama 2", llama()),
        ("T5", t5()),
        ("BERT", bert()),
        ("World", world()),
    ]
}
