//! RWKV's World tokenizer: greedy longest match over bytes, left to right.
//!
//! Its vocabulary is a file of lines `ID LITERAL BYTES` (`rwkv_vocab_v20230424.txt`): a token, written as Python writes a string or
//! a string of bytes, and its length. In a string `\xHH` is the character U+00HH, in a string of bytes the byte. Every byte is a
//! token, so any bytes come back. Token 0 is none of them: it stands before each document, as in the authors' evaluations.

use std::collections::HashSet;

use percept_fault::{Fault, Result};
use serde_json::{Value, json};

use super::pieces::is_word;
use super::trie::Trie;
use super::{literal, sha256_hex};

/// The document token.
pub(super) const DOCUMENT: u32 = 0;
/// Ids for each token there is, at most: a table has a place for each.
const SPARSEST: usize = 16;
/// The value of `percept` in a `tokenizer.json` that holds such a vocabulary.
pub(super) const NAME: &str = "world";

/// A vocabulary and its trie.
#[derive(Debug)]
pub(super) struct World {
    /// Bytes of each id; none where there is no such token.
    bytes: Vec<Box<[u8]>>,
    pub(super) trie: Trie,
    pub(super) fingerprint: String,
    /// Whether no token goes on over the end of a word, so that a text cut there has the tokens of the whole.
    pub(super) separable: bool,
}

impl World {
    /// Whether a file begins as a vocabulary does: with a number. No JSON of a tokenizer does.
    pub(super) fn is_vocabulary(file: &[u8]) -> bool {
        file.first().is_some_and(u8::is_ascii_digit)
    }

    /// Reads a vocabulary file; its lines may end as on Windows.
    pub(super) fn from_vocabulary(file: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(file).map_err(|error| Fault::usage("not valid UTF-8").because(error))?;
        let tokens = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()).map(|(line, number)| {
            entry(line).map_err(|why| Fault::usage(format!("line {number} is no token: {why}")).hint(FORM))
        });
        Self::new(tokens.collect::<Result<_>>()?)
    }

    /// Reads what [`World::to_json`] wrote.
    pub(super) fn from_json(json: &Value) -> Result<Self> {
        let token = |token: &Value| {
            let (id, digits) = (token.get(0)?.as_u64()?, token.get(1)?.as_str()?);
            Some((u32::try_from(id).ok()?, from_hex(digits)?))
        };
        let tokens: Option<Vec<_>> =
            json.get("tokens").and_then(Value::as_array).and_then(|tokens| tokens.iter().map(token).collect());
        Self::new(tokens.ok_or_else(|| Fault::usage("its `tokens` are no pairs of a number and bytes in hexadecimal"))?)
    }

    fn new(tokens: Vec<(u32, Vec<u8>)>) -> Result<Self> {
        let largest = tokens.iter().map(|(id, _)| *id as usize).max().unwrap_or(0);
        if largest > SPARSEST * tokens.len() {
            return Err(Fault::usage(format!("a token has the id {largest}, and there are {} tokens", tokens.len()))
                .hint("ids count the tokens, from 1"));
        }
        let mut bytes = vec![Box::<[u8]>::default(); largest + 1];
        let mut seen = HashSet::with_capacity(tokens.len());
        for (id, token) in &tokens {
            if *id == DOCUMENT {
                return Err(Fault::usage(format!(
                    "{token:?} has the id {DOCUMENT}, which stands before each document"
                )));
            }
            if token.is_empty() || !bytes[*id as usize].is_empty() || !seen.insert(token.as_slice()) {
                return Err(Fault::usage(format!("the token {id} is empty, or not the only one of its id or bytes")));
            }
            bytes[*id as usize] = token.as_slice().into();
        }
        if let Some(byte) = (0..=u8::MAX).find(|byte| !seen.contains(&[*byte][..])) {
            return Err(Fault::usage(format!("no token stands for the byte 0x{byte:02x} alone"))
                .hint("every byte must be a token, or some texts have none"));
        }
        let parts: Vec<&[u8]> =
            [&b"percept world 1"[..]].into_iter().chain(bytes.iter().map(|token| &**token)).collect();
        Ok(Self {
            fingerprint: sha256_hex(&parts),
            separable: !seen.iter().any(|token| token.windows(2).any(|pair| is_word(pair[0]) && pair[1] == b' ')),
            trie: Trie::new(present(&bytes)),
            bytes,
        })
    }

    /// What [`World::from_json`] reads: ids and bytes, and nothing of the file that they came from.
    pub(super) fn to_json(&self) -> String {
        let tokens: Vec<Value> =
            self.tokens().iter().map(|(bytes, id)| json!([id, percept_files::hex(bytes)])).collect();
        format!("{}\n", json!({ "percept": NAME, "version": 1, "tokens": tokens }))
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of a token; none of an unknown id.
    pub(super) fn bytes_of(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], |bytes| bytes)
    }

    /// The tokens that there are, with their ids.
    pub(super) fn tokens(&self) -> Vec<(&[u8], u32)> {
        present(&self.bytes)
    }

    /// The longest token at the start of what is left, again and again.
    pub(super) fn encode(&self, text: &[u8]) -> Vec<u32> {
        let (mut tokens, mut at) = (Vec::with_capacity(text.len() / 3), 0);
        while let Some((id, length)) = self.trie.longest(&text[at..]) {
            tokens.push(id);
            at += length;
        }
        tokens
    }
}

/// The tokens that there are, with their ids.
fn present(bytes: &[Box<[u8]>]) -> Vec<(&[u8], u32)> {
    bytes.iter().zip(0..).filter(|(bytes, _)| !bytes.is_empty()).map(|(bytes, id)| (&**bytes, id)).collect()
}

/// What a line should look like.
const FORM: &str = "a World vocabulary has lines such as `257 '\\t\\t' 2`: number, Python literal, bytes";

/// Id and bytes of a line.
fn entry(line: &str) -> Result<(u32, Vec<u8>), String> {
    let (id, rest) = line.trim_end().split_once(' ').ok_or("no number before the token")?;
    let (literal, length) = rest.rsplit_once(' ').ok_or("no length after the token")?;
    let id = id.parse().map_err(|_| format!("`{id}` is no number"))?;
    let bytes = literal::bytes(literal)?;
    match length.parse::<usize>() {
        Ok(length) if bytes.len() == length => Ok((id, bytes)),
        _ => Err(format!("it has {} bytes, and says {length}", bytes.len())),
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let digits = digits.as_bytes();
    digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(pair).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::Tokenizer;
    use crate::tokenizer::kinds::{WORLD, world, world_vocabulary};

    #[test]
    fn the_longest_token_wins() {
        let world = world();
        let ids = |text: &str| world.encode(text.as_bytes()).unwrap();
        // `then` is a token and `there` is none; `the` ends inside the way to `then`.
        assert_eq!(ids("then"), [260]);
        assert_eq!(ids("there"), [257, u32::from(b'r') + 1, u32::from(b'e') + 1]);
        assert_eq!(ids("the"), [257]);
        assert_eq!(ids("th"), [u32::from(b't') + 1, u32::from(b'h') + 1]);
        assert_eq!((world.vocab_size(), world.document_token()), (266, 0));
        assert!(world.is_lossless() && world.cuts_text());
    }

    #[test]
    fn any_bytes_come_back() {
        let world = world();
        proptest!(|(text: Vec<u8>)| {
            let ids = world.encode(&text).unwrap();
            prop_assert!(!ids.contains(&world.document_token()));
            prop_assert_eq!(world.decode(&ids), text.clone());
            let mut detokenizer = world.detokenizer();
            let mut shown: String = ids.iter().map(|&id| detokenizer.push(id)).collect();
            shown += &detokenizer.finish();
            prop_assert_eq!(shown, String::from_utf8_lossy(&text));
        });
    }

    #[test]
    fn a_character_in_two_tokens_is_shown_when_it_is_whole() {
        let world = world();
        let ids = world.encode("日".as_bytes()).unwrap();
        assert_eq!(ids.len(), 2);
        let mut detokenizer = world.detokenizer();
        assert_eq!([detokenizer.push(ids[0]), detokenizer.push(ids[1])], ["", "日"]);
    }

    #[test]
    fn line_ends_and_files_of_ours_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (of_windows, ours) = (folder.path().join("windows.txt"), folder.path().join("tokenizer.json"));
        let vocabulary = world_vocabulary();
        // With blanks behind its lines, and an empty one.
        std::fs::write(&of_windows, vocabulary.replace('\n', " \r\n") + "\r\n").unwrap();
        world().save(&ours).unwrap();
        for path in [of_windows, ours] {
            let again = Tokenizer::from_file(&path).unwrap();
            assert_eq!(again.fingerprint(), world().fingerprint());
            assert_eq!(again.encode(b"then\tthe").unwrap(), world().encode(b"then\tthe").unwrap());
        }
        let other = |from: &str, to: &str| Tokenizer::from_vocabulary(vocabulary.replace(from, to).as_bytes()).unwrap();
        assert_ne!(other("261 '", "271 '").fingerprint(), world().fingerprint());
        // A gap before the last one: the order is the same.
        let gap = other("265 '", "270 '");
        assert_ne!(gap.fingerprint(), world().fingerprint());
        assert_eq!((gap.vocab_size(), gap.decode(&[270, 265, 264, 9999])), (271, "🙂cat".into()));
    }

    #[test]
    fn a_token_that_ends_in_a_blank_forbids_cuts() {
        let with = format!("{}266 'the ' 4\n", world_vocabulary());
        assert!(!Tokenizer::from_vocabulary(with.as_bytes()).unwrap().cuts_text());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let vocabulary = world_vocabulary();
        let fault = |file: String| Tokenizer::from_vocabulary(file.as_bytes()).unwrap_err().to_string();
        let with = |line: &str| fault(format!("{vocabulary}{line}\n"));
        let line = 256 + WORLD.len() + 1;
        assert_eq!(with("266 'abc' 4"), format!("line {line} is no token: it has 3 bytes, and says 4"));
        assert_eq!(with("266 abc 3"), format!("line {line} is no token: it is not between quotes"));
        assert_eq!(with("x 'abc' 3"), format!("line {line} is no token: `x` is no number"));
        assert_eq!(with("266 'abc'"), format!("line {line} is no token: no length after the token"));
        for twice in ["257 'abc' 3", "266 'the' 3", "266 '' 0"] {
            assert!(with(twice).contains("not the only one of its id or bytes"), "{twice}");
        }
        assert!(with("0 'abc' 3").contains("stands before each document"));
        assert!(with("99999999 'abc' 3").contains("and there are"));
        for (line, byte) in [("66 'A' 1\n", "41"), ("256 b'\\xff' 1\n", "ff")] {
            let without = vocabulary.replace(line, "");
            assert_eq!(fault(without), format!("no token stands for the byte 0x{byte} alone"));
        }
        let ours = r#"{"percept":"world","version":1,"tokens":[[1,"616"]]}"#;
        let half = Tokenizer::from_json(ours.as_bytes()).unwrap_err().to_string();
        assert_eq!(half, "its `tokens` are no pairs of a number and bytes in hexadecimal");
    }
}
