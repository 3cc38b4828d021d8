//! Generation: text from a model, token by token.
//!
//! - [`sampling`]: the next token from a distribution
//! - [`generate()`], [`generate_streams`]: text from a session, or from several at once
//! - [`generate_blocks`], [`generate_speculatively`]: several tokens at a time, from order-agnostic models
//! - [`fill()`]: masked tokens of a text, from an encoder
//! - [`Batch`] and [`Stream`]: texts that join and leave while others are written, one pass over the weights for all
//!
//! Begin with the example of [`generate()`]; a server has one [`Batch`]. What is shown of a text is always valid UTF-8 and never holds a part of a stop string.

mod batch;
mod coral;
mod fill;
mod gate;
pub mod sampling;
mod stream;
#[cfg(test)]
mod tests;
mod told;

use percept_data::Tokenizer;
use percept_fault::{Fault, Result};
use percept_model::Session;

pub use batch::{Batch, Ended};
pub use coral::{CoralConfig, InRounds, Tree, generate_blocks, generate_speculatively};
pub use fill::{Candidate, Filled, MASK, fill};
pub use sampling::{Sampler, SamplingConfig};
pub use stream::Stream;
pub use told::{Piece, Told, ToldToken};

/// How much to generate, and how.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::Tokenizer;
/// # use percept_generate::{GenerationConfig, SamplingConfig, generate};
/// # use percept_model::{LanguageModel, ModelConfig, Session};
/// # let config = ModelConfig { layers: "llp(segment=8)".into(), vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// let tokenizer = Tokenizer::bytes();
/// let config = GenerationConfig {
///     tokens: 100,
///     sampling: SamplingConfig { temperature: 0.8, top_p: Some(0.9), seed: 3, ..Default::default() },
///     stop: vec!["e".into(), "\n".into()],
///     ..Default::default()
/// };
/// let text = generate(&mut Session::new(model), &tokenizer, &[256, 72, 105], &config, &mut |_| Ok(()))?;
/// // No part of a stop string is shown; without one, all tokens were drawn.
/// assert!(!text.text.contains(['e', '\n']));
/// assert!(text.stopped || text.tokens == 100);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    /// At most this many tokens.
    pub tokens: usize,
    /// How each is chosen.
    pub sampling: SamplingConfig,
    /// Generation ends before the first of these; none may be empty.
    pub stop: Vec<String>,
    /// What is told of single tokens, beside the text.
    pub told: Told,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self { tokens: 256, sampling: SamplingConfig::default(), stop: Vec::new(), told: Told::Nothing }
    }
}

impl GenerationConfig {
    /// # Errors
    /// Usage: an empty stop string, or a sampling value out of range.
    pub fn validate(&self) -> Result<()> {
        if self.stop.iter().any(String::is_empty) {
            return Err(Fault::usage("a stop string is empty").hint("leave it out to generate all tokens"));
        }
        self.sampling.validate()
    }
}

/// What was generated.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Tokens generated, those of a stop string included.
    pub tokens: usize,
    /// The text, without prompt and stop string.
    pub text: String,
    /// True where a stop string ended it.
    pub stopped: bool,
    /// Wall-clock seconds from the first draw on.
    pub seconds: f64,
}

/// Feeds the prompt (token ids) and generates after it; `emit` gets the text as it grows, beginning with a blank where one
/// stands between the end of what the session has seen and the continuation.
///
/// An empty prompt goes on from what the session has seen. The document token is never drawn: models are
/// not trained to predict it.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::Tokenizer;
/// # use percept_generate::{GenerationConfig, generate};
/// # use percept_model::{LanguageModel, ModelConfig, Session};
/// # let config = ModelConfig { vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() }.with("segment", 8)?;
/// # let model = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// let tokenizer = Tokenizer::bytes();
/// let mut session = Session::new(model);
/// let prompt = [tokenizer.document_token(), 72, 105];
/// let config = GenerationConfig { tokens: 5, ..Default::default() };
/// let text = generate(&mut session, &tokenizer, &prompt, &config, &mut |piece| {
///     print!("{piece}");
///     Ok(())
/// })?;
/// // The last token that was drawn waits for the next call.
/// assert_eq!((text.tokens, session.position()), (5, 3 + 4));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
///
/// # Errors
/// A usage fault for an empty prompt on a fresh session, for values out of range, and whatever `emit` returns.
pub fn generate(
    session: &mut Session,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    config: &GenerationConfig,
    emit: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<Generation> {
    let mut texts =
        generate_streams(std::slice::from_mut(session), tokenizer, prompt, config, &mut |_, text| emit(text))?;
    texts.pop().ok_or_else(|| Fault::internal("one session gave no text"))
}

/// Feeds the prompt once and generates one text after it in each of `sessions`, all in one pass over the weights: text i is
/// what [`generate()`] gives in a session of its own with the seed plus i. The first session reads the prompt, the others
/// become its forks. `emit` gets the index of a text and what is new of it.
///
/// # Errors
/// As [`generate()`].
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::Tokenizer;
/// # use percept_generate::{GenerationConfig, SamplingConfig, generate, generate_streams};
/// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
/// # let config = ModelConfig { layers: "llp(segment=8)".into(), vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// let (tokenizer, prompt) = (Tokenizer::bytes(), [256, 72, 105]);
/// let config = GenerationConfig { tokens: 8, ..Default::default() };
/// let mut sessions = vec![Session::new(model.clone()), Session::new(model.clone())];
/// let texts = generate_streams(&mut sessions, &tokenizer, &prompt, &config, &mut |index, piece| {
///     print!("{index}: {piece:?}");
///     Ok(())
/// })?;
/// // The second one is what a session of its own gives with the next seed.
/// let next = GenerationConfig { sampling: SamplingConfig { seed: 1, ..Default::default() }, ..config };
/// let alone = generate(&mut Session::new(model), &tokenizer, &prompt, &next, &mut |_| Ok(()))?;
/// assert_eq!(texts[1].text, alone.text);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn generate_streams(
    sessions: &mut [Session],
    tokenizer: &Tokenizer,
    prompt: &[u32],
    config: &GenerationConfig,
    emit: &mut dyn FnMut(usize, &str) -> Result<()>,
) -> Result<Vec<Generation>> {
    config.validate()?;
    let Some((reader, others)) = sessions.split_first_mut() else { return Ok(Vec::new()) };
    if !prompt.is_empty() {
        reader.feed(prompt)?;
    }
    others.iter_mut().for_each(|session| *session = reader.fork());
    let mut batch = Batch::default();
    for (more, session) in (0..).zip(sessions.iter_mut()) {
        let mut config = config.clone();
        config.sampling.seed = config.sampling.seed.wrapping_add(more);
        batch.join(Stream::after(session, tokenizer, prompt, &config)?);
    }
    let mut texts = Vec::new();
    while !batch.is_empty() {
        let mut show = |stream: usize, piece: Piece| match piece.text.is_empty() {
            true => Ok(()),
            false => emit(stream, &piece.text),
        };
        texts.extend(batch.step(usize::MAX, &mut show)?.into_iter().map(|ended| (ended.stream, ended.generation)));
    }
    texts.sort_by_key(|(stream, _)| *stream);
    texts.into_iter().map(|(_, generation)| generation).collect()
}
