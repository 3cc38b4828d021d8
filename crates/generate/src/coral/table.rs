//! A model that is a table: for tests, and for the traces of the authors' decoder.

use std::ops::RangeInclusive;

use percept_fault::Result;
use percept_model::config::Offsets;
use percept_model::session::Pair;

use super::oracle::{Oracle, Question, Visit};

/// Logits of a target are a row of the table, by the last three tokens, the offset and the target; more for the token that is true there,
/// by the offset and by whether the source is.
pub(super) struct Table {
    pub(super) rows: Vec<Vec<f32>>,
    pub(super) truth: Vec<u32>,
    pub(super) offsets: Offsets,
    /// By offset, of a source that is true, and of another.
    pub(super) boosts: [Vec<f32>; 2],
}

impl Table {
    /// A small one whose predictions further on resemble those of the next token.
    pub(super) fn small(vocab: usize) -> Self {
        let logit = |row: u64, token: u64| 2.0 * percept_random::uniform(row, token) as f32;
        let rows = (0..23).map(|row| (0..vocab as u64).map(|token| logit(row, token)).collect()).collect();
        let truth = (0..64).map(|at| (at * at + at) % (vocab as u32 - 1)).collect();
        let offsets = Offsets { forward: 4, backward: 2 };
        Self { rows, truth, offsets, boosts: [vec![1.5; 7], vec![0.5; 7]] }
    }

    /// ln p of every token.
    fn row(&self, text: &[u32], Pair { source, target }: Pair) -> Vec<f32> {
        let token = |back: usize| source.checked_sub(back).map_or(0, |at| i64::from(text[at]));
        let offset = target as i64 - source as i64;
        let hash = 31 * token(0) + 17 * token(1) + 7 * token(2) + 5 * (offset + 64) + 3 * target as i64;
        let mut logits: Vec<f64> =
            self.rows[hash.rem_euclid(self.rows.len() as i64) as usize].iter().map(|logit| f64::from(*logit)).collect();
        if let Some(&truth) = self.truth.get(target) {
            let is_true = self.truth.get(source) == Some(&text[source]);
            let boosts = &self.boosts[usize::from(!is_true)];
            logits[truth as usize] += f64::from(boosts[(offset + self.offsets.backward as i64) as usize]);
        }
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let norm = most + logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln();
        logits.iter().map(|logit| (logit - norm) as f32).collect()
    }
}

impl Oracle for Table {
    fn ask(&mut self, texts: &[Vec<u32>], question: &Question, visit: &mut Visit<'_>) -> Result<()> {
        for (index, text) in texts.iter().enumerate() {
            assert_eq!(text.len() - 1, *question.sources.end(), "a text ends with the last source");
            for source in question.sources.clone() {
                let targets: RangeInclusive<usize> = question.targets.clone();
                for target in targets.filter(|target| question.holds(Pair { source, target: *target })) {
                    visit(index, Pair { source, target }, &self.row(text, Pair { source, target }));
                }
            }
        }
        Ok(())
    }
}
