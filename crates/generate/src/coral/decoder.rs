//! The rounds of sliding block-wise decoding.

use std::ops::ControlFlow;

use percept_fault::Result;
use percept_model::config::Offsets;

use super::config::CoralConfig;
use super::draft::{Ensemble, ensemble, likeliest};
use super::oracle::{Oracle, Question};
use super::tree::candidates;
use super::verify::{Judged, judge};

/// Where a text ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Most tokens, prompt included.
    pub(super) most: usize,
    /// A token that ends it.
    pub(super) token: Option<u32>,
}

/// A text on its way: fixed tokens, and drafts after them that later rounds may change.
#[derive(Debug)]
pub(super) struct Decoder {
    config: CoralConfig,
    learned: Offsets,
    end: End,
    text: Vec<u32>,
    prompt: usize,
    fixed: usize,
    /// For how many rounds each token after the prompt has been the same.
    counts: Vec<usize>,
    /// How far sources agreed with the tokens of the last round.
    ratios: Vec<f64>,
    ended_rounds: usize,
    rounds: usize,
}

/// The tokens of a round, and what decides how many of them are fixed at once.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) tokens: Vec<u32>,
    /// How likely they are.
    pub(super) probabilities: Vec<f64>,
    /// With a tree, the paths, how each was judged, and which was chosen.
    pub(super) tree: Option<(Vec<Vec<u32>>, Vec<Judged>, usize)>,
}

impl Decoder {
    /// After a prompt of at least one token, with room for at least one more.
    pub(super) fn new(prompt: &[u32], config: CoralConfig, learned: Offsets, end: End) -> Self {
        Self {
            config,
            learned,
            end,
            text: prompt.to_vec(),
            prompt: prompt.len(),
            fixed: prompt.len(),
            counts: Vec::new(),
            ratios: Vec::new(),
            ended_rounds: 0,
            rounds: 0,
        }
    }

    /// The prompt, the fixed tokens and the drafts.
    pub(super) fn text(&self) -> &[u32] {
        &self.text
    }

    /// How many tokens will not change any more, prompt included; where the text has ended, it may be shorter.
    pub(super) fn fixed(&self) -> usize {
        self.fixed
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// Drafts, verifies and fixes; `uniform` draws a number in [0, 1).
    pub(super) fn round(
        &mut self,
        oracle: &mut dyn Oracle,
        uniform: &mut dyn FnMut() -> f64,
    ) -> Result<ControlFlow<()>> {
        let ensemble = self.draft(oracle)?;
        let chosen = self.choose(oracle, &ensemble)?;
        Ok(self.fix(&chosen, uniform))
    }

    /// What all sources predict.
    pub(super) fn draft(&self, oracle: &mut dyn Oracle) -> Result<Ensemble> {
        ensemble(oracle, &self.text, &self.question(), &self.ratios)
    }

    /// Takes the chosen tokens over, and fixes as many as have stayed or are accepted.
    pub(super) fn fix(&mut self, chosen: &Chosen, uniform: &mut dyn FnMut() -> f64) -> ControlFlow<()> {
        let judged = chosen.tree.as_ref().map(|(_, judged, best)| &judged[*best]);
        self.ratios = judged.map(|judged| judged.agreement.clone()).unwrap_or_default();
        let next = judged.map(|judged| judged.next.iter().map(|next| (-next).exp()).collect::<Vec<f64>>());
        let end = self.update(&chosen.tokens);
        let accepted = self.accepted(&chosen.probabilities, next.as_deref(), uniform);
        self.fixed = self.fixed.max(accepted);
        self.rounds += 1;
        let is_over = accepted >= end
            || self.fixed >= self.end.most
            || self.ended_rounds > self.config.block
            || self.rounds >= self.config.rounds(self.end.most - self.prompt);
        if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Sources from the last fixed token on, targets from the first one that is not fixed to the end of the block.
    pub(super) fn question(&self) -> Question {
        let end = (self.fixed + self.config.block).min(self.end.most) - 1;
        let last = self.text.len() - 1;
        Question {
            sources: self.fixed - 1..=last,
            targets: self.fixed..=(last + self.learned.forward).min(end),
            offsets: self.learned,
        }
    }

    /// The likeliest tokens, or the best candidate of a tree.
    pub(super) fn choose(&self, oracle: &mut dyn Oracle, ensemble: &Ensemble) -> Result<Chosen> {
        let Some(tree) = &self.config.tree else {
            let (tokens, probabilities) =
                ensemble.iter().map(|ln_p| likeliest(ln_p)).map(|(token, ln_p)| (token, ln_p.exp())).unzip();
            return Ok(Chosen { tokens, probabilities, tree: None });
        };
        let paths = candidates(ensemble, tree.width, self.config.nodes());
        let judged = judge(oracle, &self.text, (self.fixed, &paths), tree)?;
        let better = |best: usize, next: usize| if judged[next].mean() < judged[best].mean() { next } else { best };
        let chosen = (0..judged.len()).fold(0, better);
        let probabilities = judged[chosen].losses.iter().map(|loss| (-loss).exp()).collect();
        Ok(Chosen { tokens: paths[chosen].clone(), probabilities, tree: Some((paths, judged, chosen)) })
    }

    /// Takes the tokens over, and counts for how long each has been there; returns where the text ends.
    fn update(&mut self, tokens: &[u32]) -> usize {
        let ended = self.end.token.and_then(|end| tokens.iter().position(|token| *token == end));
        let tokens = ended.map_or(tokens, |last| &tokens[..=last]);
        let after = [&self.text[..self.fixed], tokens].concat();
        let same = self.text.iter().zip(&after).skip(self.prompt).take_while(|(old, new)| old == new).count();
        self.counts.resize(after.len() - self.prompt, 0);
        for (at, count) in self.counts.iter_mut().enumerate() {
            *count = if at < same { *count + 1 } else { 1 };
        }
        self.text = after;
        self.ended_rounds += usize::from(ended.is_some());
        if ended.is_some() { self.text.len() } else { self.end.most }
    }

    /// Up to where tokens are fixed: those that have stayed long enough, or those that are drawn as accepted, by what all sources say of
    /// them or by what `next` does.
    fn accepted(&self, probabilities: &[f64], next: Option<&[f64]>, uniform: &mut dyn FnMut() -> f64) -> usize {
        let counts = self.counts.iter().skip(self.fixed - self.prompt);
        let stayed = self.fixed + counts.take_while(|count| **count > self.config.occurrences).count();
        let Some(next) = next else { return stayed };
        // All are drawn, whatever the first ones give.
        let drawn: Vec<f64> = probabilities.iter().map(|_| uniform()).collect();
        let passes = drawn.iter().zip(probabilities.iter().zip(next)).map(|(u, (all, next))| u <= all || u <= next);
        stayed.max(self.fixed + passes.take_while(|passes| *passes).count())
    }
}
