//! The window sampler.
use percept_fault::{Fault, Result};
use serde::{Deserialize, Serialize};
use crate::{Packing, Part};
/// A target that is not trained or scored.
pub const IGNORED: u32 = u32::MAX;
/// The share of one process in data-parallel training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share { /// Which process, from 0.
 pub rank: usize, /// How many there are.
 pub world: usize }
impl Default for Share { fn default() -> Self { Self { rank: 0, world: 1 } } }
/// Shape and order of the batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowOptions {
    /// Tokens per window (the model's context).
    pub window: usize,
    /// Windows per batch of this process.
    pub batch: usize,
    /// Seed of the order.
    pub seed: u64,
    /// Whether windows keep to one document.
    pub packing: Packing,
    /// This process's share.
    pub share: Share,
}
/// A batch of plain numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    /// `[rows * length]`, row-major.
    pub tokens: Vec<u32>,
    /// Same shape; the token after each, or [`IGNORED`].
    pub targets: Vec<u32>,
    /// Windows.
    pub rows: usize,
    /// Tokens per window.
    pub length: usize,
}
/// Where a sampler stands: enough to go on exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplerPosition { taken: Vec<u64>, order_hash: String, fingerprint: String }
/// Draws windows without replacement in a seeded order.
#[derive(Debug)]
pub struct Windows(());
impl Windows {
    /// A sampler at its start.
    pub fn new(parts: &[Part], options: WindowOptions) -> Result<Self> { let _ = (parts, options); Err(Fault::internal("being written")) }
    /// The next batch.
    pub fn next_batch(&mut self) -> Result<TokenBatch> { Err(Fault::internal("being written")) }
    /// Where the sampler stands.
    pub fn position(&self) -> SamplerPosition { SamplerPosition { taken: vec![], order_hash: String::new(), fingerprint: String::new() } }
    /// Goes to a position of an equal sampler (same data, window, seed, packing).
    pub fn restore(&mut self, position: &SamplerPosition) -> Result<()> { let _ = position; Ok(()) }
    /// Passes over the data so far (the mean over weighted sources), e.g. 0.5.
    pub fn epochs(&self) -> f64 { 0.0 }
    /// Windows in one pass over all parts.
    pub fn windows_per_epoch(&self) -> u64 { 0 }
    /// Targets in one pass over all parts.
    pub fn targets_per_epoch(&self) -> u64 { 0 }
    /// Hash of all tokens and targets returned so far, as hexadecimal digits: equal for runs that saw equal data in equal order.
    pub fn order_hash(&self) -> String { String::new() }
}
