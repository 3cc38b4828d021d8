//! What sources answer where they ask for other positions.

use burn::tensor::{Int, Tensor, TensorData};

use super::{Asked, Lesson};
use crate::language_model::LanguageModel;
use crate::layer::{BlockState, Mode, Rows};

impl LanguageModel {
    /// Hidden states after the last norm of every pair, `[1, pairs, d]` in the order of `asked`, of which there is at least one.
    /// `x`: `[B, rows, d]` enters the last block; sources are row-major indices into windows of `length` tokens, of which those are the last.
    pub(crate) fn answers(
        &self,
        x: Tensor<3>,
        state: Option<&mut BlockState>,
        (asked, length): (&[Asked], usize),
        (rows, mode): (Rows, Mode),
    ) -> Tensor<3> {
        let last = &self.layers()[self.layers().len() - 1];
        let (block, (context, _)) = (&self.blocks[last.index], last.context(self.config(), rows, mode));
        let asked: Vec<&Asked> = asked.iter().filter(|asked| !asked.sources.is_empty()).collect();
        let offsets: Vec<isize> = asked.iter().map(|asked| asked.offset).collect();
        let [batch, held, dim] = x.dims();
        let row = |source: usize| source / length * held + source % length + held - length;
        let after = block.ask(x, &offsets, state, &context);
        let rows = after.into_iter().zip(&asked).map(|(z, asked)| {
            let ids: Vec<i32> = asked.sources.iter().map(|&source| row(source) as i32).collect();
            let count = ids.len();
            let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), &z.device());
            z.reshape([batch * held, dim]).select(0, ids)
        });
        let rows = Tensor::cat(rows.collect(), 0).unsqueeze();
        self.norm.forward(block.answer(rows, &context))
    }

    /// The logits of every pair of a lesson, `[1, pairs, V]`: for checks and small inputs.
    pub fn answer_logits(&self, lesson: &Lesson) -> Tensor<3> {
        let (x, rows) = self.before_last(&lesson.tokens, lesson.rows, Mode::Evaluation);
        self.logits(self.answers(x, None, (&lesson.asked, lesson.length), (rows, Mode::Evaluation)))
    }

    /// What enters the last block of whole windows, `[B, rows, d]`, and what its rows are.
    pub(super) fn before_last(&self, tokens: &[u32], batch: usize, mode: Mode) -> (Tensor<3>, Rows) {
        let rows = self.window_rows(tokens.len() / batch);
        self.run_first(self.layers().len() - 1, self.embed(tokens, batch), (None, rows), mode, &mut || {})
    }
}
