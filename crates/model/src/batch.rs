//! A batch of windows, in plain memory.

use percept_fault::{Fault, Result};

pub use percept_kernels::IGNORED;

/// `rows` windows of `length` tokens, row-major.
///
/// ```
/// use percept_model::{Batch, IGNORED};
/// let batch = Batch { tokens: vec![1, 2, 3, 4], targets: vec![2, 3, 4, IGNORED], rows: 2, length: 2 };
/// assert_eq!((batch.scored(2), batch.last_targets(1)), (3, vec![3, IGNORED]));
/// assert!(batch.validate(4).unwrap_err().is_usage());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// `[rows * length]` input tokens.
    pub tokens: Vec<u32>,
    /// `[rows * length]` targets; [`IGNORED`] where there is none.
    pub targets: Vec<u32>,
    /// Number of windows.
    pub rows: usize,
    /// Tokens per window.
    pub length: usize,
}

impl Batch {
    /// Checks the sizes and that every token is below `vocab`.
    pub fn validate(&self, vocab: usize) -> Result<()> {
        let size = self.rows * self.length;
        if size == 0 || self.tokens.len() != size || self.targets.len() != size {
            return Err(Fault::internal(format!(
                "a batch of {} x {} has {} tokens and {} targets",
                self.rows,
                self.length,
                self.tokens.len(),
                self.targets.len()
            )));
        }
        check_tokens(&self.tokens, vocab)?;
        match self.targets.iter().find(|&&target| target != IGNORED && target as usize >= vocab) {
            Some(target) => Err(outside(*target, vocab)),
            None => Ok(()),
        }
    }

    /// How many targets of the last `latents` positions of every window are scored.
    pub fn scored(&self, latents: usize) -> usize {
        let skip = self.length - latents;
        let last = self.targets.chunks(self.length).flat_map(|row| &row[skip..]);
        last.filter(|&&target| target != IGNORED).count()
    }

    /// Targets of the last `latents` positions of every window.
    pub fn last_targets(&self, latents: usize) -> Vec<u32> {
        let skip = self.length - latents;
        self.targets.chunks(self.length).flat_map(|row| row[skip..].iter().copied()).collect()
    }
}

/// Every token must be below `vocab`.
pub fn check_tokens(tokens: &[u32], vocab: usize) -> Result<()> {
    match tokens.iter().find(|&&token| token as usize >= vocab) {
        Some(token) => Err(outside(*token, vocab)),
        None => Ok(()),
    }
}

fn outside(token: u32, vocab: usize) -> Fault {
    Fault::usage(format!("token {token} is outside the model's vocabulary of {vocab}"))
        .hint("use the tokenizer that the model was trained with")
}

/// A sum of negative log-likelihoods.
///
/// ```
/// use percept_model::Loss;
/// let mut all = Loss { nll: 6.0, targets: 3 };
/// // The mean over all targets, not of the means.
/// all.add(Loss { nll: 1.0, targets: 1 });
/// assert_eq!(all.mean(), 7.0 / 4.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Loss {
    /// Sum of -ln p over the scored targets, in nats.
    pub nll: f64,
    /// Number of scored targets.
    pub targets: usize,
}

impl Loss {
    /// Nats per target.
    pub fn mean(&self) -> f64 {
        self.nll / self.targets.max(1) as f64
    }

    /// Adds another sum.
    pub fn add(&mut self, other: Loss) {
        self.nll += other.nll;
        self.targets += other.targets;
    }
}
