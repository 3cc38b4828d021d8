//! RWKV-7's channel mix (arXiv 2503.14456): W_v relu(W_k (x + mu (x' - x)))^2, with x' the normalised row before.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. Cost per token 2 d h. State: the last normalised row, d. Reach: two positions.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_kernels::decode::{Epilogue, PackedLinear};
use percept_kernels::{relu_squared, shift_row};

use crate::config::{LayerSpec, ModelConfig};
use crate::cost::LinearCall;
use crate::decoder::{BuildStep, Pass, RowNorm, Step, elements, parts};
use crate::init::Initial;
use crate::layer::{Activations, Carry, Facts, LayerContext, LayerState, NoOptions, Reach, Rows, Sublayer};
use crate::layers::{Bias, Linear, Norm};
use crate::ops;
use crate::role::{Role, Training};
use crate::rwkv::{EPSILON, Schedule, Shifted, matrix7, shift_state};

/// The channel mix.
#[derive(Module, Debug)]
pub struct Rwkv7Channel {
    /// Shares of the row before in what the keys are of, `[d]`.
    pub mix_key: Param<Tensor<1>>,
    /// `[d, hidden]`.
    pub key: Linear,
    /// `[hidden, d]`.
    pub value: Linear,
}

impl Sublayer for Rwkv7Channel {
    type Options = NoOptions;

    fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
        let (dim, hidden) = (config.dim, config.hidden_dim());
        Self {
            mix_key: Param::from_tensor(Tensor::zeros([dim], device)),
            key: Linear::new(dim, hidden, Bias::Without, device),
            value: Linear::new(hidden, dim, Bias::Without, device),
        }
    }

    /// Training keeps the rows and the normalised ones, the mix, and the hidden rows before and after their activation.
    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, dim, hidden) = (rows.len(), config.dim, config.hidden_dim());
        let call = |input: usize, output: usize| LinearCall { rows: count, input, output }.into();
        Facts {
            parameters: (dim + 2 * dim * hidden) as u64,
            work: vec![call(dim, hidden), call(hidden, dim)],
            activations: Activations {
                kept: (count * (3 * dim + 2 * hidden)) as u64,
                unfused: 0,
                flow: (count * (3 * dim + 2 * hidden)) as u64,
            },
            state: vec![shift_state(dim)],
            reach: Reach::Last(2),
            ..Facts::of(rows)
        }
    }

    fn initial_std(config: &ModelConfig, path: &str, _shape: &[usize]) -> f64 {
        if path == "value.weight" { config.residual_std() } else { config.init_std }
    }

    /// The authors' rules: 1 - (i / d)^((1 - l / L)^4) for the mix.
    fn initial(config: &ModelConfig, layer: &LayerSpec, path: &str, _shape: &[usize]) -> Option<Initial> {
        let rule = Schedule::of(config, layer);
        match path {
            "mix_key" => Some(rule.values(&|i| 1.0 - rule.share(i).powf((1.0 - rule.share_of_depth).powi(3)))),
            "value.weight" => matrix7(config, 0.0),
            _ => matrix7(config, 1.0),
        }
    }

    fn training(_config: &ModelConfig, _path: &str, shape: &[usize]) -> Training {
        Training { epsilon: Some(EPSILON), ..Training::of(Role::by_shape(shape)) }
    }

    fn paper_names(parameter: &str) -> &'static [&'static str] {
        match parameter {
            "mix_key" => &["x_k"],
            "key" => &["key"],
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
        let mixed = Shifted::new(x, state).mixed(&self.mix_key);
        self.value.forward(ops::relu_squared(self.key.forward(mixed)))
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(Box::new(move |packer, _| {
            Box::new(Rwkv7ChannelStep {
                norm: RowNorm::of(norm),
                now: elements(&self.mix_key).into_iter().map(|before| 1.0 - before).collect(),
                key: packer.linear(&self.key),
                value: packer.linear(&self.value),
            })
        }))
    }
}

#[derive(Debug)]
struct Rwkv7ChannelStep {
    norm: RowNorm,
    /// Shares of the present row.
    now: Vec<f32>,
    key: PackedLinear,
    value: PackedLinear,
}

impl Step for Rwkv7ChannelStep {
    fn bytes(&self) -> usize {
        self.key.bytes() + self.value.bytes() + self.now.len() * size_of::<f32>()
    }

    /// Normalised and mixed rows, and the hidden ones.
    fn scratch(&self) -> usize {
        2 * self.norm.width() + self.key.outputs()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, .. } = pass;
        let (dim, size) = (self.norm.width(), x.len());
        let [normalised, mixed, hidden] = parts(scratch, [size, size, streams.len() * self.key.outputs()]);
        self.norm.apply(x, normalised);
        let rows = normalised.chunks_exact(dim).zip(mixed.chunks_exact_mut(dim));
        for (row, (now, mixed)) in rows.enumerate() {
            let before = streams.buffers_mut(row)[0].row_mut(0);
            shift_row(now, before, &self.now, mixed);
            before.copy_from_slice(now);
        }
        self.key.apply(crew, pages, mixed, hidden, Epilogue::Replace);
        relu_squared(hidden);
        self.value.apply(crew, pages, hidden, x, Epilogue::Add);
    }
}
