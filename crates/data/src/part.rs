//! What windows are drawn from: documents of a corpus.

use std::sync::Arc;

use crate::{Corpus, Document};

/// Documents of a corpus that belong to one split.
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

impl Part {
    /// All documents of a corpus.
    pub fn whole(name: impl Into<String>, corpus: Arc<Corpus>) -> Self {
        Self { name: name.into(), weight: None, documents: (0..corpus.documents()).collect(), corpus }
    }

    /// The documents, in order.
    pub fn iter(&self) -> impl Iterator<Item = Document<'_>> {
        self.documents.iter().map(|&index| self.corpus.document(index))
    }
}
