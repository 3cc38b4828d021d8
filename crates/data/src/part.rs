//! What windows are drawn from: documents of a corpus.

use std::sync::Arc;

use crate::{Corpus, Document};

/// Documents of a corpus that belong to one split.
///
/// ```
/// use std::sync::Arc;
/// use percept_data::{Corpus, DataConfig, Packing, Part, Share, Tokenizer, WindowOptions, Windows};
/// # let cache = tempfile::tempdir().unwrap();
/// # let corpus = |source: &str| {
/// #     let config = DataConfig { cache: Some(cache.path().into()), ..DataConfig::from_paths([source]) };
/// #     Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {}).map(Arc::new)
/// # };
/// let [copy, reverse] = [corpus("synthetic:copy?length=9")?, corpus("synthetic:reverse?length=9")?];
/// // Three windows of one for each of the other, whatever their sizes.
/// let parts = [
///     Part { weight: Some(3.0), ..Part::whole("copy", copy) },
///     Part { weight: Some(1.0), ..Part::whole("reverse", reverse) },
/// ];
/// let options = WindowOptions { window: 20, batch: 8, seed: 1, packing: Packing::Document, share: Share::default() };
/// let batch = Windows::new(&parts, options)?.next_batch()?;
/// // Where the symbols come again in the same order, it is a copy.
/// let is_copy = |row: &&[u32]| row[1..9] == row[11..19];
/// assert_eq!(batch.tokens.chunks(20).filter(is_copy).count(), 6);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
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
