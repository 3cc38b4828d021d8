//! Text from a session, token by token: sample, decode, look for a stop string, feed, repeat.
//!
//! What is emitted is always valid UTF-8 and never holds a part of a stop string.

use std::time::Instant;

use percept_data::{Detokenizer, Tokenizer};
use percept_fault::{Fault, Result};
use percept_model::Session;
use percept_model::session::step_all;

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

/// Feeds the prompt (token ids) and generates after it; `emit` gets the text as it grows, beginning with a blank where one
/// stands between the end of what the session has seen and the continuation.
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
    let stream = Stream::new(session, tokenizer, prompt, config, 0)?;
    let first = read(stream.session, prompt)?;
    let mut streams = [stream];
    run(&mut streams, tokenizer, &first, config.tokens, &mut |_, text| emit(text))?;
    let [stream] = streams;
    Ok(stream.end())
}

/// Feeds the prompt once and generates one text after it in each of `sessions`, all in one pass over the weights: text i is
/// what [`generate`] gives in a session of its own with the seed plus i. The first session reads the prompt, the others
/// become its forks. `emit` gets the index of a text and what is new of it.
///
/// # Errors
/// As [`generate`].
pub fn generate_streams(
    sessions: &mut [Session],
    tokenizer: &Tokenizer,
    prompt: &[u32],
    config: &GenerationConfig,
    emit: &mut dyn FnMut(usize, &str) -> Result<()>,
) -> Result<Vec<Generation>> {
    let Some((reader, others)) = sessions.split_first_mut() else { return Ok(Vec::new()) };
    let first = read(reader, prompt)?;
    others.iter_mut().for_each(|session| *session = reader.fork());
    let stream = |(seed, session)| Stream::new(session, tokenizer, prompt, config, seed);
    let mut streams = (0..).zip(sessions).map(stream).collect::<Result<Vec<Stream<'_>>>>()?;
    run(&mut streams, tokenizer, &first, config.tokens, emit)?;
    Ok(streams.into_iter().map(Stream::end).collect())
}

/// ln p of every token after the prompt.
fn read(session: &mut Session, prompt: &[u32]) -> Result<Vec<f32>> {
    match prompt {
        [] => session.log_probabilities(),
        prompt => session.feed(prompt),
    }
}

/// A text on its way.
struct Stream<'a> {
    session: &'a mut Session,
    sampler: Sampler,
    detokenizer: Detokenizer,
    gate: Gate<'a>,
    /// The token that was drawn last.
    token: u32,
    tokens: usize,
    text: String,
    stopped: bool,
    seconds: f64,
}

impl<'a> Stream<'a> {
    /// A text whose seed is that of the configuration and `seed` more.
    fn new(
        session: &'a mut Session,
        tokenizer: &Tokenizer,
        prompt: &[u32],
        config: &'a GenerationConfig,
        seed: u64,
    ) -> Result<Self> {
        if config.stop.iter().any(String::is_empty) {
            return Err(Fault::usage("a stop string is empty").hint("leave it out to generate all tokens"));
        }
        let sampling = SamplingConfig { seed: config.sampling.seed.wrapping_add(seed), ..config.sampling.clone() };
        let mut sampler = Sampler::new(sampling, &[tokenizer.document_token()])?;
        prompt.iter().for_each(|&token| sampler.observe(token));
        Ok(Self {
            session,
            sampler,
            detokenizer: tokenizer.detokenizer(),
            gate: Gate::new(&config.stop),
            token: 0,
            tokens: 0,
            text: String::new(),
            stopped: false,
            seconds: 0.0,
        })
    }

    /// Draws the next token; returns what may be shown.
    fn draw(&mut self, log_probabilities: &[f32]) -> Result<String> {
        self.token = self.sampler.next(log_probabilities)?;
        self.tokens += 1;
        let new = self.gate.pass(&self.detokenizer.push(self.token));
        self.text.push_str(&new);
        Ok(new)
    }

    /// No token comes any more; returns what was held back.
    fn close(&mut self, begin: Instant) -> String {
        let mut new = self.gate.pass(&self.detokenizer.finish());
        (self.stopped, self.seconds) = (self.gate.closed, begin.elapsed().as_secs_f64());
        new.push_str(&self.gate.finish());
        self.text.push_str(&new);
        new
    }

    fn end(self) -> Generation {
        Generation { tokens: self.tokens, text: self.text, stopped: self.stopped, seconds: self.seconds }
    }
}

/// Writes until every stream has `limit` tokens or was stopped; `first` is ln p of every token after the prompt, which was read.
fn run(
    streams: &mut [Stream<'_>],
    tokenizer: &Tokenizer,
    first: &[f32],
    limit: usize,
    emit: &mut dyn FnMut(usize, &str) -> Result<()>,
) -> Result<()> {
    let begin = Instant::now();
    for stream in streams.iter_mut() {
        stream.detokenizer = tokenizer.detokenizer_after(stream.session.recent_tokens());
    }
    let vocab = first.len();
    let mut rows = first.repeat(streams.len());
    let mut open: Vec<(usize, &mut Stream<'_>)> = streams.iter_mut().enumerate().collect();
    while !open.is_empty() {
        let mut show = |index: usize, new: String| if new.is_empty() { Ok(()) } else { emit(index, &new) };
        for ((index, stream), row) in open.iter_mut().zip(rows.chunks_exact(vocab)) {
            if stream.tokens < limit {
                show(*index, stream.draw(row)?)?;
            }
            if stream.tokens == limit || stream.gate.closed {
                show(*index, stream.close(begin))?;
            }
        }
        open.retain(|(_, stream)| stream.tokens < limit && !stream.gate.closed);
        let next: Vec<u32> = open.iter().map(|(_, stream)| stream.token).collect();
        let mut sessions: Vec<&mut Session> = open.iter_mut().map(|(_, stream)| &mut *stream.session).collect();
        step_all(&mut sessions, &next, &mut rows[..next.len() * vocab])?;
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
    use std::sync::Arc;

    use super::*;
    use percept_model::config::KeyValue;
    use percept_model::{LanguageModel, ModelConfig};
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

    /// A model whose state goes on for ever, one whose window is run again, and one without a decoder.
    fn models() -> [Arc<LanguageModel>; 3] {
        let base = ModelConfig {
            vocab: 257,
            dim: 16,
            depth: 2,
            heads: 2,
            context: 24,
            ..ModelConfig::default().with("segment", 6).unwrap()
        };
        let rotated = ModelConfig { key_value: KeyValue::Shared, ..base.clone() };
        let history = ModelConfig { layers: "perceiver-ar".into(), ..base.clone().with("latents", 8).unwrap() };
        [base, rotated, history].map(|config| {
            let config = ModelConfig { init_std: 0.3, ..config };
            Arc::new(LanguageModel::new(&config, 3, &Default::default()).unwrap())
        })
    }

    #[test]
    fn streams_write_what_each_seed_writes_alone() {
        let tokenizer = Tokenizer::bytes();
        let prompt = [256, 84, 104, 101];
        // A vowel stops some of the texts early.
        let stop = ["a", "e", "i"].map(str::to_owned).to_vec();
        let mut ends = std::collections::BTreeSet::new();
        for model in models() {
            let sampling = SamplingConfig { seed: 7, repetition_penalty: 1.2, ..SamplingConfig::default() };
            let config = GenerationConfig { tokens: 60, sampling, stop: stop.clone() };
            let mut sessions = vec![Session::new(model.clone()); 5];
            let mut shown = vec![String::new(); 5];
            let mut emit = |index: usize, text: &str| {
                shown[index].push_str(text);
                Ok(())
            };
            let together = generate_streams(&mut sessions, &tokenizer, &prompt, &config, &mut emit).unwrap();
            for (index, (text, session)) in together.iter().zip(&sessions).enumerate() {
                let mut config = config.clone();
                config.sampling.seed += index as u64;
                let mut single = Session::new(model.clone());
                let alone = generate(&mut single, &tokenizer, &prompt, &config, &mut |_| Ok(())).unwrap();
                assert_eq!((&text.text, text.tokens, text.stopped), (&alone.text, alone.tokens, alone.stopped));
                assert_eq!((&shown[index], session.position()), (&alone.text, single.position()));
                assert_eq!(session.log_probabilities().unwrap(), single.log_probabilities().unwrap());
                ends.insert(text.tokens);
            }
        }
        assert!(ends.len() > 3 && ends.contains(&60), "texts of several lengths: {ends:?}");
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
