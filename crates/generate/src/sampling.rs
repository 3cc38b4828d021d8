//! From log-probabilities to the next token.
//!
//! The steps run in a fixed order: excluded tokens, repetition penalty, bias, temperature, top-k, top-p,
//! min-p, draw. Each step only narrows what the one before it left, and the most probable token is
//! never removed, so something can always be drawn. Nothing here knows of models or text.

use std::collections::VecDeque;

use percept_fault::{Fault, Result};
use percept_kernels::decode::log_softmax;
use percept_random::uniform;

/// How the next token is chosen.
///
/// ```
/// use percept_generate::{Sampler, SamplingConfig};
/// let ln_p = [0.5_f32, 0.3, 0.15, 0.05].map(f32::ln);
/// let left = |config| -> Vec<u32> {
///     let candidates = Sampler::new(config, &[]).unwrap().candidates(&ln_p).unwrap();
///     candidates.iter().map(|candidate| candidate.token).collect()
/// };
/// assert_eq!(left(SamplingConfig { top_k: Some(3), ..Default::default() }), [0, 1, 2]);
/// assert_eq!(left(SamplingConfig { top_p: Some(0.7), ..Default::default() }), [0, 1]);
/// // At least a fifth as probable as the best.
/// assert_eq!(left(SamplingConfig { min_p: Some(0.2), ..Default::default() }), [0, 1, 2]);
/// // What is out of range is refused, with the range.
/// let fault = SamplingConfig { top_p: Some(0.0), ..Default::default() }.validate().unwrap_err();
/// assert_eq!(fault.hint_text(), Some("top-p lies in (0, 1]"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingConfig {
    /// Divides the log-probabilities; 0 takes the most probable token. At least 0.
    pub temperature: f32,
    /// Keep the `k` most probable tokens; `None` keeps all.
    pub top_k: Option<usize>,
    /// Keep the smallest set of the most probable tokens whose probabilities sum to at least this
    /// (nucleus sampling, Holtzman et al. 2020, arXiv 1904.09751). In (0, 1].
    pub top_p: Option<f32>,
    /// Keep the tokens at least this fraction as probable as the most probable one (Nguyen et al.
    /// 2024, arXiv 2407.01082). In [0, 1].
    pub min_p: Option<f32>,
    /// Multiplies the log-probability of tokens seen in the last `repetition_window` positions:
    /// 1 changes nothing, above 1 makes them rarer. The penalty of CTRL (Keskar et al. 2019, arXiv
    /// 1909.05858) on log-probabilities, which are never positive, so no sign case is needed.
    pub repetition_penalty: f32,
    /// How many of the latest tokens the penalty looks at.
    pub repetition_window: usize,
    /// Numbers that are added to the log-probabilities of tokens: what is below zero makes them rarer. Ids outside the
    /// vocabulary change nothing.
    pub bias: Vec<(u32, f32)>,
    /// The same seed, configuration and log-probabilities give the same tokens.
    pub seed: u64,
    /// Tokens that were drawn with this seed before: a text that goes on gets the tokens that it had got, had it not been cut.
    pub drawn: u64,
}

impl Default for SamplingConfig {
    /// Plain sampling from the model's own distribution.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: None,
            min_p: None,
            repetition_penalty: 1.0,
            repetition_window: 256,
            bias: Vec::new(),
            seed: 0,
            drawn: 0,
        }
    }
}

impl SamplingConfig {
    /// A fault of kind usage that names the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        let wrong = |name: &str, value: f32, range: &str| {
            Err(Fault::usage(format!("{name} is {value}")).hint(format!("{name} lies in {range}")))
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return wrong("temperature", self.temperature, "[0, infinity); 0 takes the most probable token");
        }
        if self.top_k == Some(0) {
            return Err(Fault::usage("top-k is 0").hint("top-k is at least 1; 1 takes the most probable token"));
        }
        if let Some(p) = self.top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            return wrong("top-p", p, "(0, 1]");
        }
        if let Some(p) = self.min_p.filter(|p| !(0.0..=1.0).contains(p)) {
            return wrong("min-p", p, "[0, 1]");
        }
        if !(self.repetition_penalty >= 1.0 && self.repetition_penalty.is_finite()) {
            return wrong("repetition-penalty", self.repetition_penalty, "[1, infinity); 1 changes nothing");
        }
        if let Some((token, bias)) = self.bias.iter().find(|(_, bias)| !bias.is_finite()) {
            return wrong(&format!("the bias of token {token}"), *bias, "(-infinity, infinity)");
        }
        Ok(())
    }
}

/// Draws tokens; owns the random position and the window of recent tokens, so its memory is bounded.
///
/// ```
/// use percept_generate::sampling::{Sampler, SamplingConfig};
/// let mut greedy = Sampler::new(SamplingConfig { temperature: 0.0, ..Default::default() }, &[])?;
/// assert_eq!(greedy.next(&[-2.0, -0.2, -3.0])?, 1);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sampler {
    config: SamplingConfig,
    excluded: Vec<u32>,
    recent: VecDeque<u32>,
    draws: u64,
    /// Log-probabilities after exclusion, penalty and temperature; minus infinity for what is impossible.
    scores: Vec<f32>,
    /// The most probable tokens, as far as they were needed.
    kept: Vec<Candidate>,
}

impl Sampler {
    /// A sampler that never draws one of the `excluded` tokens.
    pub fn new(config: SamplingConfig, excluded: &[u32]) -> Result<Self> {
        config.validate()?;
        let (recent, scores, kept) = Default::default();
        Ok(Self { draws: config.drawn, config, excluded: excluded.to_vec(), recent, scores, kept })
    }

    /// Notes a token of the prompt for the repetition penalty.
    ///
    /// ```
    /// use percept_generate::{Sampler, SamplingConfig};
    /// let config = SamplingConfig { temperature: 0.0, repetition_penalty: 2.0, ..Default::default() };
    /// let mut greedy = Sampler::new(config, &[])?;
    /// assert_eq!(greedy.clone().next(&[-0.8, -1.0])?, 0);
    /// // Token 0 stands in the prompt: its log-probability is doubled.
    /// greedy.observe(0);
    /// assert_eq!(greedy.next(&[-0.8, -1.0])?, 1);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn observe(&mut self, token: u32) {
        if self.config.repetition_penalty == 1.0 || self.config.repetition_window == 0 {
            return;
        }
        if self.recent.len() == self.config.repetition_window {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
    }

    /// Draws the next token from log-probabilities (one per token of the vocabulary) and notes it. Only as many of the most
    /// probable tokens are put in order as the draw needs, and memory is used again.
    ///
    /// # Errors
    /// A check fault where no allowed token has a finite log-probability.
    pub fn next(&mut self, log_probabilities: &[f32]) -> Result<u32> {
        let at = uniform(self.config.seed, self.draws);
        self.narrow(log_probabilities, at)?;
        let token = pick(&self.kept, at);
        self.draws += 1;
        self.observe(token);
        Ok(token)
    }

    /// What may be drawn, most probable first (ties: the smaller id first). The probabilities sum to 1.
    ///
    /// # Errors
    /// As [`Sampler::next`].
    pub fn candidates(&mut self, log_probabilities: &[f32]) -> Result<Vec<Candidate>> {
        self.narrow(log_probabilities, f64::INFINITY)?;
        normalise(&mut self.kept);
        Ok(self.kept.clone())
    }

    /// Fills `kept` with what a draw at `at` can hit: where nothing but the draw limits it, the most probable tokens whose
    /// probabilities sum to more than that.
    fn narrow(&mut self, log_probabilities: &[f32], at: f64) -> Result<()> {
        let best = self.score(log_probabilities)?;
        if self.config.temperature == 0.0 {
            self.kept.clear();
            self.kept.push(Candidate { token: best, probability: 1.0 });
            return Ok(());
        }
        // Nearly always a few nats below the best are enough.
        let mut reach = 4.0;
        loop {
            self.gather(best, reach);
            if reach == f32::INFINITY || self.is_enough(reach, at) {
                break;
            }
            reach = if reach < 100.0 { 2.0 * reach } else { f32::INFINITY };
        }
        if let Some(k) = self.config.top_k {
            self.kept.truncate(k);
            normalise(&mut self.kept);
        }
        if let Some(limit) = self.config.top_p {
            keep_top_p(&mut self.kept, f64::from(limit));
        }
        if let Some(fraction) = self.config.min_p {
            let least = f64::from(fraction) * self.kept[0].probability;
            self.kept.retain(|candidate| candidate.probability >= least);
            normalise(&mut self.kept);
        }
        Ok(())
    }

    /// Fills `scores`; returns the most probable token.
    fn score(&mut self, log_probabilities: &[f32]) -> Result<u32> {
        self.scores.clear();
        self.scores
            .extend(log_probabilities.iter().map(|value| if value.is_finite() { *value } else { f32::NEG_INFINITY }));
        for &token in &self.excluded {
            if let Some(score) = self.scores.get_mut(token as usize) {
                *score = f32::NEG_INFINITY;
            }
        }
        for (index, &token) in self.recent.iter().enumerate() {
            let seen = self.recent.iter().take(index).any(|earlier| *earlier == token);
            if let Some(score) = self.scores.get_mut(token as usize).filter(|_| !seen) {
                // Impossible stays impossible; what is only very rare does not become it.
                if *score > f32::NEG_INFINITY {
                    *score = (*score * self.config.repetition_penalty).max(f32::MIN);
                }
            }
        }
        for &(token, bias) in &self.config.bias {
            if let Some(score) = self.scores.get_mut(token as usize).filter(|score| **score > f32::NEG_INFINITY) {
                *score = (*score + bias).clamp(f32::MIN, f32::MAX);
            }
        }
        let better = |best: (u32, f32), next: (u32, f32)| if next.1 > best.1 { next } else { best };
        let (best, most) = (0u32..).zip(self.scores.iter().copied()).fold((0, f32::NEG_INFINITY), better);
        if most == f32::NEG_INFINITY {
            return Err(Fault::check("the model gives no token a finite probability")
                .hint("its weights are broken: try an earlier checkpoint, or `percept verify` on the run"));
        }
        if self.config.temperature > 0.0 {
            // A temperature below the smallest normal number would divide to infinity, and the best token's 0 to no number.
            let factor = (1.0 / self.config.temperature).min(f32::MAX);
            self.scores.iter_mut().for_each(|score| *score = (*score - most) * factor);
            log_softmax(&mut self.scores);
        }
        Ok(best)
    }

    /// Keeps the tokens at most `reach` nats less probable than `best`, in order.
    fn gather(&mut self, best: u32, reach: f32) {
        let Self { scores, kept, .. } = self;
        let least = (scores[best as usize] - reach).max(f32::MIN);
        kept.clear();
        kept.extend(
            (0u32..)
                .zip(scores.iter())
                .filter(|(_, score)| **score >= least)
                .map(|(token, score)| Candidate { token, probability: f64::from(*score).exp() }),
        );
        kept.sort_unstable_by(|a, b| {
            scores[b.token as usize].total_cmp(&scores[a.token as usize]).then(a.token.cmp(&b.token))
        });
    }

    /// Whether no token that is further than `reach` from the best could be kept or drawn.
    fn is_enough(&self, reach: f32, at: f64) -> bool {
        let mass = || self.kept.iter().map(|candidate| candidate.probability).sum::<f64>();
        match &self.config {
            SamplingConfig { top_k: Some(k), .. } => self.kept.len() >= *k,
            SamplingConfig { top_p: Some(limit), .. } => mass() >= f64::from(*limit),
            SamplingConfig { min_p: Some(fraction), .. } => reach > -fraction.ln(),
            _ => mass() > at,
        }
    }
}

/// A token that may be drawn, with its probability after every step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The token's id.
    pub token: u32,
    /// Its probability among the candidates.
    pub probability: f64,
}

fn normalise(candidates: &mut [Candidate]) {
    let sum: f64 = candidates.iter().map(|candidate| candidate.probability).sum();
    for candidate in candidates {
        candidate.probability /= sum;
    }
}

fn keep_top_p(candidates: &mut Vec<Candidate>, limit: f64) {
    let mut sum = 0.0;
    let enough = candidates.iter().position(|candidate| {
        sum += candidate.probability;
        sum >= limit
    });
    if let Some(last) = enough {
        candidates.truncate(last + 1);
    }
    normalise(candidates);
}

/// The candidate at `at` of the sum of their probabilities.
pub(crate) fn pick(candidates: &[Candidate], at: f64) -> u32 {
    let mut sum = 0.0;
    for candidate in candidates {
        sum += candidate.probability;
        if at < sum {
            return candidate.token;
        }
    }
    // Rounding may leave the sum a hair below 1: then the draw belongs to the last candidate.
    candidates[candidates.len() - 1].token
}

#[cfg(test)]
mod tests;
