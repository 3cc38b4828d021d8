//! Tokens of many documents, in a memory-mapped cache.

mod build;
mod cache;
mod cache_folder;
mod count;
mod cuts;
mod format;
mod loss;
mod statistics;

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use percept_fault::{Fault, Result};

pub(crate) use cache_folder::cache_folder;
pub use cache_folder::folder_in_cache;
pub(crate) use cuts::{Cuts, ENOUGH, cuts, cuts_of_large};
use format::{Cache, Record, VERSION};
pub use statistics::Statistics;

use crate::progress::go_on;
use crate::source::{self, Filter, Input, InputKind, Names, PassedOver, Pieces, Reading};
use crate::tokenizer::sha256_hex;
use crate::{Binary, DataConfig, OnError, Progress, Targets, Tokenizer, Watch};

/// Everything the tokens of a corpus depend on, and where its cache is.
#[derive(Clone, Copy)]
pub(crate) struct Recipe<'a> {
    pub(crate) inputs: &'a [Input],
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) on_error: OnError,
    pub(crate) binary: Binary,
    pub(crate) min_bytes: u64,
    pub(crate) edition: u8,
    /// The bytes to take of each document; `None`: all of all.
    pub(crate) ranges: Option<&'a [Range<u64>]>,
    pub(crate) cache: &'a Path,
    /// Once true, the work ends.
    pub(crate) stop: &'a AtomicBool,
}

impl<'a> Recipe<'a> {
    pub(crate) fn new(
        config: &DataConfig,
        inputs: &'a [Input],
        tokenizer: &'a Tokenizer,
        cache: &'a Path,
        stop: &'a AtomicBool,
    ) -> Self {
        let DataConfig { on_error, binary, min_bytes, edition, .. } = *config;
        Self { inputs, tokenizer, on_error, binary, min_bytes, edition, ranges: None, cache, stop }
    }

    /// A pass over the inputs.
    fn reading<'r>(&'r self, ranges: Option<&'r [Range<u64>]>) -> Reading<'r> {
        Reading { ranges, ..Reading::new(self.inputs, self.pieces(), self.binary, self.stop) }
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
        let mut settings = format!("{VERSION} {on_error:?} {min_bytes} {ranges:?}");
        // Named only where they change something, so that older caches keep their names.
        if self.edition > 1 && self.on_error == OnError::Skip {
            settings += " up to a break";
        }
        if self.binary == Binary::Skip {
            settings += " without binary files";
        }
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

    /// What messages call a document: the file, with the line or number of a record.
    fn place(&self, input: usize, line: u64) -> String {
        self.inputs[input].names().place(line)
    }
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
    /// Names of the inputs' documents.
    names: Vec<Names>,
    passed_over: PassedOver,
}

impl Corpus {
    /// All documents of `config.sources` as one corpus, unsplit: found in the cache, or read and tokenized.
    ///
    /// # Errors
    /// A source is missing, a document cannot be used (unless `config.on_error` is `skip`), nothing is left, or the cache
    /// cannot be written. Interrupted: `watch` stopped it.
    pub fn open(config: &DataConfig, tokenizer: &Tokenizer, watch: &mut dyn Watch<'_>) -> Result<Self> {
        config.validate()?;
        let cache = cache_folder(config, watch)?;
        let config = &source::keep_in_cache(config, &cache, watch)?;
        let filter = Filter::new(config)?;
        let (mut inputs, mut passed_over) = (Vec::new(), PassedOver::default());
        for source in &config.sources {
            inputs.extend(source::list(source, &filter, &mut passed_over)?);
        }
        passed_over.once(&mut inputs);
        passed_over.lines().into_iter().for_each(|line| watch.progress(Progress::Note(line)));
        let corpus = Self::from_recipe(&Recipe::new(config, &inputs, tokenizer, &cache, watch.stop()), watch)?;
        go_on(watch.stop())?;
        corpus.has_documents()?;
        report_loss([&corpus], watch);
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

    pub(crate) fn from_recipe(recipe: &Recipe<'_>, watch: &mut dyn Watch<'_>) -> Result<Self> {
        recipe.check()?;
        let cache = cache::open(recipe, watch)?;
        let names = recipe.inputs.iter().map(Input::names).collect();
        let corpus = Self { cache, names, passed_over: PassedOver::default() };
        let statistics = corpus.statistics();
        if let Some(line) = statistics.skipped_line() {
            watch.progress(Progress::Note(format!("{line}, the first: {}", statistics.examples.join("; "))));
        }
        let remarks = statistics.remark_lines().join("; ");
        if !remarks.is_empty() {
            watch.progress(Progress::Warning(format!("{remarks}: {}", statistics.remark_examples.join("; "))));
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
        let name = self.names.get(record.input as usize).map(|names| names.of(record.line));
        Document {
            name: name.unwrap_or_default(),
            tokens: self.tokens(index),
            bytes: record.bytes,
            words: record.words,
            chars: record.chars,
        }
    }

    /// [`Document::bytes`] of document `index`.
    pub(crate) fn document_bytes(&self, index: usize) -> u64 {
        self.cache.record(index).bytes
    }

    /// Tokens of document `index`; none past the end.
    pub fn tokens(&self, index: usize) -> DocumentTokens<'_> {
        let start = index.checked_sub(1).map_or(0, |before| self.cache.record(before).end);
        let Record { end, targets, .. } = self.cache.record(index);
        let bytes = self.cache.tokens(start, end);
        let tokens = match self.cache.meta.width {
            2 => Slice::U16(bytemuck::cast_slice(bytes)),
            _ => Slice::U32(bytemuck::cast_slice(bytes)),
        };
        DocumentTokens { tokens, marked: targets }
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

    /// The first place where the tokens do not give back the text, in words that begin with the document's name.
    pub fn loss(&self) -> Option<String> {
        let loss = self.cache.meta.loss.as_ref()?;
        let name = self.names.get(loss.input as usize).map(|names| names.of(loss.line)).unwrap_or_default();
        Some(format!("{name}: {loss}"))
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

/// Says once which document of some corpora does not come back from its tokens, if any.
pub(crate) fn report_loss<'a>(corpora: impl IntoIterator<Item = &'a Corpus>, watch: &mut dyn Watch<'_>) {
    if let Some(loss) = corpora.into_iter().find_map(Corpus::loss) {
        let note = format!("the tokenizer does not keep this text, so there are no bits per byte: {loss}");
        watch.progress(Progress::Note(note));
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
///
/// ```
/// # use percept_data::{Corpus, DataConfig, Tokenizer};
/// # let cache = tempfile::tempdir().unwrap();
/// # let config = DataConfig {
/// #     cache: Some(cache.path().into()),
/// #     ..DataConfig::from_paths(["synthetic:copy?length=4&documents=10"])
/// # };
/// # let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {})?;
/// // A document such as `abca|abca`: what is to be copied is context only.
/// let tokens = corpus.document(0).tokens;
/// assert_eq!((tokens.len(), tokens.scored_from(), tokens.targets()), (9, 5, 4));
/// assert_eq!(tokens.range(0..4), tokens.range(5..9));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct DocumentTokens<'a> {
    tokens: Slice<'a>,
    marked: Targets,
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

    /// Index of the first token that is no mere context. 0 except in synthetic tasks.
    pub fn scored_from(&self) -> usize {
        self.marked.from
    }

    /// Which of its tokens are targets.
    pub fn marked(&self) -> Targets {
        self.marked
    }

    /// Tokens that are targets.
    pub fn targets(&self) -> usize {
        self.marked.before(self.len())
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
