//! The feed-forward sublayer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_kernels::decode::{Epilogue, PackedLinear};

use super::ChannelKind;
use crate::config::{LayerSpec, ModelConfig};
use crate::cost::{Call, LinearCall};
use crate::decoder::{BuildStep, Pass, RowNorm, Step, parts};
use crate::layer::{Activations, Carry, Facts, LayerContext, LayerState, NoOptions, Place, Rows, Sublayer};
use crate::layers::{Bias, Linear, Norm};
use crate::ops;

/// SwiGLU: down(silu(gate(x)) * up(x)). GELU: down(gelu(up(x))).
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[d, hidden]`; its presence makes this a SwiGLU.
    pub gate: Option<Linear>,
    /// `[d, hidden]`.
    pub up: Linear,
    /// `[hidden, d]`.
    pub down: Linear,
    dropout: f32,
}

/// Hidden width.
pub(crate) fn hidden_dim(config: &ModelConfig) -> usize {
    match (config.feed_forward_dim, config.feed_forward) {
        (0, ChannelKind::Swiglu) => (8 * config.dim).div_ceil(3).next_multiple_of(64),
        (0, _) => 4 * config.dim,
        (hidden, _) => hidden,
    }
}

/// Maps that lead into the activation.
fn branches(layer: &LayerSpec) -> usize {
    if layer.channel == ChannelKind::Swiglu { 2 } else { 1 }
}

impl Sublayer for FeedForward {
    type Options = NoOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let (dim, hidden, bias) = (config.dim, config.hidden_dim(), Bias::of(config.biases));
        Self {
            gate: (layer.channel == ChannelKind::Swiglu).then(|| Linear::new(dim, hidden, bias, device)),
            up: Linear::new(dim, hidden, bias, device),
            down: Linear::new(hidden, dim, bias, device),
            dropout: config.feed_forward_dropout,
        }
    }

    /// Training keeps the input and the hidden rows before the activation; where nothing is fused, the normalised and the
    /// activated rows too.
    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, dim, hidden) = (rows.len(), config.dim, config.hidden_dim());
        let (branches, bias) = (branches(layer), Bias::of(config.biases));
        let inner: Call = LinearCall { rows: count, input: dim, output: hidden }.into();
        let outer = LinearCall { rows: count, input: hidden, output: dim };
        Facts {
            parameters: branches as u64 * Linear::parameters(dim, hidden, bias) + Linear::parameters(hidden, dim, bias),
            work: std::iter::repeat_n(inner, branches).chain([outer.into()]).collect(),
            activations: Activations {
                kept: (count * (dim + branches * hidden)) as u64,
                unfused: (count * (dim + hidden)) as u64,
                flow: (count * (2 * dim + branches * hidden)) as u64,
            },
            ..Facts::of(rows)
        }
    }

    fn initial_std(config: &ModelConfig, path: &str, _shape: &[usize]) -> f64 {
        if path == "down.weight" { config.residual_std() } else { config.init_std }
    }

    fn paper_names(module: &str) -> &'static [&'static str] {
        match module {
            "up" => &["net.0"],
            "down" => &["net.3"],
            _ => &[],
        }
    }

    /// One kernel does the norm and the residual too.
    fn forward(
        &self,
        x: Tensor<3>,
        norm: &Norm,
        _state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let parameters = ops::FeedForward {
            gamma: norm.gamma.val(),
            beta: norm.beta.as_ref().map(|beta| beta.val()),
            eps: norm.eps(),
            gate: self.gate.as_ref().map(Linear::values),
            up: self.up.values(),
            down: self.down.values(),
        };
        ops::feed_forward(x, parameters, context.dropout(self.dropout, Place::FeedForward))
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(Box::new(move |packer, _| {
            Box::new(FeedForwardStep {
                norm: RowNorm::of(norm),
                gate: self.gate.as_ref().map(|gate| packer.linear(gate)),
                up: packer.linear(&self.up),
                down: packer.linear(&self.down),
            })
        }))
    }
}

#[derive(Debug)]
struct FeedForwardStep {
    norm: RowNorm,
    gate: Option<PackedLinear>,
    up: PackedLinear,
    down: PackedLinear,
}

impl FeedForwardStep {
    /// Normalised rows and hidden rows.
    fn sizes(&self, rows: usize) -> [usize; 2] {
        [self.up.inputs(), self.up.outputs()].map(|size| rows * size)
    }
}

impl Step for FeedForwardStep {
    fn bytes(&self) -> usize {
        [&self.up, &self.down].into_iter().chain(&self.gate).map(PackedLinear::bytes).sum()
    }

    fn scratch(&self) -> usize {
        self.sizes(1).iter().sum()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, .. } = pass;
        let [normalised, hidden] = parts(scratch, self.sizes(streams.len()));
        self.norm.apply(x, normalised);
        match &self.gate {
            Some(gate) => PackedLinear::swiglu(gate, &self.up, crew, pages, normalised, hidden),
            None => self.up.apply(crew, pages, normalised, hidden, Epilogue::Gelu),
        }
        self.down.apply(crew, pages, hidden, x, Epilogue::Add);
    }
}
