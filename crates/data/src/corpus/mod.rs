//! The token cache.
use std::collections::BTreeMap;
use std::ops::Range;
use percept_fault::{Fault, Result};
use serde::{Deserialize, Serialize};
use crate::{DataConfig, Progress, Tokenizer};

/// Why a document was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason { /// .
 Empty, /// .
 TooShort, /// .
 Unreadable, /// .
 NotUtf8, /// .
 Binary, /// .
 BrokenRecord }

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Documents.
    pub documents: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// White-space separated words.
    pub words: u64,
    /// Characters.
    pub chars: u64,
    /// Tokens.
    pub tokens: u64,
    /// Documents left out, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The first of them, with their cause.
    pub examples: Vec<String>,
}

/// A corpus as tokens.
#[derive(Debug)]
pub struct Corpus(());
impl Corpus {
    /// All documents of `config.sources` as one corpus, without a split.
    pub fn open(config: &DataConfig, tokenizer: &Tokenizer, report: &mut dyn FnMut(Progress)) -> Result<Self> { let _ = (config, tokenizer, report); Err(Fault::internal("being written")) }
    /// Number of documents.
    pub fn documents(&self) -> usize { 0 }
    /// Document `index`, in the order of the sources.
    pub fn document(&self, index: usize) -> Document<'_> { let _ = index; Document { tokens: DocumentTokens { tokens: TokenSlice::U16(&[]), scored_from: 0 }, bytes: 0, words: 0, chars: 0, name: String::new() } }
    /// What was read and what was left out.
    pub fn statistics(&self) -> Statistics { Statistics::default() }
    /// Whether the round trip of the whole corpus lost nothing.
    pub fn is_lossless(&self) -> bool { true }
    /// The token to feed before each document.
    pub fn document_token(&self) -> u32 { 256 }
}

/// One document of a corpus.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// File name, with the line for JSON records.
    pub name: String,
    /// Its tokens.
    pub tokens: DocumentTokens<'a>,
    /// Bytes of the scored text.
    pub bytes: u64,
    /// White-space separated words of the scored text.
    pub words: u64,
    /// Characters of the scored text.
    pub chars: u64,
}

/// Tokens of a document, in the mapped cache; without the document token.
#[derive(Debug, Clone, Copy)]
pub struct DocumentTokens<'a> { tokens: TokenSlice<'a>, scored_from: usize }
#[derive(Debug, Clone, Copy)]
enum TokenSlice<'a> { U16(&'a [u16]), U32(&'a [u32]) }
impl DocumentTokens<'_> {
    /// Number of tokens, at least 1.
    pub fn len(&self) -> usize { match self.tokens { TokenSlice::U16(t) => t.len(), TokenSlice::U32(t) => t.len() } }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool { self.len() == 0 }
    /// Index of the first token that is a target; those before it are context only. 0 except in synthetic tasks.
    pub fn scored_from(&self) -> usize { self.scored_from }
    /// Tokens of a range.
    pub fn range(&self, range: Range<usize>) -> Vec<u32> { match self.tokens { TokenSlice::U16(t) => t[range].iter().map(|&t| t.into()).collect(), TokenSlice::U32(t) => t[range].to_vec() } }
    /// All tokens.
    pub fn to_vec(&self) -> Vec<u32> { self.range(0..self.len()) }
}
