//! Text from a session, token by token: sample, decode, look for a stop string, feed, repeat.
//!
//! What is emitted is always valid UTF-8 and never holds a part of a stop string.

use std::time::Instant;

use percept_data::Tokenizer;
use percept_fault::{Fault, Result};
use percept_model::Session;

use crate::sampling::{Sampler, SamplingConfig};

/// How much to generate, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    /// At most this many tokens.
    pub tokens: usize,
    /// How each is chosen.
    pub sampling: SamplingConfig,
    /// Generation ends before the first of these; none may be empty.
    pub stop: Vec<String>,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self { tokens: 256, sampling: SamplingConfig::default(), stop: Vec::new() }
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

/// Feeds the prompt (token ids) and generates after it; `emit` gets the text as it grows.
///
/// An empty prompt goes on from what the session has seen. The document token is never drawn: models are
/// not trained to predict it.
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
    if config.stop.iter().any(String::is_empty) {
        return Err(Fault::usage("a stop string is empty").hint("leave it out to generate all tokens"));
    }
    let mut sampler = Sampler::new(config.sampling.clone(), &[tokenizer.document_token()])?;
    prompt.iter().for_each(|&token| sampler.observe(token));
    let mut log_probabilities = vec![0.0; session.model().config().vocab];
    match prompt {
        [] => session.log_probabilities_into(&mut log_probabilities)?,
        prompt => session.feed_into(prompt, &mut log_probabilities)?,
    }
    let begin = Instant::now();
    let (mut decoder, mut gate) = (tokenizer.detokenizer(), Gate::new(&config.stop));
    let (mut text, mut tokens) = (String::new(), 0);
    while tokens < config.tokens && !gate.closed {
        let token = sampler.next(&log_probabilities)?;
        tokens += 1;
        release(gate.pass(&decoder.push(token)), &mut text, emit)?;
        if tokens < config.tokens && !gate.closed {
            session.feed_into(&[token], &mut log_probabilities)?;
        }
    }
    release(gate.pass(&decoder.finish()), &mut text, emit)?;
    let stopped = gate.closed;
    release(gate.finish(), &mut text, emit)?;
    Ok(Generation { tokens, text, stopped, seconds: begin.elapsed().as_secs_f64() })
}

fn release(new: String, text: &mut String, emit: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    if !new.is_empty() {
        emit(&new)?;
        text.push_str(&new);
    }
    Ok(())
}

/// Holds back what may be the beginning of a stop string.
#[derive(Debug)]
struct Gate<'a> {
    stop: &'a [String],
    held: String,
    closed: bool,
}

impl<'a> Gate<'a> {
    fn new(stop: &'a [String]) -> Self {
        Self { stop, held: String::new(), closed: false }
    }

    /// Takes new text and returns what is safe to show.
    fn pass(&mut self, new: &str) -> String {
        if self.closed {
            return String::new();
        }
        self.held.push_str(new);
        if let Some(at) = self.stop.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.closed = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let keep = self.stop.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// No more text comes: a beginning that never became a stop string is text.
    fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes of the longest end of `text` that begins `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest).rev().find(|&bytes| text.as_bytes().ends_with(&stop.as_bytes()[..bytes])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stop_string_across_pieces_is_never_shown() {
        let stop = vec!["\n\n".to_string(), "END".to_string()];
        let mut gate = Gate::new(&stop);
        assert_eq!(gate.pass("one\n"), "one");
        assert_eq!(gate.pass("two E"), "\ntwo ");
        assert_eq!(gate.pass("N"), "");
        assert_eq!(gate.pass("D of it"), "");
        assert!(gate.closed);
        assert_eq!((gate.pass("more"), gate.finish()), (String::new(), String::new()));
    }

    #[test]
    fn a_beginning_that_stays_one_is_text() {
        let stop = vec!["END".to_string()];
        let mut gate = Gate::new(&stop);
        assert_eq!((gate.pass("the EN"), gate.finish()), ("the ".to_string(), "EN".to_string()));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[aéb]{0,30}", stop in "[aéb]{1,3}", cuts in prop::collection::vec(0usize..30, 0..6)) {
            let stops = vec![stop.clone()];
            let mut gate = Gate::new(&stops);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| text.is_char_boundary(*cut) && *cut <= text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut shown: String = cuts.windows(2).map(|pair| gate.pass(&text[pair[0]..pair[1]])).collect();
            shown.push_str(&gate.finish());
            let expected = text.find(&stop).map_or(text.as_str(), |at| &text[..at]);
            prop_assert_eq!(shown, expected);
        }
    }
}
