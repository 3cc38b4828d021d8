//! Texts that are written together.

use std::borrow::BorrowMut;

use percept_fault::Result;
use percept_model::Session;
use percept_model::session::step_all;

use crate::{Generation, Piece, Stream};

/// Texts of one model that are written together: each round reads the weights once for all. Texts join and leave between
/// rounds; what is written of one does not depend on the others.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_data::Tokenizer;
/// # use percept_generate::{Batch, GenerationConfig, Stream};
/// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
/// # let config = ModelConfig { vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() }.with("segment", 8)?;
/// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// let tokenizer = Tokenizer::bytes();
/// let stream = |prompt: &[u32], tokens| {
///     let config = GenerationConfig { tokens, ..Default::default() };
///     Stream::new(Session::new(model.clone()), &tokenizer, prompt, &config)
/// };
/// let mut batch = Batch::default();
/// let long = batch.join(stream(&[256, 72, 105], 6)?);
/// batch.step(512, &mut |_, piece| Ok(print!("{}", piece.text)))?;
/// let short = batch.join(stream(&[256], 2)?);
/// let mut order = Vec::new();
/// while !batch.is_empty() {
///     order.extend(batch.step(512, &mut |_, _| Ok(()))?.into_iter().map(|ended| ended.stream));
/// }
/// assert_eq!(order, [short, long]);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug)]
pub struct Batch<S = Session> {
    /// In the order in which they joined.
    streams: Vec<(usize, Stream<S>)>,
    joined: usize,
    /// ln p of every token as the next one, a row for each stream that writes.
    rows: Vec<f32>,
}

/// A text that has ended, and left its batch.
#[derive(Debug)]
pub struct Ended<S = Session> {
    /// What [`Batch::join`] called it.
    pub stream: usize,
    /// Its session, which has seen all but the last token.
    pub session: S,
    /// That token; `None` where none was drawn.
    pub unfed: Option<u32>,
    /// What was generated, or why it could not go on: a fault of one text is none of the others.
    pub generation: Result<Generation>,
}

impl<S> Default for Batch<S> {
    fn default() -> Self {
        Self { streams: Vec::new(), joined: 0, rows: Vec::new() }
    }
}

impl<S: BorrowMut<Session>> Batch<S> {
    /// Takes a stream in; the number by which it is called from now on, counted from 0.
    pub fn join(&mut self, stream: Stream<S>) -> usize {
        self.streams.push((self.joined, stream));
        self.joined += 1;
        self.joined - 1
    }

    /// Takes a stream out before its end.
    pub fn leave(&mut self, stream: usize) -> Option<Stream<S>> {
        let at = self.streams.iter().position(|(number, _)| *number == stream)?;
        Some(self.streams.remove(at).1)
    }

    /// Number of texts on their way.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether no text is on its way.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// A round: each stream that has read its prompt writes a token, each other one reads a piece of it ([`Stream::read`]), so
    /// that a long prompt does not keep the others waiting. `emit` gets the number of a text and what is new of it. Returns those
    /// that have ended.
    ///
    /// # Errors
    /// Sessions of different models, and whatever `emit` returns.
    pub fn step(&mut self, piece: usize, emit: &mut dyn FnMut(usize, Piece) -> Result<()>) -> Result<Vec<Ended<S>>> {
        let mut show = |stream: usize, new: Piece| if new.is_empty() { Ok(()) } else { emit(stream, new) };
        self.decode()?;
        let (mut open, mut ended) = (Vec::with_capacity(self.streams.len()), Vec::new());
        let vocab = self.streams.first().map_or(1, |(_, stream)| stream.session().model().config().vocab);
        let mut rows = self.rows.chunks_exact(vocab);
        for (number, mut stream) in self.streams.drain(..) {
            let written = match stream.next().is_some() {
                true => rows.next().map(|row| stream.draw(row)).transpose().map(Option::unwrap_or_default),
                false => stream.read_and_draw(piece),
            };
            match written {
                Ok(new) => show(number, new)?,
                Err(fault) => {
                    let unfed = stream.unfed();
                    ended.push(Ended { stream: number, session: stream.into_session(), unfed, generation: Err(fault) });
                    continue;
                }
            }
            if stream.is_at_end() && stream.next().is_some() {
                let unfed = stream.unfed();
                let (session, rest, generation) = stream.end();
                show(number, Piece { text: rest, tokens: Vec::new() })?;
                ended.push(Ended { stream: number, session, unfed, generation: Ok(generation) });
            } else {
                open.push((number, stream));
            }
        }
        self.streams = open;
        Ok(ended)
    }

    /// Feeds the last token of each stream that writes, all in one pass over the weights.
    fn decode(&mut self) -> Result<()> {
        let writing = self.streams.iter_mut().filter_map(|(_, stream)| stream.next());
        let (mut sessions, tokens): (Vec<&mut Session>, Vec<u32>) = writing.unzip();
        let vocab = sessions.first().map_or(0, |session| session.model().config().vocab);
        self.rows.resize(tokens.len() * vocab, 0.0);
        step_all(&mut sessions, &tokens, &mut self.rows)
    }
}
