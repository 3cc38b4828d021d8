//! Models whose answers are known.

use std::cell::RefCell;

use percept_data::Tokenizer;
use percept_fault::Result;
use percept_model::{Batch, IGNORED};

use crate::{Limits, MemoryTexts, Protocol, Scorer, Stream, Texts};

use super::{Findings, Options, Subject, Suite, SuiteResult, run};

/// Tokens of the byte tokenizer.
pub(super) const VOCAB: usize = 257;
/// Probability of the token that a model is sure of.
pub(super) const SURE: f64 = 0.9;

/// What a model makes of the tokens that it sees.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// Nothing: every token is as likely.
    Uniform,
    /// An opinion about every token that has nothing to do with what is right.
    Noise,
    /// What followed the last earlier place with the longest equal ending.
    Induction,
    /// The next symbol of a copy, counted from the `|`.
    Copy,
    /// The next symbol of a copy that runs backwards.
    Reverse,
}

/// A model that follows a rule on the last tokens of a window or stream.
pub(super) struct Known {
    pub(super) rule: Rule,
    /// Tokens that a row sees, its own among them.
    pub(super) sees: usize,
    /// Rows that a window scores.
    pub(super) rows: usize,
    /// Its longest window.
    pub(super) longest: usize,
    /// Last target and number of inputs of every window that was asked for.
    pub(super) asked: RefCell<Vec<(u32, usize)>>,
}

impl Known {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, sees: usize::MAX, rows: usize::MAX, longest: usize::MAX, asked: RefCell::default() }
    }

    fn ln_p(&self, tokens: &[u32]) -> Vec<f32> {
        let seen = &tokens[tokens.len().saturating_sub(self.sees)..];
        let bar = |seen: &[u32]| seen.iter().position(|&token| token == u32::from(b'|'));
        let sure = match self.rule {
            Rule::Uniform => None,
            Rule::Noise => {
                let keys: Vec<u64> = seen.iter().map(|&token| token.into()).collect();
                Some(percept_random::below(VOCAB as u64, &[percept_random::hash(&keys)]) as u32)
            }
            Rule::Induction => induction(seen),
            // The document token stands first.
            Rule::Copy => bar(seen).and_then(|bar| seen.get(seen.len() - bar)).copied(),
            Rule::Reverse => bar(seen).and_then(|bar| seen.get(2 * bar - seen.len())).copied(),
        };
        if let Rule::Noise = self.rule {
            let weight =
                |token| percept_random::below(1 << 20, &[u64::from(sure.unwrap_or(0)), seen.len() as u64, token]) + 1;
            let total: u64 = (0..VOCAB as u64).map(weight).sum();
            return (0..VOCAB as u64).map(|token| (weight(token) as f64 / total as f64).ln() as f32).collect();
        }
        let others = sure.map_or(1.0 / VOCAB as f64, |_| (1.0 - SURE) / (VOCAB - 1) as f64);
        let mut ln_p = vec![others.ln() as f32; VOCAB];
        if let Some(token) = sure {
            ln_p[token as usize] = SURE.ln() as f32;
        }
        ln_p
    }
}

fn induction(seen: &[u32]) -> Option<u32> {
    let ending = |at: usize| (0..=at).take_while(|&back| seen[at - back] == seen[seen.len() - 1 - back]).count();
    let best = (0..seen.len().saturating_sub(1)).max_by_key(|&at| ending(at))?;
    (ending(best) > 0).then(|| seen[best + 1])
}

impl Scorer for Known {
    fn name(&self) -> String {
        format!("{:?}", self.rule)
    }

    fn scorable(&self, length: usize) -> usize {
        self.rows.min(length)
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn distributions(&self, batch: &Batch, visit: &mut dyn FnMut(&[f32])) -> Result<()> {
        batch.validate(VOCAB)?;
        assert!(batch.length <= self.longest, "a window of {} tokens", batch.length);
        for (tokens, targets) in batch.tokens.chunks(batch.length).zip(batch.targets.chunks(batch.length)) {
            self.asked.borrow_mut().push((targets[batch.length - 1], batch.length));
            for (at, _) in targets.iter().enumerate().filter(|(_, target)| **target != IGNORED) {
                assert!(at + self.scorable(batch.length) >= batch.length, "a row that may not be scored");
                visit(&self.ln_p(&tokens[..=at]));
            }
        }
        Ok(())
    }

    fn stream(&self) -> Result<Box<dyn Stream + '_>> {
        Ok(Box::new(Reading { model: self, tokens: Vec::new() }))
    }

    fn tokens_per_call(&self) -> usize {
        300
    }
}

struct Reading<'a> {
    model: &'a Known,
    tokens: Vec<u32>,
}

impl Stream for Reading<'_> {
    fn feed(&mut self, tokens: &[u32]) -> Result<()> {
        self.tokens.extend(tokens);
        assert!(self.tokens.len() <= self.model.longest, "a stream of {} tokens", self.tokens.len());
        Ok(())
    }

    fn score(&mut self, tokens: &[u32]) -> Result<Vec<f64>> {
        let score = |&token: &u32| {
            let nll = -f64::from(self.model.ln_p(&self.tokens)[token as usize]);
            self.tokens.push(token);
            nll
        };
        Ok(tokens.iter().map(score).collect())
    }

    fn fork(&self) -> Box<dyn Stream + '_> {
        Box::new(Reading { model: self.model, tokens: self.tokens.clone() })
    }
}

/// Options for a length.
pub(super) fn options(length: usize, samples: usize) -> Options {
    Options { seed: 1, samples: Some(samples), length, trained_on: Vec::new() }
}

/// Texts of the byte tokenizer.
pub(super) fn texts(documents: &[&str]) -> MemoryTexts {
    MemoryTexts::new(Tokenizer::bytes(), documents.iter().map(|text| text.as_bytes().to_vec()).collect())
}

/// Runs a suite, and sees that progress ends where it was said to.
pub(super) fn result(suite: Suite, model: &Known, texts: Option<&dyn Texts>, options: &Options) -> Result<SuiteResult> {
    let tokenizer = Tokenizer::bytes();
    let subject =
        Subject { scorer: model, tokenizer: &tokenizer, texts, protocol: Protocol::Stream, limits: Limits::default() };
    let mut last = None;
    let result = run(suite, &subject, options, &mut |progress| last = Some(progress))?;
    let last = last.unwrap();
    assert_eq!(last.done, last.total, "{suite:?}");
    let json = serde_json::to_string(&result).unwrap();
    assert_eq!(serde_json::from_str::<SuiteResult>(&json).unwrap(), result, "it can be read back");
    Ok(result)
}

/// The figures of a suite that needs no text.
pub(super) fn findings(suite: Suite, model: &Known, options: &Options) -> Findings {
    result(suite, model, None, options).unwrap().findings
}
