//! A corpus with its splits.
use std::sync::Arc;
use percept_fault::{Fault, Result};
use crate::{Corpus, DataConfig, Document, Packing, Progress, Tokenizer, WindowOptions, Windows};

/// A part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split { /// For training.
 Train, /// For choices during training.
 Validation, /// For the final figure.
 Test }

/// Documents of one source in one split.
#[derive(Debug, Clone)]
pub struct Part {
    /// What reports call it.
    pub name: String,
    /// Share of the training windows; `None`: by size.
    pub weight: Option<f64>,
    /// Where its documents are.
    pub corpus: Arc<Corpus>,
    /// Indices of its documents in `corpus`, ascending.
    pub documents: Vec<usize>,
}

/// Text, tokenized and split.
#[derive(Debug)]
pub struct Dataset { config: DataConfig, tokenizer: Tokenizer, train: Vec<Part>, validation: Vec<Part>, test: Vec<Part> }
impl Dataset {
    /// Reads, tokenizes (or finds in the cache) and splits what `config` names. `tokenizer`: instead of the one that
    /// `config` names (a resumed run has its own copy).
    pub fn open(config: &DataConfig, tokenizer: Option<Tokenizer>, report: &mut dyn FnMut(Progress)) -> Result<Self> { let _ = (config, tokenizer, report); Err(Fault::internal("being written")) }
    /// The configuration, with standard input replaced by the file that now holds it, so that a run can resume.
    pub fn config(&self) -> &DataConfig { &self.config }
    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer { &self.tokenizer }
    /// The parts of a split; empty where the split has no document.
    pub fn parts(&self, split: Split) -> &[Part] { match split { Split::Train => &self.train, Split::Validation => &self.validation, Split::Test => &self.test } }
    /// Training windows over the training split.
    pub fn windows(&self, options: WindowOptions) -> Result<Windows> { Windows::new(&self.train, options) }
    /// The documents of a split, in order.
    pub fn evaluation(&self, split: Split) -> impl Iterator<Item = Document<'_>> { self.parts(split).iter().flat_map(|part| part.documents.iter().map(|&i| part.corpus.document(i))) }
    /// Whether word and byte figures make sense: the tokens give the text back.
    pub fn is_lossless(&self) -> bool { self.tokenizer.is_lossless() }
    /// The packing that the configuration asks for.
    pub fn packing(&self) -> Packing { self.config.packing }
}
