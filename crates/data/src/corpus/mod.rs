//! Tokens of many documents, in a memory-mapped cache.

mod build;
mod cache;
mod count;
mod cuts;
mod format;
mod statistics;

use std::ops::Range;
use std::path::Path;

use percept_fault::{Fault, Result};

pub(crate) use cache::{default_folder, remove_abandoned};
pub(crate) use cuts::{Cuts, cuts};
use format::{Cache, Record, VERSION};
pub use statistics::Statistics;

use crate::source::{self, Filter, Input, InputKind, PassedOver, Pieces};
use crate::tokenizer::sha256_hex;
use crate::{DataConfig, OnError, Progress, Tokenizer};

/// Everything the tokens of a corpus depend on, and where its cache is.
#[derive(Clone, Copy)]
pub(crate) struct Recipe<'a> {
    pub(crate) inputs: &'a [Input],
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) on_error: OnError,
    pub(crate) min_bytes: u64,
    /// The bytes to take of each document; `None`: all of all.
    pub(crate) ranges: Option<&'a [Range<u64>]>,
    pub(crate) cache: &'a Path,
}

impl<'a> Recipe<'a> {
    pub(crate) fn new(config: &DataConfig, inputs: &'a [Input], tokenizer: &'a Tokenizer, cache: &'a Path) -> Self {
        let DataConfig { on_error, min_bytes, .. } = *config;
        Self { inputs, tokenizer, on_error, min_bytes, ranges: None, cache }
    }

    fn pieces(&self) -> Pieces {
        if self.tokenizer.cuts_text() { Pieces::Cut } else { Pieces::Whole }
    }

    /// Bytes of all files, where there are any.
    fn bytes(&self) -> Option<u64> {
        let bytes = self.inputs.iter().filter_map(Input::file).map(|file| file.size).sum();
        (bytes > 0).then_some(bytes)
    }

    /// Hash of all but the inputs.
    fn settings(&self) -> String {
        let Self { on_error, min_bytes, ranges, .. } = self;
        let settings = format!("{VERSION} {on_error:?} {min_bytes} {ranges:?}");
        sha256_hex(&[settings.as_bytes(), self.tokenizer.fingerprint().as_bytes()])
    }

    /// # Errors
    /// A synthetic task with a text tokenizer: which bytes are targets says nothing about its tokens.
    fn check(&self) -> Result<()> {
        let synthetic = self.inputs.iter().find(|input| matches!(input.kind, InputKind::Synthetic(_)));
        match synthetic {
            Some(input) if !self.tokenizer.is_bytes() => {
                Err(Fault::usage(format!("{} needs data.tokenizer = \"bytes\"", input.name)))
            }
            _ => Ok(()),
        }
    }

    /// What messages call a document: the file, with the line of a record.
    fn place(&self, input: usize, line: u64) -> String {
        place(&self.inputs[input].name, line)
    }
}

fn place(name: &str, line: u64) -> String {
    if line == 0 { name.into() } else { format!("{name}:{line}") }
}

/// Documents as tokens, in a memory-mapped file: opening it costs no memory, however long it is.
///
/// ```
/// use percept_data::{Corpus, DataConfig, Tokenizer};
/// let cache = tempfile::tempdir().unwrap();
/// let config = DataConfig {
///     cache: Some(cache.path().into()),
///     ..DataConfig::from_paths(["synthetic:reverse?length=4&documents=10"])
/// };
/// let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {}).unwrap();
/// assert_eq!(corpus.documents(), 10);
/// assert_eq!(corpus.document(0).tokens.len(), 9);
/// ```
#[derive(Debug)]
pub struct Corpus {
    cache: Cache,
    /// Names of the inputs.
    names: Vec<String>,
    passed_over: PassedOver,
}

impl Corpus {
    /// All documents of `config.sources` as one corpus, unsplit: found in the cache, or read and tokenized.
    ///
    /// # Errors
    /// A source is missing, a document cannot be used (unless `config.on_error` is `skip`), nothing is left, or the cache
    /// cannot be written.
    pub fn open(config: &DataConfig, tokenizer: &Tokenizer, report: &mut dyn FnMut(Progress)) -> Result<Self> {
        config.validate()?;
        let cache = config.cache.clone().unwrap_or_else(default_folder);
        let config = &source::keep_in_cache(config, &cache, report)?;
        let filter = Filter::new(config)?;
        let (mut inputs, mut passed_over) = (Vec::new(), PassedOver::default());
        for source in &config.sources {
            inputs.extend(source::list(source, &filter, &mut passed_over)?);
        }
        passed_over.once(&mut inputs);
        passed_over.lines().into_iter().for_each(|line| report(Progress::Note(line)));
        let corpus = Self::from_recipe(&Recipe::new(config, &inputs, tokenizer, &cache), report)?;
        corpus.has_documents()?;
        Ok(Self { passed_over, ..corpus })
    }

    /// # Errors
    /// Every document was left out.
    pub(crate) fn has_documents(&self) -> Result<()> {
        match self.statistics().skipped_line() {
            _ if self.documents() > 0 => Ok(()),
            Some(line) => Err(Fault::environment(format!("no document is left to read: {line}"))
                .hint(self.statistics().examples.join("; "))),
            None => Err(Fault::environment("no document to read").hint("the files hold no records")),
        }
    }

    pub(crate) fn from_recipe(recipe: &Recipe<'_>, report: &mut dyn FnMut(Progress)) -> Result<Self> {
        recipe.check()?;
        let cache = cache::open(recipe, report)?;
        let names = recipe.inputs.iter().map(|input| input.name.clone()).collect();
        let corpus = Self { cache, names, passed_over: PassedOver::default() };
        if let Some(line) = corpus.statistics().skipped_line() {
            report(Progress::Note(format!("{line}, the first: {}", corpus.statistics().examples.join("; "))));
        }
        Ok(corpus)
    }

    /// Number of documents.
    pub fn documents(&self) -> usize {
        self.statistics().documents as usize
    }

    /// Document `index`, in the order of the sources, of the files and of the lines.
    ///
    /// # Panics
    /// Never: a document past the end has no tokens.
    pub fn document(&self, index: usize) -> Document<'_> {
        let record = self.cache.record(index);
        let name = self.names.get(record.input as usize).map_or("", String::as_str);
        Document {
            name: place(name, record.line),
            tokens: self.tokens(index),
            bytes: record.bytes,
            words: record.words,
            chars: record.chars,
        }
    }

    /// Tokens of document `index`; none past the end.
    pub fn tokens(&self, index: usize) -> DocumentTokens<'_> {
        let start = index.checked_sub(1).map_or(0, |before| self.cache.record(before).end);
        let Record { end, scored_from, .. } = self.cache.record(index);
        let bytes = self.cache.tokens(start, end);
        let tokens = match self.cache.meta.width {
            2 => Slice::U16(bytemuck::cast_slice(bytes)),
            _ => Slice::U32(bytemuck::cast_slice(bytes)),
        };
        DocumentTokens { tokens, scored_from: scored_from as usize }
    }

    /// What it measures, and what was left out.
    pub fn statistics(&self) -> &Statistics {
        &self.cache.meta.statistics
    }

    /// What [`Corpus::open`] left out of the folders although no setting says so.
    pub fn passed_over(&self) -> &PassedOver {
        &self.passed_over
    }

    /// Whether decoding the tokens gives back every text of this corpus, byte for byte (checked when it was tokenized).
    /// False: report token perplexity only.
    pub fn is_lossless(&self) -> bool {
        self.cache.meta.lossless
    }

    /// Token ids are below this.
    pub fn vocab_size(&self) -> usize {
        self.cache.meta.vocab_size
    }

    /// The token to feed before each document.
    pub fn document_token(&self) -> u32 {
        self.cache.meta.document_token
    }

    /// Hash of the text and of everything else the tokens depend on.
    pub fn fingerprint(&self) -> &str {
        &self.cache.meta.key
    }
}

/// One document of a corpus.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// File name, followed by `:line` for JSON records.
    pub name: String,
    /// Its tokens.
    pub tokens: DocumentTokens<'a>,
    /// Bytes of the text of its targets: all of its text, except in synthetic tasks.
    pub bytes: u64,
    /// White-space separated words of that text.
    pub words: u64,
    /// Characters of that text.
    pub chars: u64,
}

/// Tokens of a document, in the mapped cache. The document token is not among them.
#[derive(Debug, Clone, Copy)]
pub struct DocumentTokens<'a> {
    tokens: Slice<'a>,
    scored_from: usize,
}

#[derive(Debug, Clone, Copy)]
enum Slice<'a> {
    U16(&'a [u16]),
    U32(&'a [u32]),
}

impl DocumentTokens<'_> {
    /// Number of tokens; at least 1 for documents of a corpus.
    pub fn len(&self) -> usize {
        match self.tokens {
            Slice::U16(tokens) => tokens.len(),
            Slice::U32(tokens) => tokens.len(),
        }
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index of the first token that is a target: those before it are context. 0 except in synthetic tasks.
    pub fn scored_from(&self) -> usize {
        self.scored_from
    }

    /// Tokens that are targets.
    pub fn targets(&self) -> usize {
        self.len().saturating_sub(self.scored_from)
    }

    /// Tokens of a range, which is cut at the end of the document.
    pub fn range(&self, range: Range<usize>) -> Vec<u32> {
        let end = range.end.min(self.len());
        let range = range.start.min(end)..end;
        match self.tokens {
            Slice::U16(tokens) => tokens[range].iter().map(|&token| token.into()).collect(),
            Slice::U32(tokens) => tokens[range].to_vec(),
        }
    }

    /// All tokens.
    pub fn to_vec(&self) -> Vec<u32> {
        self.range(0..self.len())
    }
}

#[cfg(test)]
mod tests;
