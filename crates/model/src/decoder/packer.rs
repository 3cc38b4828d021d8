//! Weights into packed pages.

use burn::module::Param;
use burn::tensor::Tensor;
use percept_fault::{Fault, Result};
use percept_kernels::decode::{PackedLinear, Pages, Source, WeightPrecision};
use percept_kernels::{self as kernels, WeightOrder};

use crate::layers::{GroupedLinear, Linear, Norm};

/// Pages that fill up with weights.
#[derive(Debug)]
pub struct Packer {
    pub(super) pages: Pages,
    used: usize,
    precision: WeightPrecision,
}

impl Packer {
    /// With room for weights of these shapes. Pages that stay empty are never touched, so the bound may be generous.
    pub(super) fn new(shapes: impl IntoIterator<Item = Vec<usize>>, precision: WeightPrecision) -> Result<Self> {
        let rooms = shapes.into_iter().map(|shape| match shape[..] {
            [a, b] => PackedLinear::words(a, b, precision).max(PackedLinear::words(b, a, precision)),
            _ => 0,
        });
        // Maps that are packed as one share their last panel, so each by itself needs at least as much.
        let pages = Pages::zeroed(rooms.sum()).map_err(|error| {
            Fault::environment("there is no memory for the packed weights").because(error).hint("close other programs")
        })?;
        Ok(Self { pages, used: 0, precision })
    }

    /// Maps of the same inputs, as one whose outputs are theirs in turn.
    pub(super) fn pack(
        &mut self,
        weights: &[(&[f32], WeightOrder)],
        bias: Option<Vec<f32>>,
        inputs: usize,
    ) -> PackedLinear {
        let sources: Vec<Source<'_>> = weights.iter().map(|(weight, order)| Source { weight, order: *order }).collect();
        let (linear, used) = PackedLinear::pack(&sources, bias, inputs, self.precision, (&mut self.pages, self.used));
        self.used = used;
        linear
    }

    /// A linear map.
    pub fn linear(&mut self, linear: &Linear) -> PackedLinear {
        self.joined(&[linear])
    }

    /// The groups of a grouped map of one row, each a map of its own channels.
    pub fn groups(&mut self, map: &GroupedLinear) -> Vec<PackedLinear> {
        let weight = elements(&map.weight);
        let (groups, [inputs, outputs]) = (map.groups(), map.weight.shape().dims());
        let bias = map.bias.as_ref().map(elements);
        let width = outputs / groups;
        let pack = |group: usize| {
            let columns = group * width..(group + 1) * width;
            let part: Vec<f32> = weight.chunks_exact(outputs).flat_map(|row| &row[columns.clone()]).copied().collect();
            let bias = bias.as_ref().map(|bias| bias[columns].to_vec());
            self.pack(&[(&part, WeightOrder::InputOutput)], bias, inputs)
        };
        (0..groups).map(pack).collect()
    }

    /// Several linear maps of the same inputs, as one.
    pub fn joined(&mut self, parts: &[&Linear]) -> PackedLinear {
        let weights: Vec<Vec<f32>> = parts.iter().map(|linear| elements(&linear.weight)).collect();
        let bias = parts.iter().any(|linear| linear.bias.is_some()).then(|| {
            let bias = |linear: &&Linear| match &linear.bias {
                Some(bias) => elements(bias),
                None => vec![0.0; linear.weight.shape().dims::<2>()[1]],
            };
            parts.iter().flat_map(bias).collect()
        });
        let weights: Vec<(&[f32], WeightOrder)> =
            weights.iter().map(|weight| (weight.as_slice(), WeightOrder::InputOutput)).collect();
        let inputs = parts.first().map_or(0, |linear| linear.weight.shape().dims::<2>()[0]);
        self.pack(&weights, bias, inputs)
    }
}

/// A normalisation over rows of `gamma.len()` elements.
#[derive(Debug)]
pub struct RowNorm {
    norm: kernels::Norm,
    gamma: Vec<f32>,
    beta: Option<Vec<f32>>,
    eps: f32,
}

impl RowNorm {
    /// The weights of a norm.
    pub fn of(norm: &Norm) -> Self {
        Self {
            norm: if norm.beta.is_some() { kernels::Norm::Layer } else { kernels::Norm::Rms },
            gamma: elements(&norm.gamma),
            beta: norm.beta.as_ref().map(elements),
            eps: norm.eps() as f32,
        }
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.gamma.len()
    }

    /// Rows of `x`, normalised, into `y`.
    pub fn apply(&self, x: &[f32], y: &mut [f32]) {
        self.norm.few_rows(x, (&self.gamma, self.beta.as_deref()), self.eps, y);
    }
}

/// The elements of a parameter in order.
pub fn elements<const D: usize>(param: &Param<Tensor<D>>) -> Vec<f32> {
    crate::ops::elements(param.val())
}
