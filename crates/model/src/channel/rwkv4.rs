//! RWKV-4's channel mix (arXiv 2305.13048, equation 19): a feed-forward sublayer with a token shift, so with a state.
//!
//! Of the normalised rows x and the rows before them x': k = W_k (mu x + (1 - mu) x'), r likewise with weights of its own; what is
//! added is sigmoid(W_r ..) * W_v relu(k)^2. Shapes: `[B, T, d] -> [B, T, d]`. Cost per token d^2 + 2 d h. State: the last
//! normalised row, d. Reach: two positions.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_kernels::decode::{Epilogue, PackedLinear};
use percept_kernels::{relu_squared, shift_row, sigmoid_gate};

use crate::config::{LayerSpec, ModelConfig};
use crate::cost::LinearCall;
use crate::decoder::{BuildStep, Pass, RowNorm, Step, elements, parts};
use crate::init::Initial;
use crate::layer::{Activations, Carry, Facts, LayerContext, LayerState, NoOptions, Reach, Rows, Sublayer};
use crate::layers::{Bias, Linear, Norm};
use crate::ops;
use crate::rwkv::{Schedule, Shifted, matrix, shift_state};

/// The channel mix.
#[derive(Module, Debug)]
pub struct Rwkv4Channel {
    /// Shares of the present row in what the keys are of, `[d]`.
    pub mix_key: Param<Tensor<1>>,
    /// Of the receptances.
    pub mix_receptance: Param<Tensor<1>>,
    /// `[d, hidden]`.
    pub key: Linear,
    /// `[d, d]`.
    pub receptance: Linear,
    /// `[hidden, d]`.
    pub value: Linear,
}

impl Sublayer for Rwkv4Channel {
    type Options = NoOptions;

    fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
        let vector = || Param::from_tensor(Tensor::zeros([config.dim], device));
        let (dim, hidden) = (config.dim, config.hidden_dim());
        Self {
            mix_key: vector(),
            mix_receptance: vector(),
            key: Linear::new(dim, hidden, Bias::Without, device),
            receptance: Linear::new(dim, dim, Bias::Without, device),
            value: Linear::new(hidden, dim, Bias::Without, device),
        }
    }

    /// Training keeps the rows and the normalised ones, two mixes, the hidden rows before and after their activation, and
    /// the gate and what it lets through.
    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, dim, hidden) = (rows.len(), config.dim, config.hidden_dim());
        let call = |input: usize, output: usize| LinearCall { rows: count, input, output }.into();
        Facts {
            parameters: (2 * dim + dim * dim + 2 * dim * hidden) as u64,
            work: vec![call(dim, hidden), call(dim, dim), call(hidden, dim)],
            activations: Activations {
                kept: (count * (6 * dim + 2 * hidden)) as u64,
                unfused: 0,
                flow: (count * (4 * dim + 2 * hidden)) as u64,
            },
            state: vec![shift_state(dim)],
            reach: Reach::Last(2),
            ..Facts::of(rows)
        }
    }

    fn initial_std(config: &ModelConfig, path: &str, _shape: &[usize]) -> f64 {
        if path == "value.weight" { config.residual_std() } else { config.init_std }
    }

    /// The authors' rules, as those of the time mix.
    fn initial(config: &ModelConfig, layer: &LayerSpec, path: &str, _shape: &[usize]) -> Option<Initial> {
        let rule = Schedule::of(config, layer);
        match path {
            "mix_key" | "mix_receptance" => Some(rule.values(&|i| rule.share(i))),
            _ => matrix(config, path, "key.weight"),
        }
    }

    fn paper_names(parameter: &str) -> &'static [&'static str] {
        match parameter {
            "mix_key" => &["time_mix_k"],
            "mix_receptance" => &["time_mix_r"],
            "key" => &["key"],
            "receptance" => &["receptance"],
            "value" => &["value"],
            _ => &[],
        }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        _context: &LayerContext,
    ) -> Tensor<3> {
        let x = Shifted::new(x, state);
        let hidden = ops::relu_squared(x.through(&self.mix_key, &self.key));
        ops::glu(x.through(&self.mix_receptance, &self.receptance), self.value.forward(hidden))
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(Box::new(move |packer, _| {
            Box::new(Rwkv4ChannelStep {
                norm: RowNorm::of(norm),
                mixes: [&self.mix_key, &self.mix_receptance].map(elements),
                key: packer.linear(&self.key),
                receptance: packer.linear(&self.receptance),
                value: packer.linear(&self.value),
            })
        }))
    }
}

#[derive(Debug)]
struct Rwkv4ChannelStep {
    norm: RowNorm,
    /// Of key and receptance.
    mixes: [Vec<f32>; 2],
    key: PackedLinear,
    receptance: PackedLinear,
    value: PackedLinear,
}

impl Step for Rwkv4ChannelStep {
    fn bytes(&self) -> usize {
        let vectors = 2 * self.norm.width() * size_of::<f32>();
        [&self.key, &self.receptance, &self.value].into_iter().map(PackedLinear::bytes).sum::<usize>() + vectors
    }

    /// Normalised and mixed rows, r, what the gate lets through, and the hidden rows.
    fn scratch(&self) -> usize {
        4 * self.norm.width() + self.key.outputs()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, .. } = pass;
        let (dim, size, count) = (self.norm.width(), x.len(), streams.len());
        let [normalised, mixed, receptance, gated, hidden] =
            parts(scratch, [size, size, size, size, count * self.key.outputs()]);
        self.norm.apply(x, normalised);
        let rows = |row: usize| row * dim..(row + 1) * dim;
        let maps = [(&self.key, &mut *hidden), (&self.receptance, &mut *receptance)];
        for ((map, out), mix) in maps.into_iter().zip(&self.mixes) {
            for row in 0..count {
                shift_row(&normalised[rows(row)], streams.buffers(row)[0].all(), mix, &mut mixed[rows(row)]);
            }
            map.apply(crew, pages, mixed, out, Epilogue::Replace);
        }
        for row in 0..count {
            streams.buffers_mut(row)[0].row_mut(0).copy_from_slice(&normalised[rows(row)]);
        }
        relu_squared(hidden);
        self.value.apply(crew, pages, hidden, gated, Epilogue::Replace);
        sigmoid_gate(receptance, gated);
        x.iter_mut().zip(gated).for_each(|(x, gated)| *x += *gated);
    }
}
