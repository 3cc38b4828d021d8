//! Text to tokens and back.
//!
//! Every tokenizer has one document token, which stands before each document and never comes out of text: text that
//! spells a special token is encoded as plain text.

mod detokenizer;
mod hugging_face;
mod literal;
mod pieces;
mod table;
mod text;
mod train;
mod trie;
mod word_parts;
mod words;
mod world;

use std::path::Path;
use std::sync::Arc;

use percept_fault::{Fault, IoContext, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use detokenizer::Detokenizer;
pub(crate) use pieces::{LOOKAHEAD, cut, is_continuation};
pub(crate) use text::BadText;
use text::TextTokenizer;
pub use word_parts::WordParts;
use world::World;

use crate::stream;

/// Content of a new document token in a text tokenizer.
const DOCUMENT: &str = "<|document|>";
/// The value of `tokenizer.json` that stands for the byte tokenizer.
const BYTES: &str = "bytes";

/// A tokenizer: bytes, any Hugging Face `tokenizer.json`, or RWKV's World vocabulary. Cheap to clone.
///
/// ```
/// use percept_data::Tokenizer;
/// let bytes = Tokenizer::bytes();
/// assert_eq!((bytes.vocab_size(), bytes.document_token()), (257, 256));
/// let tokens = bytes.encode("né".as_bytes()).unwrap();
/// assert_eq!(tokens, [0x6e, 0xc3, 0xa9]);
/// assert_eq!(bytes.decode(&tokens), "né".as_bytes());
/// ```
#[derive(Debug, Clone)]
pub struct Tokenizer(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Bytes { fingerprint: String },
    Text(Box<TextTokenizer>),
    World(Box<World>),
}

impl Tokenizer {
    /// One token per byte, and the document token 256.
    pub fn bytes() -> Self {
        Self(Arc::new(Kind::Bytes { fingerprint: sha256_hex(&[b"percept bytes 1"]) }))
    }

    /// The tokenizer that [`crate::DataConfig::tokenizer`] names: `bytes`, or a file.
    ///
    /// # Errors
    /// As [`Tokenizer::from_file`]; a usage fault for an empty name.
    pub fn open(name: &str) -> Result<Self> {
        match name {
            BYTES => Ok(Self::bytes()),
            "" => Err(Fault::usage("data.tokenizer: the path is empty")
                .hint("name a tokenizer.json, or `bytes`, which needs no file")),
            path => Self::from_file(path),
        }
    }

    /// Reads a `tokenizer.json`: Hugging Face's format, or what [`Tokenizer::save`] wrote; or a vocabulary as
    /// [`Tokenizer::from_vocabulary`] does. In Hugging Face's format the document token is the first of `<|document|>`, `<|endoftext|>`, `<|begin_of_text|>`, `<|bos|>`, `<bos>`, `<s>` and `[CLS]` that exists
    /// as a token; where none does, `<|document|>` is added at the end of the vocabulary.
    ///
    /// # Errors
    /// The file cannot be read (environment), or is no tokenizer (usage).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = stream::read(path).at("read tokenizer", path)?;
        let read = if World::is_vocabulary(&file) { Self::from_vocabulary(&file) } else { Self::from_json(&file) };
        read.map_err(|fault| {
            Fault::usage(format!("{} is not a tokenizer", path.display()))
                .because(fault)
                .hint("give a Hugging Face tokenizer.json, train one with `percept tokenizer train`, or use `bytes`")
        })
    }

    /// Reads a World vocabulary of RWKV (`rwkv_vocab_v20230424.txt`): lines `ID LITERAL BYTES`, a literal as Python writes it. A text's
    /// tokens are the longest ones from left to right, and any bytes come back; the document token is 0.
    ///
    /// # Errors
    /// A usage fault that names the line, where a byte is no token of its own too.
    ///
    /// ```
    /// use percept_data::Tokenizer;
    /// # let bytes = (0..=255u8).map(|byte| format!("{} b'\\x{byte:02x}' 1\n", u32::from(byte) + 1)).collect::<String>();
    /// // `bytes`: the lines of the tokens 1 to 256, a byte each.
    /// let world = Tokenizer::from_vocabulary(format!("{bytes}257 'no' 2\n258 'now' 3\n").as_bytes())?;
    /// assert_eq!(world.encode(b"nowno\xff")?, [258, 257, 256]);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn from_vocabulary(file: &[u8]) -> Result<Self> {
        Ok(Self(Arc::new(Kind::World(Box::new(World::from_vocabulary(file)?)))))
    }

    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// A usage fault where it is none.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(json).map_err(|error| Fault::usage("not JSON").because(error))?;
        Ok(match value.get("percept").and_then(Value::as_str) {
            Some(BYTES) => Self::bytes(),
            Some(world::NAME) => Self(Arc::new(Kind::World(Box::new(World::from_json(&value)?)))),
            _ => Self(Arc::new(Kind::Text(Box::new(TextTokenizer::from_json(json)?)))),
        })
    }

    /// Trains a byte-level BPE tokenizer, so that any text round-trips. The result depends only on the texts and `vocab`.
    ///
    /// - `texts`: read once, in order; memory grows with the number of distinct words only.
    /// - `vocab`: tokens in all, with the 256 bytes and the document token.
    ///
    /// # Errors
    /// A usage fault where `vocab` is below 257, or no text was given.
    ///
    /// ```
    /// use percept_data::Tokenizer;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("tokenizer.json");
    /// let trained = Tokenizer::train_bpe(["the cat and the hat, the rat and the bat"].into_iter(), 270)?;
    /// trained.save(&path)?;
    ///
    /// let tokenizer = Tokenizer::from_file(&path)?;
    /// assert_eq!(tokenizer.fingerprint(), trained.fingerprint());
    /// // Fewer tokens than bytes, and nothing is lost.
    /// let tokens = tokenizer.encode("the mad hatter".as_bytes())?;
    /// assert!(tokens.len() < 14);
    /// assert_eq!(tokenizer.decode(&tokens), b"the mad hatter");
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn train_bpe<T>(texts: impl Iterator<Item = T> + Send, vocab: usize) -> Result<Self>
    where
        T: AsRef<str> + Send,
    {
        Ok(Self(Arc::new(Kind::Text(Box::new(train::bpe(texts, vocab)?)))))
    }

    /// Writes the `tokenizer.json` that [`Tokenizer::from_file`] reads, completely or not at all.
    ///
    /// # Errors
    /// An environment fault that names the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let json = match &*self.0 {
            Kind::Bytes { .. } => format!("{:#}\n", json!({ "percept": BYTES, "version": 1 })),
            Kind::Text(text) => text.to_json(),
            Kind::World(world) => world.to_json(),
        };
        percept_files::write_with_folder(path.as_ref(), json.as_bytes())
    }

    /// Writes the folder that Hugging Face's libraries take for a tokenizer, completely or not at all: `tokenizer.json` and
    /// `tokenizer_config.json`. The file gives any text the ids that [`Tokenizer::encode`] gives it, if a tokenizer of Hugging Face's is called so that text
    /// stays text (`encode_special_tokens`, which the second file says to `transformers`); bytes and World vocabularies need no
    /// such care. What is no text (invalid UTF-8) those libraries don't take. Of a large World vocabulary the file is for Hugging Face's Python packages: it
    /// holds a regular expression that is nested too deeply for the Rust crate without its feature `onig`.
    ///
    /// # Errors
    /// A usage fault where the folder holds other files or a token has the name of the document token; an environment fault where it can't
    /// be written.
    ///
    /// ```
    /// use percept_data::Tokenizer;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let folder = folder.path().join("for-transformers");
    /// Tokenizer::bytes().export(&folder)?;
    /// let theirs = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    /// assert_eq!(theirs.encode("né", false).unwrap().get_ids(), Tokenizer::bytes().encode("né".as_bytes())?);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn export(&self, folder: &Path) -> Result<()> {
        hugging_face::write(self, folder)
    }

    /// Tokens of a text, without the document token. Long texts are encoded in pieces of at least 64 KiB that end before a
    /// word; the piece boundaries depend on the text only, so a text has one encoding.
    ///
    /// # Errors
    /// A usage fault with the byte offset where a text tokenizer meets invalid UTF-8.
    pub fn encode(&self, text: &[u8]) -> Result<Vec<u32>> {
        let (mut tokens, mut start) = (Vec::new(), 0);
        while start < text.len() {
            let length = if self.cuts_text() { cut(&text[start..]) } else { text.len() - start };
            let piece = self.encode_piece(&text[start..start + length]);
            tokens.extend(piece.map_err(|bad| Fault::usage(format!("the text is {}", bad.after(start as u64))))?);
            start += length;
        }
        Ok(tokens)
    }

    /// Bytes of tokens; special tokens, the document token among them, are none. Unknown ids are none, too.
    pub fn decode(&self, ids: &[u32]) -> Vec<u8> {
        match &*self.0 {
            Kind::Bytes { .. } => ids.iter().filter_map(|&id| u8::try_from(id).ok()).collect(),
            Kind::Text(text) => text.decode(ids),
            Kind::World(world) => ids.iter().flat_map(|&id| world.bytes_of(id)).copied().collect(),
        }
    }

    /// Bytes that `ids` add to a text after `before`, of which the last 16 tokens are enough. Unlike [`Tokenizer::decode`], it
    /// keeps a blank at their start, where a tokenizer has blanks between its tokens only.
    pub fn decode_after(&self, before: &[u32], ids: &[u32]) -> Vec<u8> {
        self.detokenizer_after(before).bytes(ids)
    }

    /// A streaming decoder from the start of a text.
    pub fn detokenizer(&self) -> Detokenizer {
        Detokenizer::new(self.clone())
    }

    /// A streaming decoder that goes on after `before`, tokens whose text is shown already; the last 16 are enough. A
    /// character that is incomplete there is shown whole.
    pub fn detokenizer_after(&self, before: &[u32]) -> Detokenizer {
        Detokenizer::after(self.clone(), before)
    }

    /// Number of token ids, the document token included.
    pub fn vocab_size(&self) -> usize {
        match &*self.0 {
            Kind::Bytes { .. } => 257,
            Kind::Text(text) => text.vocab_size,
            Kind::World(world) => world.vocab_size(),
        }
    }

    /// The token that stands before each document. It is input only: nothing encodes to it and it is never a target.
    pub fn document_token(&self) -> u32 {
        match &*self.0 {
            Kind::Bytes { .. } => 256,
            Kind::Text(text) => text.document,
            Kind::World(_) => world::DOCUMENT,
        }
    }

    /// SHA-256 of what the tokenizer does, as hexadecimal digits: equal for equal tokenizers wherever they were read from.
    pub fn fingerprint(&self) -> &str {
        match &*self.0 {
            Kind::Bytes { fingerprint } => fingerprint,
            Kind::Text(text) => &text.fingerprint,
            Kind::World(world) => &world.fingerprint,
        }
    }

    /// Whether decoding gave back a set of probe texts unchanged: a word for reports about the tokenizer. Whether a text
    /// at hand survives is another question, and one that is asked when it is tokenized: [`crate::Corpus::is_lossless`].
    pub fn is_lossless(&self) -> bool {
        match &*self.0 {
            Kind::Bytes { .. } | Kind::World(_) => true,
            Kind::Text(text) => text.lossless,
        }
    }

    /// True for the byte tokenizer.
    pub fn is_bytes(&self) -> bool {
        matches!(*self.0, Kind::Bytes { .. })
    }

    /// A word for reports: `bytes` or `4096 tokens`.
    pub fn describe(&self) -> String {
        match &*self.0 {
            Kind::Bytes { .. } => "bytes".into(),
            Kind::Text(_) | Kind::World(_) => format!("{} tokens", self.vocab_size()),
        }
    }

    /// Whether it takes any bytes, text or not.
    pub(crate) fn takes_any_bytes(&self) -> bool {
        !matches!(*self.0, Kind::Text(_))
    }

    /// Whether texts may be encoded in pieces. A tokenizer that looks at more than words gets whole documents.
    pub(crate) fn cuts_text(&self) -> bool {
        match &*self.0 {
            Kind::Bytes { .. } => true,
            Kind::Text(text) => text.separable,
            Kind::World(world) => world.separable,
        }
    }

    pub(crate) fn encode_piece(&self, piece: &[u8]) -> Result<Vec<u32>, BadText> {
        match &*self.0 {
            Kind::Bytes { .. } => Ok(piece.iter().map(|&byte| u32::from(byte)).collect()),
            Kind::Text(text) => text.encode(piece),
            Kind::World(world) => Ok(world.encode(piece)),
        }
    }

    /// Bytes of tokens that do not begin a text.
    pub(crate) fn decode_later(&self, ids: &[u32]) -> Vec<u8> {
        self.text().map_or_else(|| self.decode(ids), |text| text.decode_later(ids))
    }

    fn text(&self) -> Option<&TextTokenizer> {
        match &*self.0 {
            Kind::Text(text) => Some(text),
            Kind::Bytes { .. } | Kind::World(_) => None,
        }
    }

    /// Bytes of a token where they do not depend on its neighbours.
    fn bytes_of(&self, id: u32) -> Option<Vec<u8>> {
        match &*self.0 {
            Kind::Bytes { .. } => Some(u8::try_from(id).into_iter().collect()),
            Kind::Text(text) => text.bytes_of(id).map(<[u8]>::to_vec),
            Kind::World(world) => Some(world.bytes_of(id).to_vec()),
        }
    }
}

/// SHA-256 over parts, each preceded by its length, as hexadecimal digits.
pub(crate) fn sha256_hex(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    percept_files::hex(&hash.finalize())
}

#[cfg(test)]
mod continuation_tests;
#[cfg(test)]
pub(crate) mod kinds;
#[cfg(test)]
mod tests;
