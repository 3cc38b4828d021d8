//! What scoring asks of a model.

use percept_fault::Result;
use percept_model::{Batch, IGNORED};

/// A model that can be scored. The language models implement it; so can anything that predicts tokens.
///
/// ```
/// use percept_data::Tokenizer;
/// use percept_fault::{Fault, Result};
/// use percept_model::{Batch, IGNORED};
/// use percept_score::{Limits, MemoryTexts, Protocol, Scorer, Stream, score};
///
/// /// Finds every byte equally likely.
/// struct Uniform;
///
/// impl Scorer for Uniform {
///     fn name(&self) -> String {
///         "uniform".into()
///     }
///
///     fn scorable(&self, length: usize) -> usize {
///         length
///     }
///
///     fn distributions(&self, batch: &Batch, visit: &mut dyn FnMut(&[f32])) -> Result<()> {
///         let targets = batch.targets.iter().filter(|&&target| target != IGNORED);
///         targets.for_each(|_| visit(&[-256_f32.ln(); 256]));
///         Ok(())
///     }
///
///     fn stream(&self) -> Result<Box<dyn Stream + '_>> {
///         Err(Fault::usage("it has no state"))
///     }
/// }
///
/// let texts = MemoryTexts::new(Tokenizer::bytes(), vec![b"hello".to_vec(), b"world!".to_vec()]);
/// let protocol = Protocol::SlidingWindow { window: 4, stride: 2 };
/// let score = score(&Uniform, &texts, protocol, &Limits::default(), &mut |_| ())?;
/// assert_eq!((score.targets, score.documents), (11, 2));
/// assert!((score.bits_per_byte.unwrap() - 8.0).abs() < 1e-5);
/// # Ok::<(), Fault>(())
/// ```
pub trait Scorer {
    /// What reports call it.
    fn name(&self) -> String;

    /// How many rows, at its end, a window of `length` tokens can score.
    fn scorable(&self, length: usize) -> usize;

    /// The longest window, and the most context of a stream, that it can make sense of; no limit by default.
    fn longest(&self) -> usize {
        usize::MAX
    }

    /// `visit` gets ln p of every token, `[V]`, at each row of equally long windows that has a target (one that is not
    /// [`IGNORED`]), in order.
    ///
    /// # Errors
    /// A token outside the vocabulary, or a device fault.
    fn distributions(&self, batch: &Batch, visit: &mut dyn FnMut(&[f32])) -> Result<()>;

    /// The NLL in nats of each target of equally long windows that is not [`IGNORED`], in order.
    ///
    /// # Errors
    /// As [`Scorer::distributions`].
    fn score_windows(&self, batch: &Batch) -> Result<Vec<f64>> {
        let mut targets = batch.targets.iter().filter(|&&target| target != IGNORED);
        let mut nll = Vec::new();
        self.distributions(batch, &mut |ln_p| {
            nll.extend(targets.next().map(|&target| -f64::from(ln_p[target as usize])));
        })?;
        Ok(nll)
    }

    /// A fresh stream.
    ///
    /// # Errors
    /// A model that cannot stream.
    fn stream(&self) -> Result<Box<dyn Stream + '_>>;

    /// Tokens that one call should hold at most, to bound memory: `rows * length` of a batch, or a piece of a stream.
    fn tokens_per_call(&self) -> usize {
        8192
    }
}

/// One stream of tokens with carried state.
pub trait Stream {
    /// Reads tokens without scoring them.
    ///
    /// # Errors
    /// A token outside the vocabulary, or a device fault.
    fn feed(&mut self, tokens: &[u32]) -> Result<()>;

    /// The NLL in nats of each of these tokens, given everything before it; then they are part of the stream.
    ///
    /// # Errors
    /// As [`Stream::feed`]; and a stream that has seen nothing yet.
    fn score(&mut self, tokens: &[u32]) -> Result<Vec<f64>>;

    /// A second stream that goes on from here by itself.
    fn fork(&self) -> Box<dyn Stream + '_>;
}
