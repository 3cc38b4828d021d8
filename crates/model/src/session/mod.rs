//! A model's running state for one stream.

mod file;
mod schedule;

use std::sync::Arc;

use burn::tensor::{Tensor, activation::log_softmax};
use percept_fault::{Fault, Result};

pub use schedule::{Window, WindowSchedule};

use crate::batch::check_tokens;
use crate::language_model::LanguageModel;
use crate::rows::{Mode, Rows};
use crate::state::MixerState;

/// Longest run of tokens that goes through the blocks at once.
const CHUNK: usize = 2048;

/// One stream: constant state for LLP, at any length.
///
/// However a text is cut into calls, the results are those of the whole: forward = extend. `fork` (and
/// `clone`) copies handles only; tensors are shared until one side writes.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_model::{LanguageModel, ModelConfig, Session};
/// # fn main() -> percept_fault::Result<()> {
/// let config = ModelConfig { vocab: 257, dim: 16, depth: 2, heads: 2, context: 32, segment: 8, ..Default::default() };
/// let model = Arc::new(LanguageModel::new(&config, 7, &Default::default())?);
/// let mut session = Session::new(model);
/// let log_probabilities = session.feed(&[256, 104, 105])?;
/// assert_eq!((log_probabilities.len(), session.position()), (257, 3));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    model: Arc<LanguageModel>,
    states: Vec<MixerState>,
    position: usize,
    /// Hidden state of the last row after the last norm, `[1, 1, d]`.
    last: Option<Tensor<3>>,
    windows: Option<WindowSchedule>,
    /// The last tokens, up to n, where there are windows.
    tokens: Vec<u32>,
}

impl Session {
    /// A fresh stream. The model is taken without autodiff ([`LanguageModel::for_inference`]).
    pub fn new(model: Arc<LanguageModel>) -> Self {
        let model = if model.device().is_autodiff() { Arc::new(model.for_inference()) } else { model };
        let windows = WindowSchedule::of(model.config(), model.layers());
        let states = vec![MixerState::default(); model.blocks.len()];
        Self { model, states, position: 0, last: None, windows, tokens: Vec::new() }
    }

    /// The model.
    pub fn model(&self) -> &Arc<LanguageModel> {
        &self.model
    }

    /// Tokens fed so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes of keys, values and kept tokens.
    pub fn state_bytes(&self) -> usize {
        self.states.iter().map(MixerState::bytes).sum::<usize>() + self.tokens.len() * size_of::<u32>()
    }

    /// A second stream that goes on from here by itself.
    pub fn fork(&self) -> Self {
        self.clone()
    }

    /// Feeds tokens and returns ln p of every token as the next one, `[V]`.
    ///
    /// # Errors
    /// No token, or one outside the vocabulary.
    pub fn feed(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        if tokens.is_empty() {
            return Err(Fault::usage("there is no token to feed").hint("give a prompt of at least one token"));
        }
        self.advance(tokens, |_| {})?;
        self.log_probabilities()
    }

    /// ln p of every token as the next one, `[V]`, after what was fed so far.
    pub fn log_probabilities(&self) -> Result<Vec<f32>> {
        let Some(last) = &self.last else {
            return Err(Fault::usage("nothing was fed yet").hint("feed the document token or a prompt first"));
        };
        Ok(log_softmax(self.model.logits(last.clone()), 2).into_data().iter::<f32>().collect())
    }

    /// -ln p (nats) of each token given everything fed before it, and feeds it.
    ///
    /// # Errors
    /// A fresh session: the first token of a stream has no prediction; feed the document token first.
    pub fn score(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let Some(before) = self.last.clone() else {
            return Err(
                Fault::usage("a fresh session can't score its first token").hint("feed the document token first")
            );
        };
        let model = self.model.clone();
        let (mut nll, mut before) = (Vec::with_capacity(tokens.len()), before);
        self.advance(tokens, |hidden| {
            let rows = hidden.dims()[1];
            let predicting = match rows {
                1 => before.clone(),
                _ => Tensor::cat(vec![before.clone(), hidden.clone().narrow(1, 0, rows - 1)], 1),
            };
            before = hidden.narrow(1, rows - 1, 1);
            let done = nll.len();
            nll.extend(model.target_nll(predicting, &tokens[done..done + rows]));
        })?;
        Ok(nll)
    }

    /// Feeds tokens; `visit` gets the hidden rows `[1, t, d]` of each run of new tokens, in order.
    fn advance(&mut self, tokens: &[u32], mut visit: impl FnMut(Tensor<3>)) -> Result<()> {
        check_tokens(tokens, self.model.config().vocab)?;
        let mut rest = tokens;
        while !rest.is_empty() {
            let (hidden, taken) = match self.windows {
                None => self.extend(rest, CHUNK),
                Some(windows) => self.extend_window(rest, windows),
            };
            let rows = hidden.dims()[1];
            self.last = Some(hidden.clone().narrow(1, rows - 1, 1));
            visit(hidden);
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Extends the states by at most `limit` tokens.
    fn extend(&mut self, tokens: &[u32], limit: usize) -> (Tensor<3>, usize) {
        let taken = tokens.len().min(limit);
        let start = self.position - self.windows.map_or(0, |windows| windows.window(self.position + 1).start);
        let hidden = self.run(&tokens[..taken], Rows::plain(taken, start));
        self.position += taken;
        (hidden, taken)
    }

    /// Extends the current window as far as it goes, or resets it for the next token.
    fn extend_window(&mut self, tokens: &[u32], windows: WindowSchedule) -> (Tensor<3>, usize) {
        let next = windows.window(self.position + 1);
        let goes_on = self.position > 0 && windows.window(self.position) == next;
        let taken = if goes_on || self.position == 0 { tokens.len().min(next.full - self.position) } else { 1 };
        self.tokens.extend_from_slice(&tokens[..taken]);
        let result = if goes_on || self.position == 0 { self.extend(tokens, taken) } else { self.reset(next) };
        let keep = self.position - windows.window(self.position + 1).start;
        self.tokens.drain(..self.tokens.len().saturating_sub(keep));
        result
    }

    /// Re-runs the window for one new token, which is already in `tokens`.
    fn reset(&mut self, window: Window) -> (Tensor<3>, usize) {
        self.position += 1;
        self.states.iter_mut().for_each(MixerState::clear);
        let text = self.tokens[self.tokens.len() - (self.position - window.start)..].to_vec();
        let rows = Rows { history: window.split - window.start, latents: self.position - window.split, start: 0 };
        let hidden = self.run(&text, rows);
        (hidden.narrow(1, rows.latents - 1, 1), 1)
    }

    fn run(&mut self, tokens: &[u32], rows: Rows) -> Tensor<3> {
        let x = self.model.embed(tokens, 1);
        let x = self.model.run_blocks(x, Some(&mut self.states), rows, Mode::Evaluation);
        self.model.norm.forward(x)
    }
}
