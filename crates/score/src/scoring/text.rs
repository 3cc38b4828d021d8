//! Where the text to score comes from.

use std::ops::Range;

use percept_data::{Corpus, DocumentTokens, Part, Targets, Tokenizer};
use percept_fault::Result;

use super::Units;

/// Tokens of a document: in memory, or in the mapped cache of a corpus.
#[derive(Debug, Clone)]
pub enum Tokens<'a> {
    /// In memory.
    Memory(Vec<u32>),
    /// In the cache; only what is asked for is read.
    Corpus(DocumentTokens<'a>),
}

impl Tokens<'_> {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(tokens) => tokens.len(),
            Self::Corpus(tokens) => tokens.len(),
        }
    }

    /// True where there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens of a range, which must lie inside.
    pub fn range(&self, range: Range<usize>) -> Vec<u32> {
        match self {
            Self::Memory(tokens) => tokens[range].to_vec(),
            Self::Corpus(tokens) => tokens.range(range),
        }
    }
}

/// One document to score.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// What reports call it.
    pub name: String,
    /// Its tokens, without the document token.
    pub tokens: Tokens<'a>,
    /// Which of them are targets; the others are context only.
    pub targets: Targets,
    /// Sizes of the text of all targets; `None` where the tokenizer does not keep every byte of it.
    pub units: Option<Units>,
}

/// Documents to score, one after the other.
pub trait Texts {
    /// Number of documents.
    fn len(&self) -> usize;

    /// True where there is no document.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Document `index`, from 0.
    ///
    /// # Errors
    /// Whatever reading it meets.
    fn document(&self, index: usize) -> Result<Document<'_>>;

    /// The token that stands before every document; input only, never a target.
    fn document_token(&self) -> u32;

    /// Bytes that some consecutive tokens of a document stand for; `before`: those before them, of which the last 16 are enough.
    fn decode(&self, before: &[u32], tokens: &[u32]) -> Vec<u8>;
}

/// Documents of token caches, such as one part of a split.
///
/// ```
/// use percept_data::{DataConfig, Dataset, Split};
/// use percept_score::{CorpusTexts, ngram::Ngram};
/// # let folder = tempfile::tempdir().unwrap();
/// # let texts = folder.path().join("texts");
/// # std::fs::create_dir(&texts).unwrap();
/// # for at in 0..10 {
/// #     std::fs::write(texts.join(format!("{at}.txt")), "all work and no play\n".repeat(5 + at)).unwrap();
/// # }
/// # let mut config = DataConfig::from_paths([texts.display().to_string()]);
/// # config.cache = Some(folder.path().join("cache"));
/// let dataset = Dataset::open(&config, None, &mut |_| {})?;
/// // The figure to beat: an n-gram model of the training text, on the same test text.
/// let [train, test] = [Split::Train, Split::Test]
///     .map(|split| CorpusTexts::of_parts(dataset.tokenizer(), dataset.parts(split)).texts().collect::<Vec<_>>());
/// let baseline = Ngram::fit(3, train)?.bits_per_byte(&test)?;
/// assert!(baseline < 1.0, "{baseline}");
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct CorpusTexts<'a> {
    tokenizer: &'a Tokenizer,
    documents: Vec<(&'a Corpus, usize)>,
}

impl<'a> CorpusTexts<'a> {
    /// Every document of a corpus.
    pub fn of_corpus(tokenizer: &'a Tokenizer, corpus: &'a Corpus) -> Self {
        Self { tokenizer, documents: (0..corpus.documents()).map(|index| (corpus, index)).collect() }
    }

    /// The documents of one split of a [`percept_data::Dataset`].
    pub fn of_parts(tokenizer: &'a Tokenizer, parts: &'a [Part]) -> Self {
        let all = parts.iter().flat_map(|part| part.documents.iter().map(|&index| (&*part.corpus, index)));
        Self { tokenizer, documents: all.collect() }
    }

    /// The text of every document, as its tokens stand for it: for the n-gram baseline on the same text.
    pub fn texts(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.documents.iter().map(|(corpus, index)| self.tokenizer.decode(&corpus.document(*index).tokens.to_vec()))
    }
}

impl Texts for CorpusTexts<'_> {
    fn len(&self) -> usize {
        self.documents.len()
    }

    fn document(&self, index: usize) -> Result<Document<'_>> {
        let (corpus, index) = self.documents[index];
        let document = corpus.document(index);
        let units = Units { bytes: document.bytes, characters: document.chars, words: document.words };
        Ok(Document {
            name: document.name,
            targets: document.tokens.marked(),
            tokens: Tokens::Corpus(document.tokens),
            units: corpus.is_lossless().then_some(units),
        })
    }

    fn document_token(&self) -> u32 {
        self.tokenizer.document_token()
    }

    fn decode(&self, before: &[u32], tokens: &[u32]) -> Vec<u8> {
        self.tokenizer.decode_after(before, tokens)
    }
}

/// Texts in memory, encoded when asked for.
#[derive(Debug, Clone)]
pub struct MemoryTexts {
    tokenizer: Tokenizer,
    documents: Vec<Vec<u8>>,
}

impl MemoryTexts {
    /// One document per text.
    pub fn new(tokenizer: Tokenizer, documents: Vec<Vec<u8>>) -> Self {
        Self { tokenizer, documents }
    }
}

impl Texts for MemoryTexts {
    fn len(&self) -> usize {
        self.documents.len()
    }

    fn document(&self, index: usize) -> Result<Document<'_>> {
        let text = &self.documents[index];
        let tokens = self.tokenizer.encode(text)?;
        Ok(Document {
            name: format!("document {}", index + 1),
            units: (self.tokenizer.decode(&tokens) == *text).then(|| Units::of(text)),
            tokens: Tokens::Memory(tokens),
            targets: Targets::ALL,
        })
    }

    fn document_token(&self) -> u32 {
        self.tokenizer.document_token()
    }

    fn decode(&self, before: &[u32], tokens: &[u32]) -> Vec<u8> {
        self.tokenizer.decode_after(before, tokens)
    }
}
