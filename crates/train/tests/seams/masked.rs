//! Another objective: some tokens are hidden, and a small model finds them by their neighbours.

use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use percept_data::{IGNORED, TokenBatch};
use percept_fault::Result;
use percept_model::parameters::Tensors;
use percept_model::{BatchSize, Gradients, Learned, Loss, Mode, Recompute, Trainable};
use percept_train::{Extent, Objective, Source, Task, TextSource};

/// Hides one token in four, by a hash of the draw and the place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaskedTokens;

/// Hidden tokens and what stands on either side of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MaskedBatch {
    read: usize,
    left: Vec<i32>,
    right: Vec<i32>,
    hidden: Vec<i32>,
}

impl Objective for MaskedTokens {
    type Batch = MaskedBatch;

    fn batch(&self, windows: TokenBatch, draw: u64) -> MaskedBatch {
        let mut batch = MaskedBatch { read: windows.tokens.len(), left: vec![], right: vec![], hidden: vec![] };
        let rows = windows.tokens.chunks(windows.length).zip(windows.targets.chunks(windows.length));
        for (row, (tokens, targets)) in (0u64..).zip(rows) {
            for at in 1..tokens.len() {
                let hash =
                    (draw + row).wrapping_mul(0x9E37_79B9).wrapping_add(at as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                if targets[at] != IGNORED && (hash >> 33).is_multiple_of(4) {
                    batch.left.push(tokens[at - 1] as i32);
                    batch.hidden.push(tokens[at] as i32);
                    batch.right.push(targets[at] as i32);
                }
            }
        }
        batch
    }
}

/// Logits of the token between two: the sum of a row for the left one and a row for the right one.
#[derive(Module, Debug)]
pub(crate) struct Neighbours {
    left: Param<Tensor<2>>,
    right: Param<Tensor<2>>,
    #[module(skip)]
    vocab: usize,
}

impl Neighbours {
    fn loss(&self, batch: &MaskedBatch) -> Tensor<1> {
        let device = self.left.val().device();
        let ids = |ids: &[i32]| Tensor::<1, Int>::from_data(TensorData::new(ids.to_vec(), [ids.len()]), &device);
        let logits = self.left.val().select(0, ids(&batch.left)) + self.right.val().select(0, ids(&batch.right));
        -log_softmax(logits, 1).gather(1, ids(&batch.hidden).unsqueeze_dim(1)).sum()
    }
}

impl Trainable for Neighbours {
    type Batch = MaskedBatch;
    type Config = usize;

    fn fresh(vocab: &usize, _seed: u64, device: &Device) -> Result<Self> {
        Self::blank(vocab, device)
    }

    fn blank(&vocab: &usize, device: &Device) -> Result<Self> {
        let table = || Param::from_tensor(Tensor::zeros([vocab, vocab], device));
        Ok(Self { left: table(), right: table(), vocab })
    }

    fn config(&self) -> &usize {
        &self.vocab
    }

    fn size(&self, batch: &MaskedBatch) -> BatchSize {
        BatchSize { inputs: batch.read, targets: batch.hidden.len() }
    }

    fn loss_and_gradients(&self, batch: &MaskedBatch, _: Mode, _: Recompute, scale: f32) -> Result<Learned> {
        let loss = self.loss(batch);
        let mut gradients = Gradients::default();
        gradients.collect(self, "", &mut (loss.clone() * scale).backward());
        Ok(Learned { loss: loss.inner().into_data().iter::<f64>().sum(), gradients, buffers: Tensors::new() })
    }
}

/// Trains [`Neighbours`] on text.
pub(crate) struct MaskedTask {
    pub(crate) source: TextSource<MaskedTokens>,
    pub(crate) judged_on: MaskedBatch,
}

impl Task for MaskedTask {
    type Model = Neighbours;

    fn source(&mut self) -> &mut dyn Source<Batch = MaskedBatch> {
        &mut self.source
    }

    fn extent(&self) -> Extent {
        Extent::default()
    }

    fn validate(&self, model: &Neighbours) -> Result<Option<Loss>> {
        let nll = model.loss(&self.judged_on).into_data().iter::<f64>().sum();
        Ok(Some(Loss { nll, targets: self.judged_on.hidden.len() }))
    }

    fn sample(&self, model: Neighbours) -> Result<Option<String>> {
        Ok(Some(format!("{} tokens", model.vocab)))
    }
}
