//! What a model has to offer to be checked.

use percept_fault::Result;

/// One output row: ln p (or any other function of the logits) for every token, as f64.
pub type Row = Vec<f64>;

/// A model to check. [`super::ModelSubject`] makes one of a language model, [`super::MixerSubject`] of a mixer.
///
/// Two ways of running are compared: whole windows ([`Subject::forward`]) and a stream with carried state
/// ([`Subject::stream`]). Positions count from 0 at the start of a window or stream.
pub trait Subject {
    /// What reports call it.
    fn name(&self) -> String;

    /// Number of tokens; those below it are valid.
    fn vocab(&self) -> usize;

    /// Longest window that [`Subject::forward`] is asked for.
    fn window(&self) -> usize;

    /// Number of layers. Influence at the very end of the reach is only looked for up to three.
    fn layers(&self) -> usize;

    /// Positions below `length` where something changes: first positions of segments, latents, windows.
    fn borders(&self, length: usize) -> Vec<usize>;

    /// First position of a window of `length` tokens whose row may be scored; those after it may be, too.
    fn scored_from(&self, length: usize) -> usize;

    /// Output rows of the scorable positions of equally long windows, without a state.
    ///
    /// # Errors
    /// Whatever running the model meets.
    fn forward(&self, windows: &[&[u32]]) -> Result<Vec<Vec<Row>>>;

    /// How strongly the output row at `position` of a window depends on the embedded input at each position: any norm
    /// of the gradient, zero only where the gradient is. `None` where gradients are not to be had.
    ///
    /// # Errors
    /// Whatever running the model meets.
    fn influence(&self, _window: &[u32], _position: usize) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }

    /// What a stream must give after the token at each of `positions`, from forward passes alone. By default one
    /// pass over all tokens, for a model whose windows may have any length.
    ///
    /// # Errors
    /// Whatever running the model meets.
    fn stream_reference(&self, tokens: &[u32], positions: &[usize]) -> Result<Vec<Row>> {
        let mut windows = self.forward(&[tokens])?;
        let rows = windows.pop().unwrap_or_default();
        let from = self.scored_from(tokens.len());
        Ok(positions.iter().filter_map(|at| rows.get(at.checked_sub(from)?).cloned()).collect())
    }

    /// Positions by whose multiples a whole window may be moved without any change of its rows, where that is declared.
    fn movable(&self) -> Option<usize> {
        None
    }

    /// Output rows of a whole window whose first row stands at position `start`; asked for where [`Subject::movable`] is not `None`.
    ///
    /// # Errors
    /// Whatever running the model meets.
    fn forward_from(&self, window: &[u32], _start: usize) -> Result<Vec<Row>> {
        Ok(self.forward(&[window])?.pop().unwrap_or_default())
    }

    /// A fresh stream.
    ///
    /// # Errors
    /// Whatever running the model meets.
    fn stream(&self) -> Result<Box<dyn SubjectStream<'_> + '_>>;

    /// The stream that [`SubjectStream::save`] saved.
    ///
    /// # Errors
    /// Bytes that are no such stream.
    fn load(&self, saved: &[u8]) -> Result<Box<dyn SubjectStream<'_> + '_>>;

    /// Bytes that the state of a stream is declared to take after so many tokens.
    fn state_bytes(&self, tokens: usize) -> usize;

    /// Bytes that it is declared never to exceed.
    fn state_limit(&self) -> usize;

    /// Earliest position of a stream that is declared to influence its output at `position`.
    fn earliest(&self, position: usize) -> usize;

    /// NLL in nats of the targets on the scorable rows of one window, from every way of computing it, named:
    /// training, evaluation, ...
    ///
    /// # Errors
    /// Whatever running the model meets.
    fn losses(&self, _window: &[u32], _targets: &[u32]) -> Result<Vec<(String, f64)>> {
        Ok(Vec::new())
    }

    /// The same model in the precision that is used in practice, where that is another one.
    fn in_single_precision(&self) -> Option<&dyn Subject> {
        None
    }

    /// Largest difference between two correct ways of computing the same row.
    fn tolerance(&self) -> f64;
}

/// A stream of a [`Subject`] that it may borrow.
pub trait SubjectStream<'a> {
    /// Feeds at least one token; the output row after the last of them.
    ///
    /// # Errors
    /// Whatever running the model meets.
    fn feed(&mut self, tokens: &[u32]) -> Result<Row>;

    /// An independent copy of the stream.
    fn fork(&self) -> Box<dyn SubjectStream<'a> + 'a>;

    /// The stream as bytes.
    ///
    /// # Errors
    /// Whatever writing meets.
    fn save(&self) -> Result<Vec<u8>>;

    /// Bytes that the state takes.
    fn state_bytes(&self) -> usize;
}
