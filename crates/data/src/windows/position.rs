//! Where a sampler stands, and how equal samplers are told from others.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::WindowOptions;
use crate::Part;
use crate::tokenizer::sha256_hex;

/// Where a sampler stands: enough to go on exactly.
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
