//! The distribution in the place of each token that is fed.

use burn::tensor::{Tensor, activation::log_softmax};
use percept_fault::Result;

use super::{Run, Session};
use crate::batch::check_tokens;
use crate::decoder::Decoder;
use crate::ops::elements;

/// Rows of V numbers that are held at once.
const ROWS: usize = 64;

impl Session {
    /// Feeds tokens as [`Session::feed`] does, and shows for each of them ln p of every token in its place, `[V]`, given all before
    /// it: `None` for the first token of a fresh session, which nothing predicts.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
    /// # let layers = "llp(segment=8)".into();
    /// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
    /// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
    /// let tokens = [256, 104, 105];
    /// let mut likeliest = Vec::new();
    /// Session::new(model).feed_with(&tokens, &mut |_, row| {
    ///     let best = |row: &[f32]| (0..257).max_by(|&a: &usize, &b| row[a].total_cmp(&row[b]));
    ///     likeliest.push(row.and_then(best));
    /// })?;
    /// assert!(likeliest[0].is_none() && likeliest[1..].iter().all(Option::is_some));
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    ///
    /// # Errors
    /// A token outside the vocabulary; then nothing was fed.
    pub fn feed_with(&mut self, tokens: &[u32], visit: &mut dyn FnMut(u32, Option<&[f32]>)) -> Result<()> {
        check_tokens(tokens, self.model.config().vocab)?;
        let mut rest = tokens;
        while !rest.is_empty() {
            let run = self.next_run(rest.len());
            let (now, after) = rest.split_at(run.tokens());
            match self.decoder_for(run) {
                Some(decoder) => self.visit_steps(&decoder, now, visit)?,
                None => self.visit_run(now, run, visit),
            }
            rest = after;
        }
        Ok(())
    }

    fn visit_steps(
        &mut self,
        decoder: &Decoder,
        tokens: &[u32],
        visit: &mut dyn FnMut(u32, Option<&[f32]>),
    ) -> Result<()> {
        let mut row = vec![0.0; self.model.config().vocab];
        for &token in tokens {
            match self.running.is_fresh() {
                true => visit(token, None),
                false => {
                    self.log_probabilities_into(&mut row)?;
                    visit(token, Some(&row));
                }
            }
            self.step(decoder, token);
        }
        Ok(())
    }

    fn visit_run(&mut self, tokens: &[u32], run: Run, visit: &mut dyn FnMut(u32, Option<&[f32]>)) {
        let rows = self.rows();
        let before = self.running.tensors(&self.model, rows).last.clone();
        let hidden = self.run_tensors(tokens, run);
        let others = (tokens.len() > 1).then(|| hidden.narrow(1, 0, tokens.len() - 1));
        let unpredicted = usize::from(before.is_none());
        tokens[..unpredicted].iter().for_each(|&token| visit(token, None));
        let predicting: Vec<Tensor<3>> = before.into_iter().chain(others).collect();
        if predicting.is_empty() {
            return;
        }
        let (predicting, vocab) = (Tensor::cat(predicting, 1), self.model.config().vocab);
        for (chunk, tokens) in tokens[unpredicted..].chunks(ROWS).enumerate() {
            let hidden = predicting.clone().narrow(1, chunk * ROWS, tokens.len());
            let rows = elements(log_softmax(self.model.logits(hidden), 2));
            tokens.iter().zip(rows.chunks_exact(vocab)).for_each(|(&token, row)| visit(token, Some(row)));
        }
    }
}
