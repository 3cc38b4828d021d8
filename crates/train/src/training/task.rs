//! What a run is about: the model's kind, its data, how it is judged.

use std::path::Path;

use percept_data::{Dataset, Split};
use percept_fault::Result;
use percept_model::{Loss, Trainable};

use super::source::Source;

/// The batches of a task's model.
pub type BatchOf<T> = <<T as Task>::Model as Trainable>::Batch;

/// What the loop asks of whatever is trained; it knows steps, checkpoints and metrics by itself.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use burn::module::{Module, Param};
/// use burn::tensor::{Device, Tensor};
/// use percept_fault::{Fault, Result};
/// use percept_model::{BatchSize, Gradients, Learned, Loss, Mode, Recompute, Trainable, weights};
/// use percept_train::{Alone, Control, Extent, Source, Task, TrainConfig, train_task};
/// use serde_json::{Value, json};
///
/// /// y = slope * x.
/// #[derive(Module, Debug)]
/// struct Line {
///     slope: Param<Tensor<1>>,
/// }
///
/// impl Line {
///     /// Squared errors where y should be 3 x.
///     fn loss(&self, x: [f32; 2]) -> Tensor<1> {
///         let x = Tensor::<1>::from_floats(x, &self.slope.val().device());
///         let error = x.clone() * self.slope.val() - x * 3.0;
///         (error.clone() * error).sum()
///     }
/// }
///
/// impl Trainable for Line {
///     type Batch = [f32; 2];
///     type Config = ();
///
///     fn fresh(config: &(), _seed: u64, device: &Device) -> Result<Self> {
///         Self::blank(config, device)
///     }
///
///     fn blank(_config: &(), device: &Device) -> Result<Self> {
///         Ok(Self { slope: Param::from_tensor(Tensor::zeros([1], device)) })
///     }
///
///     fn config(&self) -> &() {
///         &()
///     }
///
///     fn size(&self, batch: &[f32; 2]) -> BatchSize {
///         BatchSize { inputs: batch.len(), targets: batch.len() }
///     }
///
///     fn loss_and_gradients(&self, batch: &[f32; 2], _: Mode, _: Recompute, scale: f32) -> Result<Learned> {
///         let loss = self.loss(*batch);
///         let mut gradients = Gradients::default();
///         gradients.collect(self, "", &mut (loss.clone() * scale).backward());
///         Ok(Learned { loss: loss.into_scalar::<f32>().into(), gradients, ..Learned::default() })
///     }
/// }
///
/// /// An endless row of points.
/// struct Points(u64);
///
/// impl Source for Points {
///     type Batch = [f32; 2];
///
///     fn next_batch(&mut self) -> Result<[f32; 2]> {
///         self.0 += 1;
///         Ok([(self.0 as f32).sin(), 1.0])
///     }
///
///     fn position(&self) -> Result<Value> {
///         Ok(json!(self.0))
///     }
///
///     fn restore(&mut self, position: &Value) -> Result<()> {
///         self.0 = position.as_u64().ok_or_else(|| Fault::usage("this is the place in other data"))?;
///         Ok(())
///     }
/// }
///
/// impl Task for Points {
///     type Model = Line;
///
///     fn source(&mut self) -> &mut dyn Source<Batch = [f32; 2]> {
///         self
///     }
///
///     fn extent(&self) -> Extent {
///         Extent { inputs_per_step: 2, ..Extent::default() }
///     }
///
///     fn validate(&self, model: &Line) -> Result<Option<Loss>> {
///         let nll = model.loss([-1.0, 2.0]).into_scalar::<f32>().into();
///         Ok(Some(Loss { nll, targets: 2 }))
///     }
/// }
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let run = folder.path().join("run");
/// let train = TrainConfig { steps: 60, learning_rate: 0.2, warmup: 5, device: "cpu".into(), ..TrainConfig::default() };
/// let control = Control { stop: &AtomicBool::new(false), observer: &mut |_| (), ranks: &Alone };
/// let outcome = train_task(Points(0), &(), &train, &run, control)?;
/// let line: Line = weights::load(&run.join("checkpoints/step-000060/model.safetensors"), &Default::default())?;
/// let slope = line.slope.val().into_scalar::<f32>();
/// assert!(outcome.summary().step == 60 && (slope - 3.0).abs() < 0.3, "{slope}");
/// # Ok::<(), Fault>(())
/// ```
pub trait Task {
    /// The kind of model.
    type Model: Trainable;

    /// Where the batches of this rank come from.
    fn source(&mut self) -> &mut dyn Source<Batch = BatchOf<Self>>;

    /// How much data there is, for whoever watches.
    fn extent(&self) -> Extent;

    /// The loss over what is held out; `None` where nothing is. The model is without autodiff.
    ///
    /// # Errors
    /// Whatever reading or computing meets.
    fn validate(&self, model: &Self::Model) -> Result<Option<Loss>>;

    /// A loss per target in bits per byte of the data that it is of, where that has a meaning.
    fn bits_per_byte(&self, _loss: f64, _of: Measured) -> Option<f64> {
        None
    }

    /// Something to look at, as text; the model is without autodiff.
    ///
    /// # Errors
    /// Whatever computing it meets.
    fn sample(&self, _model: Self::Model) -> Result<Option<String>> {
        Ok(None)
    }

    /// Writes what a checkpoint needs beside weights and moments to be used by itself.
    ///
    /// # Errors
    /// An environment fault.
    fn write_beside(&self, _checkpoint: &Path) -> Result<()> {
        Ok(())
    }

    /// Fingerprint of the held-out data, where it can be told.
    fn held_out(&self) -> Option<String> {
        None
    }
}

/// What a loss was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// Batches that were trained on.
    Training,
    /// What is held out.
    Validation,
}

/// How much data a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Tokens, images, ... of the training data.
    pub train_inputs: u64,
    /// Documents, or whatever holds them.
    pub train_documents: usize,
    /// The same of what is held out for validation; 0: the run validates nothing.
    pub validation_documents: usize,
    /// Inputs of one step of all ranks.
    pub inputs_per_step: usize,
}

impl Extent {
    /// The text of a dataset; nothing of the steps.
    pub(super) fn of(dataset: &Dataset) -> Self {
        let count = |split| dataset.parts(split).iter().map(|part| part.documents.len()).sum();
        Self {
            train_inputs: dataset.evaluation(Split::Train).map(|document| document.tokens.len() as u64).sum(),
            train_documents: count(Split::Train),
            validation_documents: count(Split::Validation),
            inputs_per_step: 0,
        }
    }
}
