//! GroupBERT's convolution sublayer, causal (Chelombiev et al., arXiv 2106.05822; theirs pads both sides).
//!
//! x W in two halves a and b; g = sigmoid(a) b; c_t = sum over i < w of g_(t - i) K_i in groups of channels that do not mix, with
//! zeros before the start; y = silu(norm(c)) W_out. Their activation is the SiLU, their norm the one of the model (`model.norm`).
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per token 3 d^2 + w s d for groups of s channels. State: the last w - 1 rows of g.
//! Reach of L layers: L (w - 1) tokens back. Every position is scored. It knows no positions. With `layers = "group-conv, transformer"`
//! and `feed_forward = "grouped"` the sublayers come in GroupBERT's order.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use percept_kernels::decode::{Epilogue, PackedLinear};
use percept_kernels::{Grouped, glu_row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{LayerSpec, ModelConfig};
use crate::cost::LinearCall;
use crate::decoder::{BuildStep, Pass, RowNorm, Step, elements, parts};
use crate::layer::{
    Activations, Carry, Facts, LayerContext, LayerState, Options, Reach, Rows, Scale, StateTensor, Sublayer,
};
use crate::layers::{Bias, GroupedLinear, GroupedShape, Linear, Norm};
use crate::ops;

/// The keys of `[model.group-conv]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GroupConvOptions {
    /// Positions that an output sees, its own included.
    pub width: usize,
    /// Channels of a group, which divide `dim`; 0: 16, or as large a part of 16 as does.
    pub group: usize,
}

impl Default for GroupConvOptions {
    fn default() -> Self {
        Self { width: 7, group: 0 }
    }
}

impl Options for GroupConvOptions {
    /// Several groups even of a few channels.
    fn reduced(&self, _scale: &Scale) -> Self {
        Self { width: self.width.min(4), group: 4 }
    }
}

/// Grouped convolution between a gate and a norm.
#[derive(Module, Debug)]
pub struct GroupConv {
    /// `[d, 2 d]`: the gate, and what it lets through.
    pub input: Linear,
    /// `[w s, d]`.
    pub convolution: GroupedLinear,
    /// After the convolution.
    pub norm: Norm,
    /// `[d, d]`.
    pub output: Linear,
    width: usize,
}

/// Name of the kept rows.
const ROWS: &str = "rows";

/// The authors' channels of a group.
const GROUP: u32 = 16;

fn shape(config: &ModelConfig, layer: &LayerSpec) -> GroupedShape {
    let GroupConvOptions { width, group } = layer.options.group_conv;
    // 16 is a power of two.
    let group = if group == 0 { 1 << config.dim.trailing_zeros().min(GROUP.ilog2()) } else { group };
    GroupedShape { inputs: config.dim, outputs: config.dim, groups: config.dim / group, width }
}

impl Sublayer for GroupConv {
    type Options = GroupConvOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let (dim, bias) = (config.dim, Bias::of(config.biases));
        Self {
            input: Linear::new(dim, 2 * dim, bias, device),
            convolution: GroupedLinear::new(shape(config, layer), bias, device),
            norm: Norm::new(config.norm, dim, config.norm_eps, device),
            output: Linear::new(dim, dim, bias, device),
            width: layer.options.group_conv.width,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        let (GroupConvOptions { width, group }, dim) = (layer.options.group_conv.clone(), config.dim);
        if width < 2 {
            return Err(Fault::usage(format!("model.group-conv.width = {width} looks at no other position"))
                .hint("it counts the position itself; set it to at least 2, e.g. 7"));
        }
        if group > 0 && !dim.is_multiple_of(group) {
            return Err(Fault::usage(format!("model.group-conv.group = {group} does not divide model.dim = {dim}"))
                .hint("set a divisor of model.dim, e.g. 16"));
        }
        Ok(())
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, dim, bias) = (rows.len(), config.dim, Bias::of(config.biases));
        let (shape, width) = (shape(config, layer), layer.options.group_conv.width);
        let input = LinearCall { rows: count, input: dim, output: 2 * dim };
        let output = LinearCall { rows: count, input: dim, output: dim };
        let row = (count * dim) as u64;
        Facts {
            parameters: Linear::parameters(dim, 2 * dim, bias)
                + shape.parameters(bias)
                + Norm::parameters(config.norm, dim)
                + Linear::parameters(dim, dim, bias),
            work: vec![input.into(), shape.call(count), output.into()],
            activations: Activations { kept: 8 * row, unfused: width as u64 * row, flow: 6 * row },
            state: vec![StateTensor::rows(ROWS, (count.min(width - 1), width - 1), [dim])],
            reach: Reach::Last(width),
            ..Facts::of(rows)
        }
    }

    /// A tap is one of w s that are added.
    fn initial_std(config: &ModelConfig, path: &str, shape: &[usize]) -> f64 {
        if path == "convolution.weight" { (shape[0] as f64).powf(-0.5) } else { config.initial_std(path) }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        _context: &LayerContext,
    ) -> Tensor<3> {
        let halves = self.input.forward(x);
        let [_, new, both] = halves.dims();
        let half = |which: usize| halves.clone().narrow(2, which * both / 2, both / 2);
        let gated = ops::glu(half(0), half(1));
        let mixed = match state {
            None => self.convolution.forward(gated),
            Some(state) => {
                let before = state.row_count(ROWS);
                let all = state.push_rows(ROWS, gated, self.width - 1);
                self.convolution.forward(all).narrow(1, before, new)
            }
        };
        let mixed = self.norm.forward(mixed);
        self.output.forward(ops::glu(mixed.clone(), mixed))
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(Box::new(move |packer, _| {
            let [depth, dim] = self.convolution.weight.shape().dims();
            let shape = GroupedShape {
                inputs: dim,
                outputs: dim,
                groups: self.convolution.groups(),
                width: depth * self.convolution.groups() / dim,
            };
            Box::new(GroupConvStep {
                before: RowNorm::of(norm),
                input: packer.linear(&self.input),
                sizes: shape.of_rows(1, 1),
                taps: elements(&self.convolution.weight),
                bias: self.convolution.bias.as_ref().map_or(vec![0.0; dim], elements),
                after: RowNorm::of(&self.norm),
                output: packer.linear(&self.output),
            })
        }))
    }
}

/// The taps are few, and their groups are narrower than a packed panel, so that they stay as they are.
#[derive(Debug)]
struct GroupConvStep {
    before: RowNorm,
    input: PackedLinear,
    sizes: Grouped,
    taps: Vec<f32>,
    bias: Vec<f32>,
    after: RowNorm,
    output: PackedLinear,
}

impl Step for GroupConvStep {
    fn bytes(&self) -> usize {
        self.input.bytes() + self.output.bytes() + self.taps.len() * size_of::<f32>()
    }

    fn scratch(&self) -> usize {
        4 * self.bias.len()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, .. } = pass;
        let dim = self.bias.len();
        let [normalised, halves, mixed] = parts(scratch, [1, 2, 1].map(|rows| rows * streams.len() * dim));
        self.before.apply(x, normalised);
        self.input.apply(crew, pages, normalised, halves, Epilogue::Replace);
        let rows = halves.chunks_exact(2 * dim).zip(normalised.chunks_exact_mut(dim));
        for (row, ((halves, gated), mixed)) in rows.zip(mixed.chunks_exact_mut(dim)).enumerate() {
            let position = streams.position(row);
            let kept = &mut streams.buffers_mut(row)[0];
            let (gate, through) = halves.split_at(dim);
            glu_row(gate, through, gated);
            mixed.copy_from_slice(&self.bias);
            let at = |back: usize| if back == 0 { &*gated } else { kept.row(position - back) };
            self.sizes.step(position + 1 - kept.first(), at, &self.taps, mixed);
            kept.row_mut(position).copy_from_slice(gated);
        }
        self.after.apply(mixed, normalised);
        glu_row(normalised, normalised, mixed);
        self.output.apply(crew, pages, mixed, x, Epilogue::Add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LanguageModel;

    #[test]
    fn what_is_drawn_keeps_the_size_of_what_is_convolved() {
        let config = ModelConfig {
            layers: "group-conv(width=5, group=8)".into(),
            vocab: 7,
            dim: 64,
            depth: 1,
            heads: 2,
            context: 8,
            ..ModelConfig::default()
        };
        let model = LanguageModel::new(&config, 1, &Device::default()).unwrap();
        let taps = crate::parameters::collect(&model).remove("blocks.0.mixer.convolution.weight").unwrap();
        let taps: Vec<f32> = taps.data.into_data().iter::<f32>().collect();
        assert_eq!(taps.len(), 40 * 64);
        let mean = taps.iter().map(|x| x * x).sum::<f32>() / taps.len() as f32;
        assert!((mean * 40.0 - 1.0).abs() < 0.1, "{mean} instead of 1 / 40");
    }
}
