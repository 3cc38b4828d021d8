//! One text on its way.

use std::borrow::BorrowMut;
use std::time::Instant;

use percept_data::{Detokenizer, Tokenizer};
use percept_fault::Result;
use percept_model::Session;

use crate::gate::Gate;
use crate::{Generation, GenerationConfig, Piece, Sampler, Told, ToldToken};

/// A text on its way: a session of its own (or borrowed), what of the prompt is still to be read, and how it goes on.
/// A [`crate::Batch`] writes it.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::Tokenizer;
/// # use percept_generate::{Batch, GenerationConfig, Stream};
/// # use percept_model::{LanguageModel, ModelConfig, Session};
/// # let config = ModelConfig { layers: "llp(segment=8)".into(), vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// let tokenizer = Tokenizer::bytes();
/// let mut prompt = vec![tokenizer.document_token()];
/// prompt.extend(tokenizer.encode(b"a long prompt")?);
/// let config = GenerationConfig { tokens: 1000, ..Default::default() };
/// let mut batch = Batch::default();
/// let id = batch.join(Stream::new(Session::new(model), &tokenizer, &prompt, &config)?);
/// // The prompt has 14 tokens: two rounds read it, the second one draws the first token, the third feeds that token.
/// for _ in 0..3 {
///     batch.step(10, &mut |_, piece| Ok(print!("{}", piece.text)))?;
/// }
/// // Whoever asked has gone: the session comes back, and can go on later.
/// let session = batch.leave(id).unwrap().into_session();
/// assert_eq!((session.position(), batch.is_empty()), (15, true));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug)]
pub struct Stream<S = Session> {
    session: S,
    /// What of the prompt is still to be read.
    unread: Vec<u32>,
    sampler: Sampler,
    detokenizer: Detokenizer,
    gate: Gate,
    limit: usize,
    told: Told,
    /// Tokens of the prompt that were read, of which nobody was told yet.
    untold: Vec<ToldToken>,
    /// The token that was drawn last; it is fed when the next one is wanted.
    token: u32,
    tokens: usize,
    text: String,
    begin: Option<Instant>,
}

impl<S: BorrowMut<Session>> Stream<S> {
    /// A text after `prompt`, which the batch reads. Where it is empty, the text goes on from what the session has seen.
    ///
    /// # Errors
    /// Usage: a value of the configuration is out of range.
    pub fn new(session: S, tokenizer: &Tokenizer, prompt: &[u32], config: &GenerationConfig) -> Result<Self> {
        let mut stream = Self::after(session, tokenizer, prompt, config)?;
        let seen = [stream.session.borrow().recent_tokens(), prompt].concat();
        stream.detokenizer = tokenizer.detokenizer_after(&seen);
        stream.unread = prompt.to_vec();
        Ok(stream)
    }

    /// A text after a prompt that the session has read.
    ///
    /// # Errors
    /// As [`Stream::new`].
    pub fn after(session: S, tokenizer: &Tokenizer, prompt: &[u32], config: &GenerationConfig) -> Result<Self> {
        config.validate()?;
        let mut sampler = Sampler::new(config.sampling.clone(), &[tokenizer.document_token()])?;
        prompt.iter().for_each(|&token| sampler.observe(token));
        Ok(Self {
            detokenizer: tokenizer.detokenizer_after(session.borrow().recent_tokens()),
            session,
            unread: Vec::new(),
            sampler,
            gate: Gate::new(&config.stop),
            limit: config.tokens,
            told: config.told,
            untold: Vec::new(),
            token: 0,
            tokens: 0,
            text: String::new(),
            begin: None,
        })
    }

    /// The session; it has not yet seen the token that was drawn last.
    pub fn session(&self) -> &Session {
        self.session.borrow()
    }

    /// Gives the session back.
    pub fn into_session(self) -> S {
        self.session
    }

    /// The session, and the token that it is to be fed next; `None` before the first one was drawn.
    pub(crate) fn next(&mut self) -> Option<(&mut Session, u32)> {
        self.begin.is_some().then(|| (self.session.borrow_mut(), self.token))
    }

    /// The token that was drawn last, which the session has not seen; `None` where none was drawn.
    pub(crate) fn unfed(&self) -> Option<u32> {
        (self.tokens > 0).then_some(self.token)
    }

    /// Whether the whole prompt was read.
    pub fn is_read(&self) -> bool {
        self.unread.is_empty()
    }

    /// Reads the prompt on to the next multiple of `piece` tokens, counted from the start of the session, or to its end: so the
    /// same tokens come in the same pieces, whatever of them a session has read before, and give the same bits.
    ///
    /// A batch does it for the streams in it. Who wants to choose which stream reads, and when, does it before the stream joins.
    ///
    /// # Errors
    /// A token outside the vocabulary.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use percept_data::Tokenizer;
    /// # use percept_generate::{GenerationConfig, Stream};
    /// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
    /// # let config = ModelConfig { layers: "llp(segment=8)".into(), vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
    /// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
    /// let mut stream = Stream::new(Session::new(model), &Tokenizer::bytes(), &[97; 25], &GenerationConfig::default())?;
    /// let mut positions = Vec::new();
    /// while !stream.is_read() {
    ///     stream.read(10)?;
    ///     positions.push(stream.session().position());
    /// }
    /// assert_eq!(positions, [10, 20, 25]);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn read(&mut self, piece: usize) -> Result<()> {
        let session = self.session.borrow_mut();
        let piece = piece.max(1);
        let tokens = (piece - session.position() % piece).min(self.unread.len());
        let piece: Vec<u32> = self.unread.drain(..tokens).collect();
        match self.told.prompt() {
            None if piece.is_empty() => Ok(()),
            None => session.feed(&piece).map(drop),
            Some(alternatives) => {
                let untold = &mut self.untold;
                session.feed_with(&piece, &mut |token, row| untold.push(ToldToken::new(token, row, alternatives)))
            }
        }
    }

    /// Reads a piece of the prompt, and draws the first token once it was read.
    pub(crate) fn read_and_draw(&mut self, piece: usize) -> Result<Piece> {
        if !self.is_read() {
            self.read(piece)?;
        }
        if !self.is_read() {
            return Ok(Piece { text: String::new(), tokens: std::mem::take(&mut self.untold) });
        }
        let row = self.session.borrow().log_probabilities()?;
        self.draw(&row)
    }

    /// Draws the next token, unless there are enough; returns what may be shown.
    pub(crate) fn draw(&mut self, log_probabilities: &[f32]) -> Result<Piece> {
        self.begin.get_or_insert_with(Instant::now);
        let mut tokens = std::mem::take(&mut self.untold);
        if self.tokens == self.limit {
            return Ok(Piece { text: String::new(), tokens });
        }
        self.token = self.sampler.next(log_probabilities)?;
        self.tokens += 1;
        if let Some(alternatives) = self.told.written() {
            tokens.push(ToldToken::new(self.token, Some(log_probabilities), alternatives));
        }
        let text = self.gate.pass(&self.detokenizer.push(self.token));
        self.text.push_str(&text);
        Ok(Piece { text, tokens })
    }

    /// Whether no token comes any more.
    pub(crate) fn is_at_end(&self) -> bool {
        self.tokens == self.limit || self.gate.is_closed()
    }

    /// Ends the text; what was held back may be shown.
    pub(crate) fn end(mut self) -> (S, String, Generation) {
        let mut rest = self.gate.pass(&self.detokenizer.finish());
        let stopped = self.gate.is_closed();
        let seconds = self.begin.map_or(0.0, |begin| begin.elapsed().as_secs_f64());
        rest.push_str(&self.gate.finish());
        self.text.push_str(&rest);
        (self.session, rest, Generation { tokens: self.tokens, text: self.text, stopped, seconds })
    }
}
