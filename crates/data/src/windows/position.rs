//! Where a sampler stands, and how equal samplers are told from others.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::WindowOptions;
use crate::Part;
use crate::tokenizer::sha256_hex;

/// Where a sampler stands: enough to go on exactly.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::{Corpus, DataConfig, Packing, Part, SamplerPosition, Share, Tokenizer, WindowOptions, Windows};
/// # let cache = tempfile::tempdir().unwrap();
/// # let config = DataConfig { cache: Some(cache.path().into()), ..DataConfig::from_paths(["synthetic:copy?length=8"]) };
/// # let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {})?;
/// # let parts = [Part::whole("copy", Arc::new(corpus))];
/// # let options = WindowOptions { window: 20, batch: 4, seed: 1, packing: Packing::Document, share: Share::default() };
/// let mut windows = Windows::new(&parts, options)?;
/// windows.next_batch()?;
/// // A checkpoint holds it as JSON.
/// let saved = serde_json::to_string(&windows.position()).unwrap();
///
/// // Another batch size goes on at the same place: two batches of two are one of four.
/// let mut smaller = Windows::new(&parts, WindowOptions { batch: 2, ..options })?;
/// let position: SamplerPosition = serde_json::from_str(&saved).unwrap();
/// smaller.restore(&position)?;
/// assert_eq!(position.windows(), 4);
/// let halves = [smaller.next_batch()?.tokens, smaller.next_batch()?.tokens].concat();
/// assert_eq!(halves, windows.next_batch()?.tokens);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplerPosition {
    pub(super) parts: Vec<PartPosition>,
    pub(super) order_hash: String,
    pub(super) fingerprint: String,
}

/// Where the sampler of one part stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartPosition {
    pub(super) epoch: u64,
    /// Windows taken in this epoch.
    pub(super) next: u64,
    /// Windows taken in all.
    pub(super) taken: u64,
}

impl SamplerPosition {
    /// Windows taken so far, by all processes.
    pub fn windows(&self) -> u64 {
        self.parts.iter().map(|part| part.taken).sum()
    }

    pub(super) fn order_hash_bytes(&self) -> Option<[u8; 32]> {
        let digits = |at: usize| u8::from_str_radix(self.order_hash.get(2 * at..2 * at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..32).map(digits).collect();
        bytes?.try_into().ok()
    }
}

/// The hash after one more window.
pub(super) fn chain(before: &[u8; 32], tokens: &[u32], targets: &[u32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(bytemuck::cast_slice::<u32, u8>(tokens));
    hash.update(bytemuck::cast_slice::<u32, u8>(targets));
    hash.finalize().into()
}

/// Hash of everything that the order of the windows depends on.
pub(super) fn fingerprint(parts: &[Part], options: &WindowOptions) -> String {
    let WindowOptions { window, seed, packing, .. } = options;
    let text = format!("windows 1 {window} {seed} {packing:?}\n{}", description(parts));
    sha256_hex(&[text.as_bytes()])
}

/// What tells the text of some parts from any other.
pub(crate) fn description(parts: &[Part]) -> String {
    let mut text = String::new();
    for Part { weight, corpus, documents, .. } in parts {
        let chosen = documents.iter().fold(0, |hash, &document| percept_random::hash(&[hash, document as u64]));
        text += &format!("{weight:?} {} {} {chosen}\n", corpus.fingerprint(), documents.len());
    }
    text
}
