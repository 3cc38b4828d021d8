//! A regression whose inputs are centred by a running mean: a model with a buffer, and batches that are no tokens.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use percept_fault::{Fault, Result};
use percept_model::parameters::{self, Tensors};
use percept_model::{BatchSize, Gradients, Learned, Loss, Mode, Recompute, Role, Trainable};
use percept_train::{Extent, Source, Task};
use serde_json::{Value, json};

/// How much of a batch's mean the running mean takes in.
pub(crate) const MOMENTUM: f32 = 0.25;

/// y = (x - mean) . weight, with the mean over the batches so far.
#[derive(Module, Debug)]
pub(crate) struct Centred {
    /// `[inputs]`, a buffer.
    pub(crate) mean: Param<Tensor<1>>,
    /// `[inputs, 1]`.
    weight: Param<Tensor<2>>,
    #[module(skip)]
    inputs: usize,
}

/// Points and what they should give.
#[derive(Debug, Clone)]
pub(crate) struct Points {
    inputs: usize,
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Points {
    pub(crate) fn mean(&self) -> Vec<f32> {
        let column = |at: usize| self.x.iter().skip(at).step_by(self.inputs).sum::<f32>() / self.y.len() as f32;
        (0..self.inputs).map(column).collect()
    }

    fn tensors(&self, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let tensor = |values: &[f32], columns| {
            Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / columns, columns]), device)
        };
        (tensor(&self.x, self.inputs), tensor(&self.y, 1))
    }
}

impl Centred {
    fn loss(&self, batch: &Points) -> Tensor<1> {
        let (x, y) = batch.tensors(&self.weight.val().device());
        let error = (x - self.mean.val().unsqueeze()).matmul(self.weight.val()) - y;
        (error.clone() * error).sum()
    }
}

fn number(tensor: Tensor<1>) -> f64 {
    tensor.into_data().iter::<f64>().sum()
}

impl Trainable for Centred {
    type Batch = Points;
    type Config = usize;

    fn fresh(inputs: &usize, seed: u64, device: &Device) -> Result<Self> {
        let first = 0.01 * seed as f64;
        let model = Self::blank(inputs, device)?;
        Ok(parameters::map(model, |path, _, tensor| if path == "weight" { tensor + first } else { tensor }))
    }

    fn blank(&inputs: &usize, device: &Device) -> Result<Self> {
        let mean = Param::from_tensor(Tensor::zeros([inputs], device)).set_require_grad(false);
        let weight = Param::from_tensor(Tensor::zeros([inputs, 1], device));
        Ok(Self { mean, weight, inputs })
    }

    fn config(&self) -> &usize {
        &self.inputs
    }

    fn size(&self, batch: &Points) -> BatchSize {
        BatchSize { inputs: batch.y.len(), targets: batch.y.len() }
    }

    fn loss_and_gradients(&self, batch: &Points, _: Mode, _: Recompute, scale: f32) -> Result<Learned> {
        let loss = self.loss(batch);
        let mut gradients = Gradients::default();
        gradients.collect(self, "", &mut (loss.clone() * scale).backward());
        let batch_mean = Tensor::<1>::from_floats(batch.mean().as_slice(), &self.mean.val().inner().device());
        let mean = self.mean.val().inner() * (1.0 - MOMENTUM) + batch_mean * MOMENTUM;
        Ok(Learned { loss: number(loss.inner()), gradients, buffers: Tensors::from([("mean".to_owned(), mean)]) })
    }

    fn role(&self, path: &str, _shape: &[usize]) -> Role {
        if path == "mean" { Role::Buffer } else { Role::Decayed }
    }
}

/// Points in an endless order; of each batch of `rows` points of all ranks, this one gets its part.
#[derive(Debug)]
struct PointSource {
    rows: usize,
    rank: usize,
    world: usize,
    drawn: u64,
}

impl PointSource {
    fn point(index: u64) -> ([f32; 4], f32) {
        let wave = |at: u64| ((index * 37 + at * 11) as f32).sin();
        let x = [0, 1, 2, 3].map(|at| wave(at) + 1.0 + at as f32);
        (x, 2.0 * wave(0) - wave(1) + 0.5 * wave(3))
    }

    fn batch(points: impl Iterator<Item = u64>) -> Points {
        let (x, y): (Vec<[f32; 4]>, Vec<f32>) = points.map(Self::point).unzip();
        Points { inputs: 4, x: x.concat(), y }
    }
}

impl Source for PointSource {
    type Batch = Points;

    fn next_batch(&mut self) -> Result<Points> {
        let own = self.rows / self.world;
        let first = self.drawn + (self.rank * own) as u64;
        self.drawn += self.rows as u64;
        Ok(Self::batch(first..first + own as u64))
    }

    fn position(&self) -> Result<Value> {
        Ok(json!({ "rows": self.rows, "drawn": self.drawn }))
    }

    fn restore(&mut self, position: &Value) -> Result<()> {
        match (position["rows"].as_u64(), position["drawn"].as_u64()) {
            (Some(rows), Some(drawn)) if rows == self.rows as u64 => self.drawn = drawn,
            _ => return Err(Fault::usage("this is the place in other data")),
        }
        Ok(())
    }
}

/// Trains a [`Centred`].
#[derive(Debug)]
pub(crate) struct CentredTask {
    source: PointSource,
}

impl CentredTask {
    /// Batches of `rows` points of all ranks together.
    pub(crate) fn new(rows: usize, (rank, world): (usize, usize)) -> Self {
        Self { source: PointSource { rows, rank, world, drawn: 0 } }
    }
}

impl Task for CentredTask {
    type Model = Centred;

    fn source(&mut self) -> &mut dyn Source<Batch = Points> {
        &mut self.source
    }

    fn extent(&self) -> Extent {
        Extent { inputs_per_step: self.source.rows, ..Extent::default() }
    }

    fn validate(&self, model: &Centred) -> Result<Option<Loss>> {
        let nll = number(model.loss(&PointSource::batch(1_000_000..1_000_040)));
        Ok(Some(Loss { nll, targets: 40 }))
    }
}
