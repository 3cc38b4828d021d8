//! GroupBERT's grouped feed-forward sublayer (Chelombiev et al., arXiv 2106.05822).
//!
//! output(groups(gelu(up(x)))): into h hidden channels; out of them by a map in G groups, each h / G -> d / G channels; then a dense
//! map d -> d, which alone mixes the groups. Weights d h + h d / G + d^2 instead of 2 d h: at h = 4 d and G = 4, 6 d^2 instead of 8 d^2.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. No state: it works inside each position.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use percept_kernels::decode::{Epilogue, PackedLinear};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{LayerSpec, ModelConfig};
use crate::cost::LinearCall;
use crate::decoder::{BuildStep, Pass, RowNorm, Step, parts};
use crate::layer::{Activations, Carry, Facts, LayerContext, LayerState, Options, Place, Rows, Scale, Sublayer};
use crate::layers::{Bias, GroupedLinear, GroupedShape, Linear, Norm};
use crate::ops;

/// The keys of `[model.grouped]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GroupedOptions {
    /// Groups of the map out of the hidden channels; they divide those and `dim`.
    pub groups: usize,
}

impl Default for GroupedOptions {
    fn default() -> Self {
        Self { groups: 4 }
    }
}

impl Options for GroupedOptions {
    fn reduced(&self, _scale: &Scale) -> Self {
        // Small models have multiples of 8 channels.
        Self { groups: if self.groups == 1 { 1 } else { 4 } }
    }
}

/// The grouped feed-forward sublayer.
#[derive(Module, Debug)]
pub struct Grouped {
    /// `[d, hidden]`.
    pub up: Linear,
    /// `[hidden / groups, d]`.
    pub down: GroupedLinear,
    /// `[d, d]`.
    pub output: Linear,
    dropout: f32,
}

fn shape(config: &ModelConfig) -> GroupedShape {
    let (inputs, outputs) = (config.hidden_dim(), config.dim);
    GroupedShape { inputs, outputs, groups: config.channels.grouped.groups, width: 1 }
}

impl Sublayer for Grouped {
    type Options = GroupedOptions;

    fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
        let (dim, hidden, bias) = (config.dim, config.hidden_dim(), Bias::of(config.biases));
        Self {
            up: Linear::new(dim, hidden, bias, device),
            down: GroupedLinear::new(shape(config), bias, device),
            output: Linear::new(dim, dim, bias, device),
            dropout: config.feed_forward_dropout,
        }
    }

    fn validate(config: &ModelConfig, _layer: &LayerSpec) -> Result<()> {
        let (groups, dim, hidden) = (config.channels.grouped.groups, config.dim, config.hidden_dim());
        match groups > 0 && dim.is_multiple_of(groups) && hidden.is_multiple_of(groups) {
            true => Ok(()),
            false => Err(Fault::usage(format!(
                "model.grouped.groups = {groups} does not divide model.dim = {dim} and the {hidden} hidden channels"
            ))
            .hint("set a divisor of both, e.g. model.grouped.groups = 4, or other widths")),
        }
    }

    /// Training keeps the normalised rows, the hidden ones before and after the activation, and what enters the output.
    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, dim, hidden) = (rows.len(), config.dim, config.hidden_dim());
        let (bias, shape) = (Bias::of(config.biases), shape(config));
        let up = LinearCall { rows: count, input: dim, output: hidden };
        let output = LinearCall { rows: count, input: dim, output: dim };
        Facts {
            parameters: Linear::parameters(dim, hidden, bias)
                + shape.parameters(bias)
                + Linear::parameters(dim, dim, bias),
            work: vec![up.into(), shape.call(count), output.into()],
            activations: Activations {
                kept: (count * (3 * dim + 2 * hidden)) as u64,
                unfused: 0,
                flow: (count * (3 * dim + 2 * hidden)) as u64,
            },
            ..Facts::of(rows)
        }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        _state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let hidden = ops::gelu(self.up.forward(x));
        let hidden = ops::dropout(hidden, context.dropout(self.dropout, Place::FeedForward));
        self.output.forward(self.down.forward(hidden))
    }

    fn packed_parts(&self) -> Vec<[usize; 2]> {
        self.down.parts()
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(Box::new(move |packer, _| {
            Box::new(GroupedStep {
                norm: RowNorm::of(norm),
                up: packer.linear(&self.up),
                down: packer.groups(&self.down),
                output: packer.linear(&self.output),
            })
        }))
    }
}

#[derive(Debug)]
struct GroupedStep {
    norm: RowNorm,
    up: PackedLinear,
    /// One for each group.
    down: Vec<PackedLinear>,
    output: PackedLinear,
}

impl GroupedStep {
    /// Rows before the hidden channels and after them, hidden rows, and a group's part of both.
    fn sizes(&self, rows: usize) -> [usize; 4] {
        let (dim, hidden, groups) = (self.up.inputs(), self.up.outputs(), self.down.len());
        [dim, hidden, hidden / groups, dim / groups].map(|size| rows * size)
    }
}

impl Step for GroupedStep {
    fn bytes(&self) -> usize {
        [&self.up, &self.output].into_iter().chain(&self.down).map(PackedLinear::bytes).sum()
    }

    fn scratch(&self) -> usize {
        self.sizes(1).iter().sum()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, .. } = pass;
        let [rows, hidden, input, output] = parts(scratch, self.sizes(streams.len()));
        self.norm.apply(x, rows);
        self.up.apply(crew, pages, rows, hidden, Epilogue::Gelu);
        let (dim, width) = (self.up.inputs(), self.up.outputs());
        for (group, map) in self.down.iter().enumerate() {
            let (inputs, outputs) = (map.inputs(), map.outputs());
            for (part, row) in input.chunks_exact_mut(inputs).zip(hidden.chunks_exact(width)) {
                part.copy_from_slice(&row[group * inputs..][..inputs]);
            }
            map.apply(crew, pages, input, output, Epilogue::Replace);
            for (part, row) in output.chunks_exact(outputs).zip(rows.chunks_exact_mut(dim)) {
                row[group * outputs..][..outputs].copy_from_slice(part);
            }
        }
        self.output.apply(crew, pages, rows, x, Epilogue::Add);
    }
}
