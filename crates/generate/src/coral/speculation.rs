//! Several tokens at a time without another distribution: speculative sampling (Leviathan et al., arXiv 2211.17192; Chen et al., arXiv
//! 2302.01318), where the drafts are the model's own predictions further on.
//!
//! A draft d of probability q(d) is accepted with probability min(1, p(d) / q(d)), p being the next-token distribution in its place; the
//! first that is not gives way to a token of max(p - q, 0). After the last one that is, a token of p follows.

use percept_fault::Result;
use percept_model::config::Offsets;
use percept_random::{hash, uniform};

use super::oracle::{Oracle, Question};
use crate::sampling::{Candidate, pick};
use crate::{Sampler, SamplingConfig};

/// Keeps these draws apart from those of a text that is written token by token.
const DRAWS: u64 = 0x6472_6166_7473;

/// A text on its way, and what may come next.
#[derive(Debug)]
pub(super) struct Speculation {
    text: Vec<u32>,
    /// Most tokens, prompt included.
    most: usize,
    drafts: Vec<Draft>,
    sampler: Sampler,
    /// The furthest offset that the model has learned.
    forward: usize,
    seed: u64,
    drawn: u64,
}

/// A token, and the distribution that it was drawn from.
#[derive(Debug)]
struct Draft {
    token: u32,
    from: Vec<Candidate>,
}

/// ln p of every token for each source, by offset from 1 on.
type Rows = Vec<Vec<Vec<f32>>>;

impl Speculation {
    /// After a prompt of at least one token, up to `most` tokens; `never` is never drawn.
    pub(super) fn new(
        (prompt, most): (&[u32], usize),
        forward: usize,
        config: SamplingConfig,
        never: u32,
    ) -> Result<Self> {
        let seed = hash(&[DRAWS, config.seed]);
        let mut sampler = Sampler::new(config, &[never])?;
        prompt.iter().for_each(|&token| sampler.observe(token));
        Ok(Self { text: prompt.to_vec(), most, drafts: Vec::new(), sampler, forward, seed, drawn: 0 })
    }

    /// The prompt and all tokens so far.
    pub(super) fn text(&self) -> &[u32] {
        &self.text
    }

    /// One pass of the model: takes as many drafts as are accepted, and one more token. Returns how many drafts there were, and how many were
    /// taken.
    pub(super) fn round(&mut self, oracle: &mut dyn Oracle) -> Result<[usize; 2]> {
        let rows = self.ask(oracle)?;
        let drafts = std::mem::take(&mut self.drafts);
        let mut accepted = 0;
        let last = loop {
            let likely = self.sampler.candidates(&rows[accepted][0])?;
            match drafts.get(accepted) {
                None => break pick(&likely, self.uniform()),
                Some(draft) if self.accepts(draft, &likely) => {
                    self.take(draft.token);
                    accepted += 1;
                }
                Some(draft) => break self.instead(draft, &likely),
            }
        };
        self.take(last);
        self.draft(&rows[accepted])?;
        Ok([drafts.len(), accepted])
    }

    /// The distributions after the last token and after each draft.
    fn ask(&self, oracle: &mut dyn Oracle) -> Result<Rows> {
        let drafts = self.drafts.iter().map(|draft| draft.token);
        let text: Vec<u32> = self.text.iter().copied().chain(drafts).collect();
        let (first, last) = (self.text.len() - 1, text.len() - 1);
        let offsets = Offsets { forward: self.forward, backward: 0 };
        let question = Question { sources: first..=last, targets: first + 1..=last + self.forward, offsets };
        let mut rows = vec![vec![Vec::new(); self.forward]; last + 1 - first];
        oracle.ask(&[text], &question, &mut |_, pair, ln_p| {
            if pair.target > pair.source {
                rows[pair.source - first][pair.target - pair.source - 1] = ln_p.to_vec();
            }
        })?;
        Ok(rows)
    }

    fn accepts(&mut self, draft: &Draft, likely: &[Candidate]) -> bool {
        self.uniform() * probability(&draft.from, draft.token) < probability(likely, draft.token)
    }

    /// A token of what is likelier than in the distribution of a draft that was not accepted.
    fn instead(&mut self, draft: &Draft, likely: &[Candidate]) -> u32 {
        let rest = likely.iter().map(|candidate| {
            let more = candidate.probability - probability(&draft.from, candidate.token);
            Candidate { probability: more.max(0.0), ..*candidate }
        });
        let rest: Vec<Candidate> = rest.collect();
        let sum: f64 = rest.iter().map(|candidate| candidate.probability).sum();
        // Equal distributions reject nothing, but for rounding.
        if sum > 0.0 { pick(&rest, sum * self.uniform()) } else { pick(likely, self.uniform()) }
    }

    fn take(&mut self, token: u32) {
        self.sampler.observe(token);
        self.text.push(token);
    }

    /// Draws what may follow the last token, by what the one before it says of further offsets.
    fn draft(&mut self, rows: &[Vec<f32>]) -> Result<()> {
        let room = self.most.saturating_sub(self.text.len() + 1);
        for row in rows.iter().skip(1).take(room) {
            let from = self.sampler.candidates(row)?;
            let token = pick(&from, self.uniform());
            self.drafts.push(Draft { token, from });
        }
        Ok(())
    }

    fn uniform(&mut self) -> f64 {
        self.drawn += 1;
        uniform(self.seed, self.drawn - 1)
    }
}

/// The probability of a token among candidates.
fn probability(candidates: &[Candidate], token: u32) -> f64 {
    candidates.iter().find(|candidate| candidate.token == token).map_or(0.0, |candidate| candidate.probability)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::coral::table::Table;

    const PROMPT: [u32; 2] = [1, 3];
    const LENGTH: usize = 4;

    /// ln p of the next token of a text.
    fn next(table: &mut Table, text: &[u32]) -> Vec<f32> {
        let last = text.len() - 1;
        let offsets = Offsets { forward: 1, backward: 0 };
        let question = Question { sources: last..=last, targets: last + 1..=last + 1, offsets };
        let mut row = Vec::new();
        table.ask(&[text.to_vec()], &question, &mut |_, _, ln_p| row = ln_p.to_vec()).unwrap();
        row
    }

    /// The probability of every continuation by four tokens, one by one.
    fn expected(table: &mut Table, config: &SamplingConfig, never: u32) -> BTreeMap<Vec<u32>, f64> {
        let mut texts = BTreeMap::from([(PROMPT.to_vec(), 1.0)]);
        for _ in 0..LENGTH {
            let mut longer = BTreeMap::new();
            for (text, before) in texts {
                let mut sampler = Sampler::new(config.clone(), &[never]).unwrap();
                text.iter().for_each(|&token| sampler.observe(token));
                for candidate in sampler.candidates(&next(table, &text)).unwrap() {
                    longer.insert([text.clone(), vec![candidate.token]].concat(), before * candidate.probability);
                }
            }
            texts = longer;
        }
        texts
    }

    /// Chi-squared of texts written in rounds against their probabilities, its degrees of freedom, and drafts made and accepted. Rare texts
    /// count together.
    fn chi_squared(config: &SamplingConfig, texts: u64) -> (f64, f64, [usize; 2]) {
        let (mut table, never) = (Table::small(5), 4);
        let expected = expected(&mut table, config, never);
        let (mut counts, mut drafts) = (BTreeMap::<Vec<u32>, f64>::new(), [0, 0]);
        for seed in 0..texts {
            let most = PROMPT.len() + LENGTH;
            let config = SamplingConfig { seed, ..config.clone() };
            let mut speculation = Speculation::new((&PROMPT, most), 4, config, never).unwrap();
            while speculation.text().len() < most {
                let [made, accepted] = speculation.round(&mut table).unwrap();
                drafts = [drafts[0] + made, drafts[1] + accepted];
            }
            *counts.entry(speculation.text()[..most].to_vec()).or_default() += 1.0;
        }
        assert!(counts.keys().all(|text| expected.contains_key(text)), "a text that cannot be");
        let (mut rare, mut sum, mut cells) = ([0.0, 0.0], 0.0, 0.0);
        let mut add = |seen: f64, wanted: f64| {
            sum += (seen - wanted).powi(2) / wanted;
            cells += 1.0;
        };
        for (text, probability) in &expected {
            let (seen, wanted) = (counts.get(text).copied().unwrap_or(0.0), probability * texts as f64);
            if wanted < 5.0 { rare = [rare[0] + seen, rare[1] + wanted] } else { add(seen, wanted) }
        }
        if rare[1] > 0.0 {
            add(rare[0], rare[1]);
        }
        (sum, cells - 1.0, drafts)
    }

    #[test]
    fn texts_are_distributed_as_if_written_one_by_one() {
        for config in [
            SamplingConfig::default(),
            SamplingConfig { temperature: 0.7, top_p: Some(0.9), ..SamplingConfig::default() },
            SamplingConfig { temperature: 1.3, repetition_penalty: 1.5, ..SamplingConfig::default() },
        ] {
            let (sum, freedom, [made, accepted]) = chi_squared(&config, 40_000);
            // Four standard deviations of a chi-squared distribution.
            assert!(
                sum < freedom + 4.0 * (2.0 * freedom).sqrt(),
                "{sum} with {freedom} degrees of freedom: {config:?}"
            );
            assert!(freedom > 10.0 && made > 40_000, "{freedom} {made}");
            assert!(accepted * 10 > made && accepted * 10 < made * 9, "{accepted} of {made} drafts are accepted");
        }
    }

    #[test]
    fn the_likeliest_tokens_are_those_of_one_by_one() {
        let (mut table, never) = (Table::small(5), 4);
        let config = SamplingConfig { temperature: 0.0, ..SamplingConfig::default() };
        let most = 40;
        let mut one_by_one = PROMPT.to_vec();
        while one_by_one.len() < most {
            let row = next(&mut table, &one_by_one);
            one_by_one.push(Sampler::new(config.clone(), &[never]).unwrap().next(&row).unwrap());
        }
        let mut speculation = Speculation::new((&PROMPT, most), 4, config, never).unwrap();
        let mut rounds = 0;
        while speculation.text().len() < most {
            speculation.round(&mut table).unwrap();
            rounds += 1;
        }
        assert_eq!(speculation.text(), one_by_one);
        assert!(rounds < most - PROMPT.len(), "no draft was ever accepted");
    }
}
