//! What an order-agnostic model says of the positions around each token that is fed.

use burn::tensor::{Tensor, activation::log_softmax};
use percept_fault::{Fault, Result};

use super::running::Tensors;
use super::{Run, Session};
use crate::batch::check_tokens;
use crate::config::Objective;
use crate::layer::Mode;
use crate::ops::{detached, elements};
use crate::order_agnostic::Asked;

/// Rows of V numbers that are held at once.
const ROWS: usize = 64;
/// The offset of what comes next.
const NEXT: isize = 1;

/// A question: the position of a token that is fed, and that of the one which is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The token that asks, with all before it.
    pub source: usize,
    /// What it asks for.
    pub target: usize,
}

impl Session {
    /// Feeds tokens as [`Session::feed`] does, and shows for each source and target that are `wanted` ln p of every token at the target,
    /// `[V]`. Sources are the tokens fed, targets at most as far from them as the model has learned; both are positions in the stream.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use percept_model::config::Objective;
    /// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
    /// # let objective = Objective::OrderAgnostic;
    /// # let config = ModelConfig { objective, layers: "llp(segment=8)".into(), vocab: 257, dim: 16, depth: 2, heads: 2, context: 32, ..Default::default() };
    /// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
    /// let (mut asked, mut plain) = (Session::new(model.clone()), Session::new(model));
    /// let mut next = Vec::new();
    /// // The next token after the last one, and the one after that.
    /// asked.feed_asking(&[256, 104, 105], &|pair| pair.source == 2 && pair.target > 2 && pair.target < 5, &mut |pair, ln_p| {
    ///     next.push((pair.target, ln_p.to_vec()));
    /// })?;
    /// assert_eq!(next.iter().map(|(target, _)| *target).collect::<Vec<_>>(), [3, 4]);
    /// // An offset of one is what comes next.
    /// let expected = plain.feed(&[256, 104, 105])?;
    /// assert!(expected.iter().zip(&next[0].1).all(|(a, b)| (a - b).abs() < 1e-4));
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    ///
    /// # Errors
    /// Usage: a model of the next token alone, or a token outside the vocabulary; then nothing was fed.
    pub fn feed_asking(
        &mut self,
        tokens: &[u32],
        wanted: &dyn Fn(Pair) -> bool,
        visit: &mut dyn FnMut(Pair, &[f32]),
    ) -> Result<()> {
        check_tokens(tokens, self.model.config().vocab)?;
        if self.model.config().objective != Objective::OrderAgnostic {
            return Err(Fault::usage("this model predicts the next token only")
                .hint("train one with model.objective = \"order-agnostic\""));
        }
        let mut rest = tokens;
        while !rest.is_empty() {
            let run = self.next_run(rest.len());
            let (now, after) = rest.split_at(run.tokens());
            let asked = self.asked(now.len(), wanted);
            let first = self.position;
            let hidden = self.run_asking((now, run), &asked);
            self.visit_answers(hidden, first, &asked, visit);
            rest = after;
        }
        Ok(())
    }

    /// The pairs whose sources are the next tokens, offset by offset; sources are counted from the first of these.
    fn asked(&self, tokens: usize, wanted: &dyn Fn(Pair) -> bool) -> Vec<Asked> {
        let asked = |offset: isize| {
            let is_wanted = |&source: &usize| {
                let source = self.position + source;
                source.checked_add_signed(offset).is_some_and(|target| wanted(Pair { source, target }))
            };
            Asked { offset, sources: (0..tokens).filter(is_wanted).collect() }
        };
        self.model.config().order_agnostic.all().map(asked).collect()
    }

    /// Runs tokens through the model's tensors; returns the hidden rows of all pairs, `[1, pairs, d]`.
    fn run_asking(&mut self, (tokens, run): (&[u32], Run), asked: &[Asked]) -> Tensor<3> {
        let (model, held) = (self.model.clone(), self.rows());
        let (rows, before) = self.prepare(run);
        let Tensors { states, last } = self.running.tensors(&model, held);
        let x = model.embed(&[&before, tokens].concat(), 1);
        let top = states.len() - 1;
        let (x, rows) = model.run_first(top, x, (Some(&mut states[..top]), rows), Mode::Evaluation, &mut || {});
        // What comes after the last token is asked for too: it is what the session says without being asked.
        let length = rows.len();
        let mut asked: Vec<Asked> = asked.iter().map(|asked| asked.among(length - tokens.len())).collect();
        asked.push(Asked { offset: NEXT, sources: vec![length - 1] });
        let hidden = model.answers(x, Some(&mut states[top]), (&asked, length), (rows, Mode::Evaluation));
        let pairs = hidden.dims()[1] - 1;
        *last = Some(detached(hidden.clone().narrow(1, pairs, 1)));
        self.count(tokens);
        hidden.narrow(1, 0, pairs.max(1))
    }

    /// Shows the distributions of pairs, whose sources are counted from position `first`.
    fn visit_answers(&self, hidden: Tensor<3>, first: usize, asked: &[Asked], visit: &mut dyn FnMut(Pair, &[f32])) {
        let pairs: Vec<Pair> = asked
            .iter()
            .flat_map(|asked| asked.sources.iter().map(|source| first + source).map(|source| (source, asked.offset)))
            .map(|(source, offset)| Pair { source, target: source.strict_add_signed(offset) })
            .collect();
        for (chunk, pairs) in pairs.chunks(ROWS).enumerate() {
            let rows = hidden.clone().narrow(1, chunk * ROWS, pairs.len());
            let rows = elements(log_softmax(self.model.logits(rows), 2));
            let vocab = self.model.config().vocab;
            pairs.iter().zip(rows.chunks_exact(vocab)).for_each(|(pair, row)| visit(*pair, row));
        }
    }
}

impl Asked {
    /// The same sources behind so many other rows.
    fn among(&self, before: usize) -> Self {
        Self { offset: self.offset, sources: self.sources.iter().map(|source| before + source).collect() }
    }
}
