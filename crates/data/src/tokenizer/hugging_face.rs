//! Bytes and World vocabularies in Hugging Face's format.
//!
//! That format has no model that takes the longest token. But its pre-tokenizers can split by a regular expression, and one over
//! the trie of the tokens finds exactly them ([`Trie::pattern`]): what is split off is looked up as a word. Bytes stand as characters of
//! GPT-2's alphabet, in which a token that ends inside a character can be written too.
//!
//! The document token is in the vocabulary and not among the `added_tokens`, which would be found in text that spells them.

use std::path::Path;

use percept_fault::{Fault, Result};
use serde_json::{Map, Value, json};

use super::table::CHAR_OF;
use super::trie::Trie;
use super::{DOCUMENT, Kind, Tokenizer, world};
use crate::mark::{Made, holds_others, mark_folder};

/// Name of the tokenizer in the folder.
const TOKENIZER: &str = "tokenizer.json";
/// What `transformers` wants beside it.
const CONFIG: &str = "tokenizer_config.json";

/// Writes both files into a folder.
pub(super) fn write(tokenizer: &Tokenizer, folder: &Path) -> Result<()> {
    let taken = match folder.join(TOKENIZER) {
        file if file.exists() => Some(format!("{} is there already", file.display())),
        _ => holds_others(folder).then(|| format!("{} holds other files", folder.display())),
    };
    if let Some(taken) = taken {
        return Err(Fault::usage(taken).hint("choose a new folder"));
    }
    let (json, document) = json(tokenizer)?;
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": document, "eos_token": document,
        "split_special_tokens": true, "clean_up_tokenization_spaces": false,
    });
    percept_files::write_folder(folder, TOKENIZER, |folder| {
        mark_folder(folder, Made::Tokenizer)?;
        percept_files::write_file(&folder.join(CONFIG), format!("{config:#}\n").as_bytes())?;
        percept_files::write_file(&folder.join(TOKENIZER), json.as_bytes())
    })
}

/// The tokenizer, and the name of its document token.
fn json(tokenizer: &Tokenizer) -> Result<(String, String)> {
    let json = match &*tokenizer.0 {
        Kind::Text(text) => return Ok((text.to_json(), text.document_name())),
        Kind::World(world) => longest(world.tokens(), &world.trie, world::DOCUMENT)?,
        Kind::Bytes { .. } => {
            let bytes: Vec<[u8; 1]> = (0..=u8::MAX).map(|byte| [byte]).collect();
            let tokens: Vec<(&[u8], u32)> = bytes.iter().map(|byte| (&byte[..], u32::from(byte[0]))).collect();
            // A trie has no token 0, and its pattern no ids.
            let trie = Trie::new(tokens.iter().map(|&(byte, id)| (byte, id + 1)).collect());
            longest(tokens, &trie, tokenizer.document_token())?
        }
    };
    Ok((format!("{json}\n"), DOCUMENT.into()))
}

/// A tokenizer that takes the longest of `tokens`, whose trie is given.
fn longest(tokens: Vec<(&[u8], u32)>, trie: &Trie, document: u32) -> Result<Value> {
    let name = |bytes: &[u8]| bytes.iter().map(|&byte| CHAR_OF[usize::from(byte)]).collect::<String>();
    let mut vocab: Map<String, Value> = tokens.into_iter().map(|(bytes, id)| (name(bytes), id.into())).collect();
    if vocab.insert(DOCUMENT.into(), document.into()).is_some() {
        return Err(Fault::usage(format!("a token of the vocabulary is the text {DOCUMENT}"))
            .hint("that is what the document token is called in Hugging Face's format"));
    }
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
    let split = json!({
        "type": "Split", "pattern": { "Regex": trie.pattern(&CHAR_OF) }, "behavior": "Isolated", "invert": false,
    });
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [byte_level, split] },
        "post_processor": null, "decoder": byte_level,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": DOCUMENT },
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::kinds;

    fn theirs(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
        let (json, document) = json(tokenizer).unwrap();
        let theirs = tokenizers::Tokenizer::from_bytes(json.as_bytes()).unwrap();
        assert_eq!(theirs.token_to_id(&document), Some(tokenizer.document_token()));
        theirs
    }

    /// The same ids, and the same text back.
    fn check(ours: &Tokenizer, theirs: &tokenizers::Tokenizer, text: &str) {
        let encoding = theirs.encode(text, false).unwrap();
        assert_eq!(encoding.get_ids(), ours.encode(text.as_bytes()).unwrap(), "{text:?}");
        assert_eq!(theirs.decode(encoding.get_ids(), false).unwrap(), text);
    }

    #[test]
    fn any_text_has_the_same_ids_elsewhere() {
        for ours in [Tokenizer::bytes(), kinds::world()] {
            let theirs = theirs(&ours);
            let bytes: String = (0..0x800).filter_map(char::from_u32).collect();
            check(&ours, &theirs, &bytes);
            check(&ours, &theirs, "a <|document|> b\r\n\0 日本語 the then there's\t\t\t🙂é");
            check(&ours, &theirs, "");
            proptest!(|(text in "(the|then| the|'s|cat|\\t|🙂|é|日|<\\|document\\|>|\\s|(?s:.)|\\PC){0,40}")| {
                check(&ours, &theirs, &text);
            });
        }
    }

    #[test]
    fn any_vocabulary_is_split_at_the_longest_token() {
        // Few letters, those that mean something in a pattern among them, so that tokens begin alike.
        let (token, text) = ("[ab.*|^\\\\)(\n é]{2,6}", "[ab.*|^\\\\)(\n é]{0,40}");
        proptest!(|(tokens in prop::collection::btree_set(token, 0..30), texts in prop::collection::vec(text, 10))| {
            let more = tokens.iter().zip(257..).map(|(token, id)| {
                let bytes: String = token.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
                format!("{id} b'{bytes}' {}\n", token.len())
            });
            let bytes = (0..=255u8).map(|byte| format!("{} b'\\x{byte:02x}' 1\n", u32::from(byte) + 1));
            let file: String = bytes.chain(more).collect();
            let ours = Tokenizer::from_vocabulary(file.as_bytes()).unwrap();
            let theirs = theirs(&ours);
            for text in texts {
                check(&ours, &theirs, &text);
            }
        });
    }

    #[test]
    fn a_tokenizer_in_their_format_stays_what_it_is() {
        for ours in [kinds::gpt2(), kinds::llama()] {
            let (json, document) = json(&ours).unwrap();
            assert_eq!(Tokenizer::from_json(json.as_bytes()).unwrap().fingerprint(), ours.fingerprint());
            assert_eq!(theirs(&ours).token_to_id(&document), Some(ours.document_token()));
        }
    }

    #[test]
    fn a_folder_is_written_once_and_is_no_text() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("out");
        Tokenizer::bytes().export(&folder).unwrap();
        let config: Value = serde_json::from_slice(&std::fs::read(folder.join(CONFIG)).unwrap()).unwrap();
        assert_eq!((&config["bos_token"], &config["split_special_tokens"]), (&json!(DOCUMENT), &json!(true)));
        assert_eq!(config["clean_up_tokenization_spaces"], json!(false));
        assert!(
            Tokenizer::bytes().export(&folder).unwrap_err().to_string().ends_with("tokenizer.json is there already")
        );
        assert!(crate::mark::of_folder(&folder).is_some());
        std::fs::write(parent.path().join("book.txt"), "text").unwrap();
        assert!(Tokenizer::bytes().export(parent.path()).is_err());
        assert!(!parent.path().join(CONFIG).exists());
    }

    #[test]
    fn a_token_with_the_name_of_the_document_token_is_refused() {
        let file = format!("{}266 '{DOCUMENT}' 12\n", kinds::world_vocabulary());
        let world = Tokenizer::from_vocabulary(file.as_bytes()).unwrap();
        assert!(json(&world).unwrap_err().to_string().contains("is the text <|document|>"));
    }
}
