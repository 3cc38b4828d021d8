//! The options of sliding block-wise decoding.

use percept_fault::{Fault, Result};
use percept_model::config::Offsets;

/// How blocks of tokens are decoded (COrAL, arXiv 2410.09675, section 3.3).
///
/// ```
/// use percept_generate::{CoralConfig, Tree};
/// use percept_model::config::Offsets;
/// let config = CoralConfig { block: 8, tree: Some(Tree::default()), ..CoralConfig::default() };
/// // A tree looks 8 tokens back, which a model of 4 has not learned.
/// let fault = config.validate(Offsets { forward: 4, backward: 4 }).unwrap_err();
/// assert_eq!(fault.to_string(), "verify-backward is 8, the model has learned 4");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoralConfig {
    /// Most tokens that are on their way at a time.
    pub block: usize,
    /// A token is fixed once it has stayed the same for more rounds than this.
    pub occurrences: usize,
    /// How drafts are verified; `None`: a draft is the likeliest token of each position.
    pub tree: Option<Tree>,
    /// Most rounds of a text, which ends with them, however short it is; `None`: 64, and 8 for each token. Drafts may go to and fro for ever.
    pub most_rounds: Option<usize>,
    /// Of the draws that accept tokens; without a tree nothing is drawn.
    pub seed: u64,
}

impl Default for CoralConfig {
    fn default() -> Self {
        Self { block: 16, occurrences: 8, tree: None, most_rounds: None, seed: 0 }
    }
}

/// How candidates for a block are made and scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tree {
    /// The tokens of each position that candidates are made of.
    pub width: usize,
    /// Offsets after a source that score.
    pub forward: usize,
    /// Offsets before a source that score.
    pub backward: usize,
    /// A source agrees with a token of at least this probability, or of less where it is unsure.
    pub epsilon: f64,
}

impl Default for Tree {
    fn default() -> Self {
        Self { width: 16, forward: 4, backward: 8, epsilon: 0.1 }
    }
}

/// Nodes of a tree of candidates, for each token of a block.
const NODES: usize = 16;

impl CoralConfig {
    /// # Errors
    /// Usage: a value that is out of range, or beyond what the model has learned.
    pub fn validate(&self, learned: Offsets) -> Result<()> {
        let wrong = |name: &str, value: &dyn std::fmt::Display, range: &str| {
            Err(Fault::usage(format!("{name} is {value}")).hint(format!("{name} {range}")))
        };
        if self.block == 0 {
            return wrong("block", &self.block, "is at least 1");
        }
        if self.most_rounds == Some(0) {
            return wrong("max-rounds", &0, "is at least 1");
        }
        let Some(tree) = self.tree else { return Ok(()) };
        for (name, value, least, most) in [
            ("verify-forward", tree.forward, 1, learned.forward),
            ("verify-backward", tree.backward, 0, learned.backward),
        ] {
            if value > most {
                return Err(Fault::usage(format!("{name} is {value}, the model has learned {most}"))
                    .hint(format!("give {name} at most {most}")));
            }
            if value < least {
                return wrong(name, &value, "is at least 1");
            }
        }
        if tree.width == 0 {
            return wrong("tree-width", &tree.width, "is at least 1");
        }
        if !(tree.epsilon > 0.0 && tree.epsilon <= 1.0) {
            return wrong("epsilon", &tree.epsilon, "lies in (0, 1]");
        }
        Ok(())
    }

    /// Most rounds of a text of so many tokens.
    pub(super) fn rounds(&self, tokens: usize) -> usize {
        self.most_rounds.unwrap_or(tokens.saturating_mul(8).saturating_add(64))
    }

    /// Most nodes of a tree.
    pub(super) fn nodes(&self) -> usize {
        NODES.saturating_mul(self.block)
    }
}
