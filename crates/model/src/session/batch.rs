//! Several streams of one model, one pass over the weights.

use std::sync::Arc;

use percept_fault::{Fault, Result};

use super::{Run, Session};
use crate::batch::check_tokens;
use crate::decoder::{Decoder, Stream};

/// Feeds one token to each session and writes ln p of every token as the next one to `out [sessions, V]`.
///
/// All sessions must run the same model (the same [`Arc`]). Where it has a decoder the weights are read once for all of
/// them; elsewhere they are fed one after the other. What a session computes does not depend on the others.
///
/// # Errors
/// A token outside the vocabulary, numbers that do not match, or sessions of different models; then nothing was fed.
///
/// ```
/// use std::sync::Arc;
/// use percept_model::session::step_all;
/// use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
/// # let layers = "llp(segment=8)".into();
/// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// let (mut first, mut second) = (Session::new(model.clone()), Session::new(model.clone()));
/// second.feed(&[256, 72])?;
/// let mut rows = vec![0.0; 2 * 257];
/// step_all(&mut [&mut first, &mut second], &[256, 105], &mut rows)?;
/// // As if each had been alone.
/// assert_eq!(rows[257..], Session::new(model).feed(&[256, 72, 105])?);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn step_all(sessions: &mut [&mut Session], tokens: &[u32], out: &mut [f32]) -> Result<()> {
    let Some(first) = sessions.first() else { return Ok(()) };
    let model = first.model.clone();
    if tokens.len() != sessions.len() || out.len() != sessions.len() * model.config().vocab {
        return Err(Fault::internal("step_all needs a token and a row of V numbers for each session"));
    }
    if !sessions.iter().all(|session| Arc::ptr_eq(&session.model, &model)) {
        return Err(Fault::internal("step_all needs sessions of one model"));
    }
    check_tokens(tokens, model.config().vocab)?;
    match model.decoder() {
        Some(decoder) => step_together(decoder, sessions, tokens, out),
        None => {
            for ((session, token), out) in
                sessions.iter_mut().zip(tokens).zip(out.chunks_exact_mut(model.config().vocab))
            {
                session.feed_into(&[*token], out)?;
            }
        }
    }
    Ok(())
}

fn step_together(decoder: &Decoder, sessions: &mut [&mut Session], tokens: &[u32], out: &mut [f32]) {
    let (mut streams, mut next): (Vec<&mut Stream>, Vec<u32>) = Default::default();
    for (session, token) in sessions.iter_mut().zip(tokens) {
        match session.next_run(1) {
            Run::Extend(_) => {
                let position = session.window_position();
                session.count(&[*token]);
                streams.push(session.running.stream(decoder, position));
                next.push(*token);
            }
            run @ Run::Reset(_) => {
                session.run_tensors(&[*token], run, &mut || {});
            }
        }
    }
    decoder.step(&mut streams, &next);
    for session in sessions.iter_mut() {
        session.running.stream(decoder, session.window_position());
    }
    decoder.log_probabilities(sessions.iter().filter_map(|session| session.running.hidden()), out);
}
