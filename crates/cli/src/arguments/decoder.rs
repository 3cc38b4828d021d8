//! How `percept generate` decides on tokens: one by one, or several at a time.

use clap::{Args, ValueEnum};
use percept::data::Tokenizer;
use percept::generate::{
    CoralConfig, Generation, GenerationConfig, InRounds, Tree, generate, generate_blocks, generate_speculatively,
};
use percept::model::Session;
use percept::{Fault, Result};
use serde::Serialize;

/// How tokens are decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DecoderKind {
    /// One by one, of any model
    NextToken,
    /// In blocks that are predicted again until they stay the same: fewer passes, and another text. The likeliest tokens are taken, whatever the sampling options say
    Coral,
    /// Several at a time, accepted as often as keeps the text distributed as one by one; at temperature 0 it is the same
    Lossless,
}

/// Options of decoders.
#[derive(Debug, Args)]
#[command(next_help_heading = "Several tokens at a time, of order-agnostic models")]
pub(crate) struct DecoderArgs {
    /// How tokens are decided on
    #[arg(long, value_name = "DECODER", value_enum, default_value_t = DecoderKind::NextToken)]
    decoder: DecoderKind,
    /// coral: most tokens that are on their way at a time [default: 16]
    #[arg(long, value_name = "N")]
    block: Option<usize>,
    /// coral: a token is fixed once it has stayed the same for more than N rounds [default: 8]
    #[arg(long, value_name = "N")]
    occurrences: Option<usize>,
    /// coral: end after N rounds, however short the text is [default: 64, and 8 for each token]
    #[arg(long, value_name = "N")]
    max_rounds: Option<usize>,
    /// coral: verify a tree of candidates in each round, and fix what is accepted by chance
    #[arg(long)]
    verify: bool,
    /// --verify: candidates are made of the K likeliest tokens of a position [default: 16]
    #[arg(long, value_name = "K")]
    tree_width: Option<usize>,
    /// --verify: offsets after a token that score candidates [default: 4]
    #[arg(long, value_name = "N")]
    verify_forward: Option<usize>,
    /// --verify: offsets before a token that score candidates [default: 8]
    #[arg(long, value_name = "N")]
    verify_backward: Option<usize>,
    /// --verify: a prediction agrees with a token of at least this probability, less where it is unsure [default: 0.1]
    #[arg(long, value_name = "P")]
    epsilon: Option<f64>,
}

/// How a text is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Decoding {
    /// Token by token.
    OneByOne,
    /// In blocks.
    Blocks(CoralConfig),
    /// With drafts that are verified.
    Speculative,
}

/// What `--json` prints of a text that was written in rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Rounds {
    rounds: usize,
    /// Of each round.
    fixed: Vec<usize>,
    drafted: usize,
    accepted: usize,
}

impl DecoderArgs {
    /// What the options ask for.
    ///
    /// # Errors
    /// Usage: an option of another decoder.
    pub(crate) fn decoding(&self, seed: u64) -> Result<Decoding> {
        let given = |options: &[(&'static str, bool)]| options.iter().find(|(_, given)| *given).map(|(name, _)| *name);
        let of_tree = given(&[
            ("--tree-width", self.tree_width.is_some()),
            ("--verify-forward", self.verify_forward.is_some()),
            ("--verify-backward", self.verify_backward.is_some()),
            ("--epsilon", self.epsilon.is_some()),
        ]);
        let of_coral = given(&[
            ("--block", self.block.is_some()),
            ("--occurrences", self.occurrences.is_some()),
            ("--max-rounds", self.max_rounds.is_some()),
            ("--verify", self.verify),
        ]);
        let misplaced = |option: &str, needs: &str| {
            Err(Fault::usage(format!("{option} is an option of {needs}"))
                .hint(format!("give {needs} too, or leave it out")))
        };
        match (self.decoder, of_coral.or(of_tree), of_tree) {
            (DecoderKind::Coral, _, Some(option)) if !self.verify => misplaced(option, "--verify"),
            (DecoderKind::Coral, ..) => Ok(Decoding::Blocks(self.coral(seed))),
            (_, Some(option), _) => misplaced(option, "--decoder coral"),
            (DecoderKind::NextToken, None, _) => Ok(Decoding::OneByOne),
            (DecoderKind::Lossless, None, _) => Ok(Decoding::Speculative),
        }
    }

    fn coral(&self, seed: u64) -> CoralConfig {
        let (blocks, tree) = (CoralConfig::default(), Tree::default());
        let tree = Tree {
            width: self.tree_width.unwrap_or(tree.width),
            forward: self.verify_forward.unwrap_or(tree.forward),
            backward: self.verify_backward.unwrap_or(tree.backward),
            epsilon: self.epsilon.unwrap_or(tree.epsilon),
        };
        CoralConfig {
            block: self.block.unwrap_or(blocks.block),
            occurrences: self.occurrences.unwrap_or(blocks.occurrences),
            tree: self.verify.then_some(tree),
            most_rounds: self.max_rounds,
            seed,
        }
    }
}

impl Decoding {
    /// Whether several texts can be written at once.
    pub(crate) fn takes_streams(self) -> bool {
        matches!(self, Self::OneByOne)
    }

    /// Writes a text, and tells of its rounds where there are any.
    pub(crate) fn write(
        self,
        session: &mut Session,
        tokenizer: &Tokenizer,
        prompt: &[u32],
        config: &GenerationConfig,
        emit: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<(Generation, Option<Rounds>)> {
        let InRounds { text, fixed, drafts: [drafted, accepted] } = match self {
            Self::OneByOne => return Ok((generate(session, tokenizer, prompt, config, emit)?, None)),
            Self::Blocks(coral) => generate_blocks(session, tokenizer, prompt, config, &coral, emit)?,
            Self::Speculative => generate_speculatively(session, tokenizer, prompt, config, emit)?,
        };
        Ok((text, Some(Rounds { rounds: fixed.len(), fixed, drafted, accepted })))
    }
}

impl Rounds {
    /// In a line.
    pub(crate) fn summary(&self, tokens: usize) -> String {
        let rate = tokens as f64 / self.rounds.max(1) as f64;
        match self.drafted {
            0 => format!("{} rounds, {rate:.2} tokens each", self.rounds),
            drafted => format!(
                "{} rounds, {rate:.2} tokens each; {} of {drafted} drafts were accepted",
                self.rounds, self.accepted
            ),
        }
    }
}
