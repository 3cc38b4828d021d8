//! An order-agnostic model as it is trained.

use std::borrow::Cow;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use percept_random::mix;

use super::{Lesson, OrderAgnosticBatch};
use crate::config::{ModelConfig, Objective};
use crate::gradients::{Gradients, Recompute};
use crate::language_model::{LanguageModel, number};
use crate::layer::{Mode, Rows};
use crate::parameters::Tensors;
use crate::role::{Role, Training};
use crate::trainable::{BatchSize, Learned, Trainable};
use crate::training::Backward;

/// A language model with the objective of [`crate::config::Objective::OrderAgnostic`].
///
/// The loss of a batch is half the mean of -ln p over its forward pairs and half that over its backward pairs, times the number of forward
/// pairs, which stand for its targets: so that each update averages both kinds equally, however many backward pairs there are.
/// Files of weights are those of the language model.
///
/// ```
/// use percept_model::config::{Objective, Offsets};
/// use percept_model::order_agnostic::{OrderAgnostic, OrderAgnosticBatch, Windows};
/// use percept_model::{Batch, Mode, ModelConfig, Recompute, Trainable};
/// # fn main() -> percept_fault::Result<()> {
/// let objective = Objective::OrderAgnostic;
/// let config = ModelConfig { objective, vocab: 11, dim: 8, depth: 2, heads: 2, context: 16, ..Default::default() }.with("segment", 4)?;
/// let model = OrderAgnostic::fresh(&config, 1, &burn::tensor::Device::default().autodiff())?;
/// let batch = Batch { tokens: vec![0, 1, 2, 3, 4, 5, 6, 7], targets: vec![1, 2, 3, 4, 5, 6, 7, 8], rows: 1, length: 8 };
/// let windows = Windows { batch: &batch, document: 0, first: 0 };
/// let batch = OrderAgnosticBatch::new(&windows, &windows, Offsets { forward: 2, backward: 1 }, 7);
/// let learned = model.loss_and_gradients(&batch, Mode::Evaluation, Recompute::Keep, 1.0)?;
/// // Nothing is known yet: all tokens are about equally likely.
/// assert_eq!(model.size(&batch).targets, 8 + 7);
/// assert!((learned.loss / 15.0 - 11_f64.ln()).abs() < 0.1);
/// # Ok(()) }
/// ```
#[derive(Module, Debug)]
pub enum OrderAgnostic {
    /// A choice of one: the names of variants stay out of the paths of weights.
    Of(LanguageModel),
}

impl OrderAgnostic {
    /// The language model.
    pub fn model(&self) -> &LanguageModel {
        let Self::Of(model) = self;
        model
    }

    /// The mean of -ln p over the pairs of a lesson, with the gradients of that mean times `scale`; zero where nothing is asked.
    fn learn(&self, lesson: &Lesson, mode: Mode, recompute: Recompute, scale: f32) -> (f64, Gradients) {
        let (model, pairs) = (self.model(), lesson.pairs() as f64);
        if lesson.labels.is_empty() {
            return (0.0, Gradients::default());
        }
        let top = |x: Tensor<3>, rows: Rows| {
            let hidden = model.answers(x, None, (&lesson.asked, lesson.length), (rows, mode));
            let loss = model.head_loss(hidden, &lesson.labels, model.config().z_loss);
            (number(loss.clone().inner()), loss)
        };
        let pass = Backward {
            layers: model.layers().len() - 1,
            tokens: &lesson.tokens,
            windows: lesson.rows,
            mode,
            scale: scale / pairs as f32,
        };
        let (nll, gradients) = model.backward(pass, recompute, top);
        (nll / pairs, gradients)
    }

    /// What is asked backward, with the model's own errors where the batch wants those.
    fn backward_lesson<'a>(&self, batch: &'a OrderAgnosticBatch) -> Cow<'a, Lesson> {
        match &batch.samples {
            None => Cow::Borrowed(&batch.backward),
            Some(samples) => {
                let tokens = samples.tokens(&self.model().for_inference());
                Cow::Owned(Lesson { tokens, ..batch.backward.clone() })
            }
        }
    }
}

impl From<LanguageModel> for OrderAgnostic {
    fn from(model: LanguageModel) -> Self {
        Self::Of(model)
    }
}

impl From<OrderAgnostic> for LanguageModel {
    fn from(model: OrderAgnostic) -> Self {
        let OrderAgnostic::Of(model) = model;
        model
    }
}

impl AsRef<LanguageModel> for OrderAgnostic {
    fn as_ref(&self) -> &LanguageModel {
        self.model()
    }
}

impl Trainable for OrderAgnostic {
    type Batch = OrderAgnosticBatch;
    type Config = ModelConfig;

    fn fresh(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self> {
        LanguageModel::new(config, seed, device).map(Self::Of)
    }

    fn blank(config: &ModelConfig, device: &Device) -> Result<Self> {
        LanguageModel::zeros(config, device).map(Self::Of)
    }

    fn config(&self) -> &ModelConfig {
        self.model().config()
    }

    fn size(&self, batch: &OrderAgnosticBatch) -> BatchSize {
        let inputs = batch.forward.tokens.len() + batch.backward.tokens.len();
        BatchSize { inputs, targets: batch.forward.pairs() }
    }

    fn loss_and_gradients(
        &self,
        batch: &OrderAgnosticBatch,
        mode: Mode,
        recompute: Recompute,
        scale: f32,
    ) -> Result<Learned> {
        if self.config().objective != Objective::OrderAgnostic {
            return Err(Fault::internal("a model of the next token alone is trained at other offsets"));
        }
        if !self.model().device().is_autodiff() {
            return Err(Fault::internal("gradients need a model on an autodiff device"));
        }
        batch.validate(self.config().vocab)?;
        let half = batch.forward.pairs() as f64 / 2.0;
        let (forward, mut gradients) = self.learn(&batch.forward, mode, recompute, scale * half as f32);
        let backward = self.backward_lesson(batch);
        let (backward, more) = self.learn(&backward, apart(mode), recompute, scale * half as f32);
        gradients.accumulate(more);
        Ok(Learned { loss: half * (forward + backward), gradients, buffers: Tensors::new() })
    }

    fn role(&self, path: &str, shape: &[usize]) -> Role {
        self.model().role(path, shape)
    }

    fn training(&self, path: &str, shape: &[usize]) -> Training {
        self.model().training(path, shape)
    }
}

/// The second pass of a batch has dropout masks of its own.
fn apart(mode: Mode) -> Mode {
    match mode {
        Mode::Training { seed, step } => Mode::Training { seed: mix(seed), step },
        Mode::Evaluation => Mode::Evaluation,
    }
}
