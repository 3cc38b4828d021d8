//! Training batches: windows of text, drawn without replacement in a seeded order that resumes exactly.
//!
//! An epoch of a part of the text is cut into windows ([`Packing`] says how), and a keyed permutation puts them in order,
//! so the state of the sampler is a few integers. Every token is a target exactly once per epoch; the document token, padding and
//! tokens that belong to another window are marked with [`IGNORED`]. See `docs/data.md` for the rules.

mod grid;
mod position;
mod sequence;

use percept_fault::{Fault, Result};

pub use position::SamplerPosition;
pub(crate) use position::description;
use position::{PartPosition, chain, fingerprint};
use sequence::{Layout, TrainingWindow};

use crate::{Packing, Part};
use percept_random::Permutation;

/// A target that is not trained or scored.
pub const IGNORED: u32 = u32::MAX;
/// Keeps the order of the windows apart from other uses of the same seed.
const SHUFFLE_KEY: u64 = 0x7368_7566;

/// The share of one process in data-parallel training: of the rows of a step, `rank` reads those from
/// `rank * batch` to `(rank + 1) * batch`, so that `world` processes together read what one process with `world` times
/// the batch reads.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::{Corpus, DataConfig, Packing, Part, Share, Tokenizer, WindowOptions, Windows};
/// # let cache = tempfile::tempdir().unwrap();
/// # let config = DataConfig { cache: Some(cache.path().into()), ..DataConfig::from_paths(["synthetic:copy?length=8"]) };
/// # let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {})?;
/// # let parts = [Part::whole("copy", Arc::new(corpus))];
/// let read = |batch, share| {
///     let options = WindowOptions { window: 20, batch, seed: 1, packing: Packing::Document, share };
///     Windows::new(&parts, options)?.next_batch()
/// };
/// let alone = read(4, Share::default())?;
/// let ranks = [read(2, Share { rank: 0, world: 2 })?, read(2, Share { rank: 1, world: 2 })?];
/// assert_eq!([&ranks[0].tokens[..], &ranks[1].tokens].concat(), alone.tokens);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which process, from 0.
    pub rank: usize,
    /// How many processes there are.
    pub world: usize,
}

impl Default for Share {
    fn default() -> Self {
        Self { rank: 0, world: 1 }
    }
}

/// Shape and order of the batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowOptions {
    /// Tokens per window (the model's context).
    pub window: usize,
    /// Windows per batch, in this process.
    pub batch: usize,
    /// Seed of the order.
    pub seed: u64,
    /// Whether windows keep to one document.
    pub packing: Packing,
    /// This process's share.
    pub share: Share,
}

/// A batch of windows, in plain memory.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::{Corpus, DataConfig, IGNORED, Packing, Part, Share, Tokenizer, WindowOptions, Windows};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("hi.txt");
/// # std::fs::write(&path, "hi!").unwrap();
/// # let cache = Some(folder.path().join("cache"));
/// # let config = DataConfig { cache, ..DataConfig::from_paths([path.display().to_string()]) };
/// # let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {})?;
/// # let parts = [Part::whole("hi", Arc::new(corpus))];
/// # let options = WindowOptions { window: 5, batch: 1, seed: 1, packing: Packing::Document, share: Share::default() };
/// // A window of five tokens over the text `hi!`: the document token predicts the first byte, the rest is padding.
/// let batch = Windows::new(&parts, options)?.next_batch()?;
/// let [h, i, mark] = [b'h', b'i', b'!'].map(u32::from);
/// assert_eq!(batch.tokens, [256, h, i, 256, 256]);
/// assert_eq!(batch.targets, [h, i, mark, IGNORED, IGNORED]);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    /// `[rows * length]`, row-major. Rows of short documents are filled up with the document token.
    pub tokens: Vec<u32>,
    /// Of the same shape: the token after each, or [`IGNORED`].
    pub targets: Vec<u32>,
    /// Windows.
    pub rows: usize,
    /// Tokens per window.
    pub length: usize,
}

/// An endless, seeded sequence of training batches.
///
/// ```
/// use std::sync::Arc;
/// use percept_data::{Corpus, DataConfig, Packing, Part, Share, Tokenizer, WindowOptions, Windows};
/// let cache = tempfile::tempdir().unwrap();
/// let config = DataConfig { cache: Some(cache.path().into()), ..DataConfig::from_paths(["synthetic:copy?length=8"]) };
/// let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {}).unwrap();
/// let options =
///     WindowOptions { window: 20, batch: 4, seed: 1, packing: Packing::Document, share: Share::default() };
/// let mut windows = Windows::new(&[Part::whole("copy", Arc::new(corpus))], options).unwrap();
/// let position = windows.position();
/// let batch = windows.next_batch().unwrap();
/// assert_eq!((batch.rows, batch.length, batch.tokens.len()), (4, 20, 80));
/// windows.restore(&position).unwrap();
/// assert_eq!(windows.next_batch().unwrap(), batch);
/// ```
#[derive(Debug)]
pub struct Windows {
    samplers: Vec<Sampler>,
    options: WindowOptions,
    fingerprint: String,
    order_hash: [u8; 32],
}

impl Windows {
    /// A sampler at its start. Parts are mixed by weight: after any number of windows, each part has given its share to within
    /// a few windows, and starts over when it is used up. Parts without weight weigh as much as they have targets.
    ///
    /// # Errors
    /// A usage fault where there is no text, or an option is out of range.
    pub fn new(parts: &[Part], options: WindowOptions) -> Result<Self> {
        let WindowOptions { window, batch, share, .. } = options;
        if window == 0 || batch == 0 || share.rank >= share.world {
            return Err(Fault::usage(format!(
                "a window of {window} tokens, a batch of {batch} windows, rank {} of {}: each must be at least 1, and the rank below its number",
                share.rank, share.world
            )));
        }
        let mut samplers = Vec::new();
        for (key, part) in parts.iter().enumerate().filter(|(_, part)| !part.documents.is_empty()) {
            samplers.push(Sampler::new(key as u64, part.clone(), options));
        }
        if samplers.is_empty() {
            return Err(
                Fault::usage("there is no text to train on").hint("lower the shares in data.split, or add text")
            );
        }
        let weight: f64 = samplers.iter().map(|sampler| sampler.weight).sum();
        samplers.iter_mut().for_each(|sampler| sampler.weight /= weight);
        let fingerprint = fingerprint(parts, &options);
        Ok(Self { samplers, options, fingerprint, order_hash: [0; 32] })
    }

    /// The next batch of this process.
    ///
    /// # Errors
    /// An environment fault where the token cache is damaged.
    pub fn next_batch(&mut self) -> Result<TokenBatch> {
        let WindowOptions { window, batch, share, .. } = self.options;
        let mut result = TokenBatch {
            tokens: Vec::with_capacity(batch * window),
            targets: Vec::with_capacity(batch * window),
            rows: batch,
            length: window,
        };
        let own = share.rank * batch..(share.rank + 1) * batch;
        for row in 0..share.world * batch {
            let next = self.next_part();
            let sampler = &mut self.samplers[next];
            let index = sampler.next_index(self.options);
            if own.contains(&row) {
                sampler.read(index, self.options, &mut result)?;
                let start = result.tokens.len() - window;
                self.order_hash = chain(&self.order_hash, &result.tokens[start..], &result.targets[start..]);
            }
        }
        Ok(result)
    }

    /// The part that is furthest behind its share.
    fn next_part(&self) -> usize {
        let total: u64 = self.samplers.iter().map(|sampler| sampler.taken).sum();
        let behind = |sampler: &Sampler| sampler.weight * (total + 1) as f64 - sampler.taken as f64;
        let mut furthest = 0;
        for (index, sampler) in self.samplers.iter().enumerate() {
            if behind(sampler) > behind(&self.samplers[furthest]) {
                furthest = index;
            }
        }
        furthest
    }

    /// Where the sampler stands. Going on from here is exact, with another batch size or number of processes, too.
    pub fn position(&self) -> SamplerPosition {
        let position =
            |sampler: &Sampler| PartPosition { epoch: sampler.epoch, next: sampler.next, taken: sampler.taken };
        SamplerPosition {
            parts: self.samplers.iter().map(position).collect(),
            order_hash: self.order_hash(),
            fingerprint: self.fingerprint.clone(),
        }
    }

    /// Goes to a position of a sampler over the same text with the same window, seed and packing.
    ///
    /// # Errors
    /// A usage fault where the position is of another sampler.
    pub fn restore(&mut self, position: &SamplerPosition) -> Result<()> {
        let other = || {
            Fault::usage("the training text or its order is not the one of the checkpoint").hint(
                "resume with the same text, tokenizer, window, seed and packing, or start a new run with --init-from",
            )
        };
        let hash = position.order_hash_bytes().ok_or_else(other)?;
        if position.fingerprint != self.fingerprint || position.parts.len() != self.samplers.len() {
            return Err(other());
        }
        for (sampler, at) in self.samplers.iter_mut().zip(&position.parts) {
            sampler.start_epoch(at.epoch, self.options);
            (sampler.next, sampler.taken) = (at.next, at.taken);
        }
        self.order_hash = hash;
        Ok(())
    }

    /// Passes over the text so far, e.g. 0.5; with several parts, their mean by weight.
    pub fn epochs(&self) -> f64 {
        let epochs = |sampler: &Sampler| sampler.epoch as f64 + sampler.next as f64 / sampler.layout.count() as f64;
        self.samplers.iter().map(|sampler| sampler.weight * epochs(sampler)).sum()
    }

    /// Windows in the current pass over all parts. Another pass may have a few more or less, since the phase of long documents
    /// changes.
    pub fn windows_per_epoch(&self) -> u64 {
        self.samplers.iter().map(|sampler| sampler.layout.count()).sum()
    }

    /// Targets in a pass over all parts.
    pub fn targets_per_epoch(&self) -> u64 {
        self.samplers.iter().map(|sampler| sampler.targets).sum()
    }

    /// Hash of all windows returned so far, in order, as hexadecimal digits: equal for runs that saw equal data.
    pub fn order_hash(&self) -> String {
        percept_files::hex(&self.order_hash)
    }
}

/// The windows of one part, epoch after epoch.
#[derive(Debug)]
struct Sampler {
    key: u64,
    part: Part,
    /// Share of the windows; all shares sum to 1.
    weight: f64,
    targets: u64,
    epoch: u64,
    /// Windows taken in this epoch.
    next: u64,
    /// Windows taken in all.
    taken: u64,
    layout: Layout,
    order: Permutation,
}

impl Sampler {
    fn new(key: u64, part: Part, options: WindowOptions) -> Self {
        let targets = part.documents.iter().map(|&document| part.corpus.tokens(document).targets() as u64).sum();
        let weight = part.weight.unwrap_or(targets as f64);
        let (layout, order) = epoch_of(key, &part, 0, options);
        Self { key, part, weight, targets, epoch: 0, next: 0, taken: 0, layout, order }
    }

    fn start_epoch(&mut self, epoch: u64, options: WindowOptions) {
        if epoch != self.epoch {
            (self.layout, self.order) = epoch_of(self.key, &self.part, epoch, options);
        }
        (self.epoch, self.next) = (epoch, 0);
    }

    /// Takes a window.
    fn next_index(&mut self, options: WindowOptions) -> u64 {
        if self.next >= self.layout.count() {
            self.start_epoch(self.epoch + 1, options);
        }
        let index = self.order.apply(self.next);
        self.next += 1;
        self.taken += 1;
        index
    }

    /// Appends window `index` to a batch.
    fn read(&self, index: u64, options: WindowOptions, batch: &mut TokenBatch) -> Result<()> {
        let TrainingWindow { tokens, first } = self.layout.window(&self.part, index, options.window as u64);
        let vocabulary = self.part.corpus.vocab_size() as u32;
        if tokens.len() < 2 || tokens.iter().any(|(token, _)| *token >= vocabulary) {
            return Err(Fault::environment(format!("the token cache of {} is damaged", self.part.name))
                .hint("remove the cache folder (data.cache), then run the same command again"));
        }
        let end = batch.tokens.len() + options.window;
        for (at, pair) in tokens.windows(2).enumerate() {
            let [(input, _), (target, scored)] = [pair[0], pair[1]];
            batch.tokens.push(input);
            batch.targets.push(if scored && at >= first { target } else { IGNORED });
        }
        batch.tokens.resize(end, self.part.corpus.document_token());
        batch.targets.resize(end, IGNORED);
        Ok(())
    }
}

fn epoch_of(key: u64, part: &Part, epoch: u64, options: WindowOptions) -> (Layout, Permutation) {
    let seed = percept_random::hash(&[options.seed, key]);
    let layout = Layout::new(part, options.packing, options.window as u64, seed, epoch);
    let order = Permutation::new(layout.count(), &[SHUFFLE_KEY, seed, epoch]);
    (layout, order)
}

#[cfg(test)]
mod tests;
