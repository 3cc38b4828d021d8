//! A model's running state for one stream.

mod asking;
mod batch;
mod distributions;
mod file;
mod head;
mod recent;
mod running;
mod windows;

use std::sync::Arc;

use burn::tensor::{Tensor, activation::log_softmax};
use percept_fault::{Fault, Result};
use percept_kernels::decode::WeightPrecision;

pub use asking::Pair;
pub use batch::step_all;
pub use head::StateHead;
pub use windows::{Window, WindowSchedule};

use crate::batch::check_tokens;
use crate::decoder::Decoder;
use crate::inference_model::InferenceModel;
use crate::layer::{Mode, Rows};
use crate::ops::{detached, elements};
use recent::Recent;
use running::Running;

/// Longest run of tokens that goes through the blocks at once.
const CHUNK: usize = 2048;
/// Longest run of tokens that the decoder takes one by one; longer ones are cheaper as a window.
const FEW: usize = 16;

/// One stream: constant state for LLP, at any length.
///
/// However a text is cut into calls, the results are those of the whole: forward = extend. Single tokens go through the
/// model's [`Decoder`] where it has one, longer texts through whole-window kernels, and the state moves between the two.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
/// # fn main() -> percept_fault::Result<()> {
/// let config = ModelConfig { vocab: 257, dim: 16, depth: 2, heads: 2, context: 32, ..Default::default() }.with("segment", 8)?;
/// let model = InferenceModel::new(LanguageModel::new(&config, 7, &Default::default())?);
/// let mut session = Session::new(Arc::new(model));
/// let log_probabilities = session.feed(&[256, 104, 105])?;
/// assert_eq!((log_probabilities.len(), session.position()), (257, 3));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    model: Arc<InferenceModel>,
    running: Running,
    position: usize,
    windows: Option<WindowSchedule>,
    /// The last tokens, up to n, where there are windows.
    tokens: Vec<u32>,
    recent: Recent,
}

/// What comes next in a stream.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// That many tokens extend the states.
    Extend(usize),
    /// One token, for which the window is run again.
    Reset(Window),
}

impl Run {
    fn tokens(self) -> usize {
        match self {
            Self::Extend(tokens) => tokens,
            Self::Reset(_) => 1,
        }
    }
}

impl Session {
    /// A fresh stream.
    pub fn new(model: Arc<InferenceModel>) -> Self {
        let windows = WindowSchedule::of(model.config(), model.layers());
        let tokens = Vec::with_capacity(windows.map_or(0, |windows| windows.context));
        Self { running: Running::fresh(&model), model, position: 0, windows, tokens, recent: Recent::default() }
    }

    /// Goes on with the weights rounded to `precision`; see [`InferenceModel::with_weight_precision`]. To share them
    /// between sessions, round the model, or fork.
    ///
    /// # Errors
    /// The model has no packed weights.
    pub fn with_weight_precision(self, precision: WeightPrecision) -> Result<Self> {
        if precision == self.model.weight_precision() {
            return Ok(self);
        }
        let running = Running::Tensors(Box::new(self.running.to_tensors(&self.model, self.rows())));
        let model = Arc::new((*self.model).clone().with_weight_precision(precision)?);
        Ok(Self { model, running, ..self })
    }

    /// The model.
    pub fn model(&self) -> &Arc<InferenceModel> {
        &self.model
    }

    /// Tokens fed so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The last tokens that were fed, 16 at most: a tokenizer needs them to go on with the text.
    pub fn recent_tokens(&self) -> &[u32] {
        self.recent.tokens()
    }

    /// Bytes of keys, values and kept tokens.
    pub fn state_bytes(&self) -> usize {
        self.running.bytes(&self.model, self.rows()) + self.tokens.len() * size_of::<u32>()
    }

    /// A second stream that goes on from here by itself.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use percept_model::{LanguageModel, ModelConfig, Session};
    /// # let layers = "llp(segment=8)".into();
    /// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
    /// # let mut session = Session::new(Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into()));
    /// session.feed(&[256, 72])?;
    /// // Which of two continuations does the model find likelier? The prompt is read once.
    /// let losses = [[105, 33], [111, 33]].map(|continuation| session.fork().score(&continuation));
    /// let [hi, ho] = losses.map(|losses| losses.map(|nll| nll.iter().sum::<f32>()));
    /// assert!(hi?.is_finite() && ho?.is_finite());
    /// assert_eq!(session.position(), 2);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn fork(&self) -> Self {
        self.clone()
    }

    /// Feeds tokens and returns ln p of every token as the next one, `[V]`.
    ///
    /// # Errors
    /// No token, or one outside the vocabulary.
    pub fn feed(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.model.config().vocab];
        self.feed_into(tokens, &mut out)?;
        Ok(out)
    }

    /// [`Session::feed`] into the caller's `[V]` elements. Where the model has a decoder, feeding a token allocates nothing.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn feed_into(&mut self, tokens: &[u32], out: &mut [f32]) -> Result<()> {
        if tokens.is_empty() {
            return Err(Fault::usage("there is no token to feed").hint("give a prompt of at least one token"));
        }
        self.read(tokens, &mut || {})?;
        self.log_probabilities_into(out)
    }

    /// Feeds tokens and predicts nothing. `between` is called after every layer but the last, or after a token that is fed by
    /// itself: what should not wait for a long text is done there.
    ///
    /// # Errors
    /// A token outside the vocabulary; then nothing was fed.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use percept_model::{LanguageModel, ModelConfig, Session};
    /// # let layers = "llp(segment=8)".into();
    /// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 4, heads: 2, context: 32, ..Default::default() };
    /// # let model: Arc<percept_model::InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
    /// let (mut long, mut short) = (Session::new(model.clone()), Session::new(model));
    /// let mut written = Vec::new();
    /// long.read(&[97; 100], &mut || written.push(short.feed(&[98])))?;
    /// assert_eq!((written.len(), short.position(), long.position()), (3, 3, 100));
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn read(&mut self, tokens: &[u32], between: &mut dyn FnMut()) -> Result<()> {
        check_tokens(tokens, self.model.config().vocab)?;
        let mut rest = self.skip_to_last_window(tokens);
        while !rest.is_empty() {
            let run = self.next_run(rest.len());
            let (now, after) = rest.split_at(run.tokens());
            match self.decoder_for(run) {
                Some(decoder) => now.iter().for_each(|&token| {
                    self.step(&decoder, token);
                    between();
                }),
                None => {
                    self.run_tensors(now, run, between);
                }
            }
            rest = after;
        }
        Ok(())
    }

    /// ln p of every token as the next one, `[V]`, after what was fed so far.
    pub fn log_probabilities(&self) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.model.config().vocab];
        self.log_probabilities_into(&mut out)?;
        Ok(out)
    }

    /// [`Session::log_probabilities`] into the caller's `[V]` elements.
    ///
    /// # Errors
    /// Nothing was fed yet, or `out` has another size.
    pub fn log_probabilities_into(&self, out: &mut [f32]) -> Result<()> {
        if out.len() != self.model.config().vocab {
            return Err(Fault::internal(format!("room for {} log-probabilities", out.len())));
        }
        // The decoder is asked for only where it is in use: it is made at its first use.
        if let Some(hidden) = self.running.hidden()
            && let Some(decoder) = self.model.decoder()
        {
            decoder.log_probabilities(std::iter::once(hidden), out);
            return Ok(());
        }
        let Some(last) = self.running.last() else {
            return Err(Fault::usage("nothing was fed yet").hint("feed the document token or a prompt first"));
        };
        out.copy_from_slice(&elements(log_softmax(self.model.logits(last), 2)));
        Ok(())
    }

    /// -ln p (nats) of each token given everything fed before it, and feeds it.
    ///
    /// # Errors
    /// A fresh session: the first token of a stream has no prediction; feed the document token first.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
    /// # let layers = "llp(segment=8)".into();
    /// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 2, heads: 2, context: 32, ..Default::default() };
    /// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
    /// let tokens: Vec<u32> = (0..40).collect();
    /// let (mut whole, mut pieces) = (Session::new(model.clone()), Session::new(model));
    /// whole.feed(&[256])?;
    /// pieces.feed(&[256])?;
    /// let at_once = whole.score(&tokens)?;
    /// // However the text is cut, each token has the same loss.
    /// for (token, nll) in tokens.iter().zip(at_once) {
    ///     assert!((pieces.score(&[*token])?[0] - nll).abs() < 1e-4);
    /// }
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn score(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        if self.running.is_fresh() {
            return Err(
                Fault::usage("a fresh session can't score its first token").hint("feed the document token first")
            );
        }
        check_tokens(tokens, self.model.config().vocab)?;
        let (mut nll, mut rest) = (Vec::with_capacity(tokens.len()), tokens);
        while !rest.is_empty() {
            let run = self.next_run(rest.len());
            let (now, after) = rest.split_at(run.tokens());
            match self.decoder_for(run) {
                Some(decoder) => self.score_steps(&decoder, now, &mut nll)?,
                None => self.score_run(now, run, &mut nll),
            }
            rest = after;
        }
        Ok(nll)
    }

    fn score_steps(&mut self, decoder: &Decoder, tokens: &[u32], nll: &mut Vec<f32>) -> Result<()> {
        let mut row = vec![0.0; self.model.config().vocab];
        for &token in tokens {
            self.log_probabilities_into(&mut row)?;
            nll.push(-row[token as usize]);
            self.step(decoder, token);
        }
        Ok(())
    }

    fn score_run(&mut self, tokens: &[u32], run: Run, nll: &mut Vec<f32>) {
        let rows = self.rows();
        let before = self.running.tensors(&self.model, rows).last.clone();
        let hidden = self.run_tensors(tokens, run, &mut || {});
        let others = (tokens.len() > 1).then(|| hidden.narrow(1, 0, tokens.len() - 1));
        let predicting = Tensor::cat(before.into_iter().chain(others).collect(), 1);
        nll.extend(self.model.target_nll(predicting, tokens));
    }

    /// The decoder, if the model has one and it is the shorter way.
    fn decoder_for(&self, run: Run) -> Option<Arc<Decoder>> {
        matches!(run, Run::Extend(1..=FEW)).then(|| self.model.decoder().cloned()).flatten()
    }

    /// What the next tokens, `available` of them, are to be run as.
    fn next_run(&self, available: usize) -> Run {
        let Some(windows) = self.windows else { return Run::Extend(available.min(CHUNK)) };
        let next = windows.window(self.position + 1);
        match self.position == 0 || windows.window(self.position) == next {
            true => Run::Extend(available.min(next.full - self.position)),
            false => Run::Reset(next),
        }
    }

    /// Notes those of the tokens that come before the last window, and returns the others: a window is run from its tokens alone,
    /// so nothing that is computed before it is left in it.
    fn skip_to_last_window<'a>(&mut self, tokens: &'a [u32]) -> &'a [u32] {
        let Some(windows) = self.windows else { return tokens };
        let last = windows.window(self.position + tokens.len());
        let before = if last.split == 0 { 0 } else { last.full - windows.stride };
        let (skipped, rest) = tokens.split_at(before.saturating_sub(self.position));
        self.count(skipped);
        rest
    }

    /// The rows that the state holds.
    fn rows(&self) -> Rows {
        match self.windows {
            None => Rows::plain(self.position, 0),
            Some(windows) => windows.window(self.position.max(1)).rows(self.position),
        }
    }

    /// The next token's position, counted from the start of the window that the state holds; before a reset that is not the next
    /// token's own window.
    fn window_position(&self) -> usize {
        self.position - self.windows.map_or(0, |windows| windows.window(self.position.max(1)).start)
    }

    fn step(&mut self, decoder: &Decoder, token: u32) {
        let position = self.window_position();
        decoder.step(&mut [self.running.stream(decoder, position)], &[token]);
        self.count(&[token]);
    }

    /// Runs tokens through the model's tensors; returns their hidden rows `[1, t, d]`.
    fn run_tensors(&mut self, tokens: &[u32], run: Run, between: &mut dyn FnMut()) -> Tensor<3> {
        let held = self.rows();
        let (rows, before) = self.prepare(run);
        let tensors = self.running.tensors(&self.model, held);
        let x = self.model.embed(&[&before, tokens].concat(), 1);
        let x = self.model.run_blocks_between(x, (Some(&mut tensors.states), rows), Mode::Evaluation, between);
        let hidden = self.model.norm.forward(x);
        let hidden = hidden.narrow(1, rows.latents - tokens.len(), tokens.len());
        tensors.last = Some(detached(hidden.clone().narrow(1, tokens.len() - 1, 1)));
        self.count(tokens);
        hidden
    }

    /// The rows that a run puts into the model's tensors, and the tokens of a window that begins anew before those of the run.
    fn prepare(&mut self, run: Run) -> (Rows, Vec<u32>) {
        let (start, held) = (self.window_position(), self.rows());
        let tensors = self.running.tensors(&self.model, held);
        match run {
            Run::Extend(tokens) => (Rows::plain(tokens, start), Vec::new()),
            Run::Reset(window) => {
                tensors.states.iter_mut().for_each(|state| state.clear());
                let kept = self.position - window.start;
                (window.rows(self.position + 1), self.tokens[self.tokens.len() - kept..].to_vec())
            }
        }
    }

    /// Notes that tokens were fed, and forgets those that no window will need.
    fn count(&mut self, tokens: &[u32]) {
        self.position += tokens.len();
        self.recent.extend(tokens);
        if self.windows.is_some() {
            self.tokens.extend_from_slice(tokens);
            self.tokens.drain(..self.tokens.len().saturating_sub(self.kept_tokens()));
        }
    }

    /// How many of the last tokens are kept.
    fn kept_tokens(&self) -> usize {
        self.windows.map_or(0, |windows| self.position - windows.window(self.position + 1).start)
    }
}
