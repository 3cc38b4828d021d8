//! From a model's tensors to a [`Decoder`].

use burn::backend::DispatchDevice;
use burn::module::Param;
use burn::tensor::{DType, Tensor};
use percept_fault::{Fault, Result};
use percept_kernels::decode::{PackedLinear, Pages, RingAttention, Source, WeightPrecision};
use percept_kernels::{self as kernels, WeightOrder};

use super::layer::{FirstOutput, Layer, RowNorm};
use super::stream::Values;
use super::{Decoder, HEAD_ORDER};
use crate::block::Block;
use crate::language_model::LanguageModel;
use crate::layers::{Linear, Norm};
use crate::mixer::{DecodeStep, Projection};
use crate::schedule::LayerSpec;

impl Decoder {
    /// Whether a model can be decoded here: in f32, on the CPU, all of whose mixers describe their step.
    pub fn supports(model: &LanguageModel) -> bool {
        let weight = model.embedding.weight.val();
        weight.dtype() == DType::F32
            && matches!(weight.device().inner().as_dispatch(), DispatchDevice::Flex(_))
            && model.blocks.iter().all(|block| block.mixer.decode_step().is_some())
    }

    /// Packs the weights of a model without autodiff; `None` where it is not supported.
    ///
    /// # Errors
    /// The system has no memory for them.
    pub fn new(model: &LanguageModel, precision: WeightPrecision) -> Result<Option<Self>> {
        if !Self::supports(model) {
            return Ok(None);
        }
        let mut packer = Packer::new(model, precision)?;
        let mut layers = Vec::with_capacity(model.blocks.len());
        for (block, spec) in model.blocks.iter().zip(model.layers()) {
            let Some(step) = block.mixer.decode_step() else { return Ok(None) };
            layers.push(packer.layer(model, block, spec, &step));
        }
        let bias = model.head.bias.as_ref().map(numbers);
        let embedding = numbers(&model.embedding.weight);
        let head = match &model.head.weight {
            Some(weight) => packer.pack(&[(&numbers(weight), HEAD_ORDER)], bias, model.config().dim),
            None => packer.pack(&[(&embedding, HEAD_ORDER)], bias, model.config().dim),
        };
        let rotary = layers.iter().find_map(|layer: &Layer| layer.rotary);
        Ok(Some(Self {
            pages: packer.pages,
            embedding,
            layers,
            norm: row_norm(&model.norm),
            head,
            frequencies: rotary.map(|rotary| rotary.frequencies()).unwrap_or_default(),
            workspaces: Default::default(),
        }))
    }
}

/// Pages that fill up with weights.
struct Packer {
    pages: Pages,
    used: usize,
    precision: WeightPrecision,
}

impl Packer {
    /// With room for all weights of the model. Pages that stay empty are never touched, so the bound may be generous.
    fn new(model: &LanguageModel, precision: WeightPrecision) -> Result<Self> {
        let rooms = crate::parameters::shapes(model).into_iter().map(|shape| match shape[..] {
            [a, b] => PackedLinear::words(a, b, precision).max(PackedLinear::words(b, a, precision)),
            _ => 0,
        });
        // Maps that are packed as one share their last panel, so each by itself needs at least as much.
        let pages = Pages::zeroed(rooms.sum()).map_err(|error| {
            Fault::environment("there is no memory for the packed weights").because(error).hint("close other programs")
        })?;
        Ok(Self { pages, used: 0, precision })
    }

    fn pack(&mut self, weights: &[(&[f32], WeightOrder)], bias: Option<Vec<f32>>, inputs: usize) -> PackedLinear {
        let sources: Vec<Source<'_>> = weights.iter().map(|(weight, order)| Source { weight, order: *order }).collect();
        let (linear, used) = PackedLinear::pack(&sources, bias, inputs, self.precision, (&mut self.pages, self.used));
        self.used = used;
        linear
    }

    fn linear(&mut self, linear: &Linear) -> PackedLinear {
        let [inputs, _] = linear.weight.shape().dims();
        let weight = numbers(&linear.weight);
        self.pack(&[(&weight, WeightOrder::InputOutput)], linear.bias.as_ref().map(numbers), inputs)
    }

    /// Queries, keys and values as one map.
    fn projection(&mut self, projection: &Projection) -> PackedLinear {
        let parts: Vec<&Linear> = [&projection.query, &projection.key].into_iter().chain(&projection.value).collect();
        let weights: Vec<Vec<f32>> = parts.iter().map(|linear| numbers(&linear.weight)).collect();
        let bias = parts.iter().any(|linear| linear.bias.is_some()).then(|| {
            let bias = |linear: &&Linear| match &linear.bias {
                Some(bias) => numbers(bias),
                None => vec![0.0; linear.weight.shape().dims::<2>()[1]],
            };
            parts.iter().flat_map(bias).collect()
        });
        let weights: Vec<(&[f32], WeightOrder)> =
            weights.iter().map(|weight| (weight.as_slice(), WeightOrder::InputOutput)).collect();
        self.pack(&weights, bias, projection.query.weight.shape().dims::<2>()[0])
    }

    fn layer(&mut self, model: &LanguageModel, block: &Block, spec: &LayerSpec, step: &DecodeStep<'_>) -> Layer {
        let (config, projection) = (model.config(), step.projection);
        let (heads, groups) = projection.heads();
        let capacity = spec.kind.state_limit(config, spec) / Projection::state_row(config);
        let feed_forward = &block.feed_forward;
        Layer {
            mixer_norm: row_norm(&block.mixer_norm),
            projection: self.projection(projection),
            query_norm: projection.query_norm.as_ref().map(row_norm),
            key_norm: projection.key_norm.as_ref().map(row_norm),
            key_value_norm: projection.key_value_norm.as_ref().map(row_norm),
            rotary: projection.rotary(),
            heads,
            values: if projection.value.is_some() { Values::Separate } else { Values::AreKeys },
            ring: RingAttention { capacity, groups, width: config.head_dim() },
            patterns: step.patterns.clone(),
            output: self.linear(&projection.output),
            first_output: step.first_output.map(|(linear, limit)| FirstOutput { linear: self.linear(linear), limit }),
            feed_forward_norm: row_norm(&block.feed_forward_norm),
            gate: feed_forward.gate.as_ref().map(|gate| self.linear(gate)),
            up: self.linear(&feed_forward.up),
            down: self.linear(&feed_forward.down),
        }
    }
}

fn row_norm(norm: &Norm) -> RowNorm {
    RowNorm {
        norm: if norm.beta.is_some() { kernels::Norm::Layer } else { kernels::Norm::Rms },
        gamma: numbers(&norm.gamma),
        beta: norm.beta.as_ref().map(numbers),
        eps: norm.eps() as f32,
    }
}

/// The numbers of a parameter in order.
fn numbers<const D: usize>(param: &Param<Tensor<D>>) -> Vec<f32> {
    crate::state::numbers(param.val())
}
