//! Several tokens at a time from order-agnostic models ([`percept_model::order_agnostic`]).
//!
//! - [`generate_blocks`]: sliding block-wise decoding (COrAL, arXiv 2410.09675): a block of drafts is predicted again in every round, by all
//!   sources in it, until its tokens are fixed from the left. The text is another than that of the model token by token.
//! - [`generate_speculatively`]: predictions further on are drafts, which the next-token distribution verifies: the text is distributed as
//!   that of [`crate::generate()`].

mod config;
mod decoder;
mod draft;
mod oracle;
#[cfg(test)]
mod parity_tests;
mod speculation;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod weights;
mod writer;

use percept_data::Tokenizer;
use percept_fault::{Fault, Result};
use percept_model::Session;

pub use config::{CoralConfig, Tree};
use decoder::{Decoder, End};
use oracle::SessionOracle;
use speculation::Speculation;
use writer::Writer;

use crate::{Generation, GenerationConfig};

/// A text that was written in rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct InRounds {
    /// The text.
    pub text: Generation,
    /// Tokens that each round fixed. Where a stop string or the limit ends the text, the last round may have fixed more than it shows; where
    /// rounds end before the text, what they left unfixed is shown too.
    pub fixed: Vec<usize>,
    /// Drafts that the next-token distribution was asked about, and those that it accepted; none of block-wise decoding.
    pub drafts: [usize; 2],
}

/// Feeds the prompt and writes a text after it block by block; `emit` gets the text as its tokens are fixed. Of `config` the number of tokens
/// and the stop strings count: each position gets its likeliest token.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::Tokenizer;
/// # use percept_generate::{CoralConfig, GenerationConfig, generate_blocks};
/// # use percept_model::config::Objective;
/// # use percept_model::{LanguageModel, ModelConfig, Session};
/// # let objective = Objective::OrderAgnostic;
/// # let config = ModelConfig { objective, layers: "llp(segment=8)".into(), vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// let (tokenizer, config) = (Tokenizer::bytes(), GenerationConfig { tokens: 40, ..Default::default() });
/// // No token is waited for: every round fixes all that it drafts.
/// let coral = CoralConfig { occurrences: 0, ..CoralConfig::default() };
/// let written = generate_blocks(&mut Session::new(model), &tokenizer, &[256, 72], &config, &coral, &mut |_| Ok(()))?;
/// // Four offsets after the last token: 40 tokens in ten rounds.
/// assert_eq!((written.text.tokens, written.fixed), (40, vec![4; 10]));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
///
/// # Errors
/// Usage: no prompt, a value out of range, or a model that predicts the next token only; and whatever `emit` returns.
pub fn generate_blocks(
    session: &mut Session,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    config: &GenerationConfig,
    coral: &CoralConfig,
    emit: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<InRounds> {
    config.validate()?;
    coral.validate(session.model().config().order_agnostic)?;
    let mut written = Written::begin(session, tokenizer, prompt, config, emit)?;
    let (learned, end) = (written.oracle.offsets(), End { most: prompt.len() + config.tokens, token: None });
    let mut decoder = Decoder::new(prompt, *coral, learned, end);
    let mut draws = (0..).map(|index| percept_random::uniform(coral.seed, index));
    let mut goes_on = config.tokens > 0;
    while goes_on {
        let before = decoder.fixed();
        let flow = decoder.round(&mut written.oracle, &mut || draws.next().unwrap_or_default())?;
        let fixed = decoder.fixed().min(decoder.text().len());
        written.fixed.push(fixed - before);
        let until = if flow.is_break() { decoder.text().len() } else { fixed };
        goes_on = written.writer.push(&decoder.text()[before..until])?.is_continue() && flow.is_continue();
    }
    written.finish(decoder.text(), prompt.len(), [0, 0])
}

/// Feeds the prompt and writes a text after it, distributed as that of [`crate::generate()`] with the same configuration (but another one: the
/// draws differ), and equal to it at temperature 0; `emit` gets the text as it grows.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::Tokenizer;
/// # use percept_generate::{GenerationConfig, SamplingConfig, generate, generate_speculatively};
/// # use percept_model::config::Objective;
/// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
/// # let objective = Objective::OrderAgnostic;
/// # let config = ModelConfig { objective, layers: "llp(segment=8)".into(), vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// let sampling = SamplingConfig { temperature: 0.0, ..Default::default() };
/// let (tokenizer, config) = (Tokenizer::bytes(), GenerationConfig { tokens: 30, sampling, ..Default::default() });
/// let prompt = [256, 72];
/// let written = generate_speculatively(&mut Session::new(model.clone()), &tokenizer, &prompt, &config, &mut |_| Ok(()))?;
/// let one_by_one = generate(&mut Session::new(model), &tokenizer, &prompt, &config, &mut |_| Ok(()))?;
/// assert_eq!(written.text.text, one_by_one.text);
/// // A token in every round, and the drafts that were accepted.
/// assert_eq!(written.fixed.len() + written.drafts[1], written.fixed.iter().sum::<usize>());
/// # Ok::<(), percept_fault::Fault>(())
/// ```
///
/// # Errors
/// As [`generate_blocks`].
pub fn generate_speculatively(
    session: &mut Session,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    config: &GenerationConfig,
    emit: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<InRounds> {
    config.validate()?;
    let mut written = Written::begin(session, tokenizer, prompt, config, emit)?;
    let (forward, most) = (written.oracle.offsets().forward, prompt.len() + config.tokens);
    let mut speculation =
        Speculation::new((prompt, most), forward, config.sampling.clone(), tokenizer.document_token())?;
    let mut drafts = [0, 0];
    let mut goes_on = config.tokens > 0;
    while goes_on {
        let before = speculation.text().len();
        let [made, accepted] = speculation.round(&mut written.oracle)?;
        drafts = [drafts[0] + made, drafts[1] + accepted];
        written.fixed.push(speculation.text().len() - before);
        goes_on = written.writer.push(&speculation.text()[before..])?.is_continue();
    }
    written.finish(speculation.text(), prompt.len(), drafts)
}

/// A text that is written in rounds.
struct Written<'a> {
    oracle: SessionOracle<'a>,
    writer: Writer<'a>,
    fixed: Vec<usize>,
}

impl<'a> Written<'a> {
    fn begin(
        session: &'a mut Session,
        tokenizer: &Tokenizer,
        prompt: &[u32],
        config: &GenerationConfig,
        emit: &'a mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<Self> {
        let [.., _] = prompt else {
            return Err(Fault::usage("there is no prompt: its last token is asked what comes after it")
                .hint("give a prompt of at least one token, or decode token by token"));
        };
        let seen = [session.recent_tokens(), prompt].concat();
        let mut oracle = SessionOracle::new(session, tokenizer.document_token());
        oracle.settle(prompt, prompt.len() - 1)?;
        Ok(Self { oracle, writer: Writer::new(tokenizer, &seen, config, emit), fixed: Vec::new() })
    }

    /// Ends the text; the session has then read all but its last token.
    fn finish(mut self, text: &[u32], prompt: usize, drafts: [usize; 2]) -> Result<InRounds> {
        let read = prompt + self.writer.tokens();
        self.oracle.settle(text, read - 1)?;
        Ok(InRounds { text: self.writer.finish()?, fixed: self.fixed, drafts })
    }
}
