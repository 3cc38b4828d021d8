//! ToST's causal token statistics self-attention (Wu et al., arXiv 2412.17810, ICLR 2025; causal form: the authors' `tost_lang`).
//!
//! u = x W, in heads; every token is gated by statistics of those before it and its own:
//!
//! - energy E_t = rho E_(t-1) + u_t^2, by channel;
//! - p_t = softmax over heads of tau_h (scale_t sum_c u_tc^2 / E_tc + e b_(t, h)), e channels per head;
//! - N_t = rho N_(t-1) + p_t u_t^2 and S_t = rho S_(t-1) + p_t;
//! - y_t = -p_t u_t / (1 + N_t / S_t), and the output projection.
//!
//! rho = `tost.decay` (1: the paper). scale_t = 1 in the paper: then p_t tends to 1 / H as the sums grow; with
//! `tost.routing = "length-scaled"` it is the (decayed) number of tokens, so that u^2 is compared with its mean. b, the authors' bias
//! by position, is off (`tost.position_bias` = 0) or a table of so many positions, of which the last one holds for all later ones.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per token 2 d^2 + O(d), half of attention's projections. State: the three sums, 2 d + H
//! of them, in two parts each, so that a million tokens lose nothing. Reach: the stream. Every position is scored. The authors'
//! learned positions belong to their embedding, and their LayerScale (a factor per channel after each sublayer) is left to the
//! projections before it, in which it can be multiplied.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use percept_fault::{Fault, Result};
use percept_kernels::TssaInputs;
use percept_kernels::decode::{Epilogue, PackedLinear};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{LayerSpec, ModelConfig};
use crate::cost::{Call, LinearCall};
use crate::decoder::{BuildStep, Pass, RowNorm, Step, elements, parts};
use crate::layer::{
    Activations, Carry, Facts, LayerContext, LayerState, Options, Reach, Rows, Scale, StateTensor, Sublayer,
};
use crate::layers::{Bias, Linear, Norm};
use crate::ops::{self, Routing, Tssa};

/// How the energy of a token counts where heads are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TostRouting {
    /// As a share of all energy so far (the authors).
    Share,
    /// As a share of the mean energy so far.
    LengthScaled,
}

/// The keys of `[model.tost]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TostOptions {
    /// What the sums are multiplied by per token, above 0 and at most 1; 1 forgets nothing.
    pub decay: f64,
    /// How the energy of a token counts where heads are chosen.
    pub routing: TostRouting,
    /// Positions of the table of biases; 0 has none. Positions past it take its last row.
    pub position_bias: usize,
}

impl Default for TostOptions {
    fn default() -> Self {
        Self { decay: 1.0, routing: TostRouting::Share, position_bias: 0 }
    }
}

impl Options for TostOptions {
    fn reduced(&self, scale: &Scale) -> Self {
        let position_bias = if self.position_bias == 0 { 0 } else { scale.part(self.position_bias) };
        Self { position_bias, ..self.clone() }
    }

    fn at_context(&self, context: usize) -> Self {
        Self { position_bias: self.position_bias.min(context), ..self.clone() }
    }
}

/// Token statistics self-attention.
#[derive(Module, Debug)]
pub struct Tost {
    /// `[d, d]`: into the heads.
    pub input: Linear,
    /// `[d, d]`.
    pub output: Linear,
    /// `[H]`: tau.
    pub temperature: Param<Tensor<1>>,
    /// `[positions H]`: b, a row of heads per position; a vector, since it is not decayed.
    pub positions: Option<Param<Tensor<1>>>,
    /// Sizes of one row of one sequence.
    #[module(skip)]
    row: Tssa,
}

/// Names of the sums in a state, with how much of them their first row holds and the rest in the second.
const SUMS: [&str; 3] = ["energy", "numerator", "mass"];

fn row(config: &ModelConfig, options: &TostOptions) -> Tssa {
    let routing = match options.routing {
        TostRouting::Share => Routing::Share,
        TostRouting::LengthScaled => Routing::LengthScaled,
    };
    Tssa { batch: 1, rows: 1, heads: config.heads, width: config.head_dim(), decay: options.decay, routing, start: 0 }
}

impl Tost {
    /// `[rows, H]` from position `start`: what is added to the energies of a head.
    fn offsets(&self, start: usize, rows: usize, like: &Tensor<3>) -> Tensor<2> {
        let Some(positions) = &self.positions else {
            return Tensor::zeros([rows, self.row.heads], (&like.device(), like.dtype()));
        };
        let table = positions.val();
        let last = table.dims()[0] / self.row.heads - 1;
        let ids: Vec<i32> = (start..start + rows).map(|position| position.min(last) as i32).collect();
        let ids = Tensor::<1, Int>::from_data(ids.as_slice(), &table.device());
        table.reshape([last + 1, self.row.heads]).select(0, ids) * self.row.width as f64
    }
}

impl Sublayer for Tost {
    type Options = TostOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let linear = || Linear::new(config.dim, config.dim, Bias::of(config.biases), device);
        let options = &layer.options.tost;
        let table = options.position_bias * config.heads;
        Self {
            input: linear(),
            output: linear(),
            temperature: Param::from_tensor(Tensor::ones([config.heads], device)),
            positions: (table > 0).then(|| Param::from_tensor(Tensor::zeros([table], device))),
            row: row(config, options),
        }
    }

    fn validate(_config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        let decay = layer.options.tost.decay;
        match decay > 0.0 && decay <= 1.0 {
            true => Ok(()),
            false => Err(Fault::usage(format!("model.tost.decay = {decay} is not above 0 and at most 1"))
                .hint("1 forgets nothing; 0.99 remembers about a hundred tokens")),
        }
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, dim, heads) = (rows.len(), config.dim, config.heads);
        let linear = LinearCall { rows: count, input: dim, output: dim };
        let tssa = Tssa { rows: count, ..row(config, &layer.options.tost) };
        let statistics = Call::Other { forward: tssa.forward_cost(), backward: tssa.backward_cost() };
        let row = (count * dim) as u64;
        Facts {
            parameters: 2 * Linear::parameters(dim, dim, Bias::of(config.biases))
                + (heads * (1 + layer.options.tost.position_bias)) as u64,
            work: vec![linear.into(), statistics, linear.into()],
            activations: Activations { kept: 4 * row + (count * heads) as u64, unfused: 12 * row, flow: 4 * row },
            state: SUMS.into_iter().zip([dim, dim, heads]).map(|(name, n)| StateTensor::fixed(name, [2, n])).collect(),
            reach: Reach::Stream,
            ..Facts::of(rows)
        }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let ([batch, rows, _], start) = (x.dims(), context.rows.start);
        let tssa = Tssa { batch, rows, start, ..self.row };
        let u = self.input.forward(x);
        let (temperature, offsets) = (self.temperature.val(), self.offsets(start, rows, &u));
        let Some(state) = state else {
            return self.output.forward(ops::tssa(u, temperature, offsets, &tssa));
        };
        let widths = [tssa.channels(), tssa.channels(), tssa.heads];
        let sums: [Tensor<3>; 3] = std::array::from_fn(|sum| {
            let zero = || Tensor::zeros([1, 2, widths[sum]], (&u.device(), u.dtype()));
            state.get(SUMS[sum]).unwrap_or_else(zero)
        });
        let (y, sums) = ops::tssa_extend(u, temperature, offsets, sums, &tssa);
        SUMS.into_iter().zip(sums).for_each(|(name, sum)| state.set(name, sum));
        self.output.forward(y)
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(Box::new(move |packer, _| {
            let positions = self.positions.as_ref().map_or(vec![0.0; self.row.heads], elements);
            Box::new(TostStep {
                norm: RowNorm::of(norm),
                input: packer.linear(&self.input),
                output: packer.linear(&self.output),
                temperature: elements(&self.temperature),
                offsets: positions.into_iter().map(|bias| bias * self.row.width as f32).collect(),
                row: self.row,
            })
        }))
    }
}

#[derive(Debug)]
struct TostStep {
    norm: RowNorm,
    input: PackedLinear,
    output: PackedLinear,
    temperature: Vec<f32>,
    /// `[positions, H]`; one row of zeros where there is no table.
    offsets: Vec<f32>,
    row: Tssa,
}

impl TostStep {
    /// Normalised rows, which the output replaces; rows in heads; what the statistics need.
    fn sizes(&self, rows: usize) -> [usize; 3] {
        [self.row.channels(), self.row.channels(), self.row.step_scratch()].map(|size| rows * size)
    }
}

impl Step for TostStep {
    fn bytes(&self) -> usize {
        self.input.bytes() + self.output.bytes()
    }

    fn scratch(&self) -> usize {
        self.sizes(1).iter().sum()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, .. } = pass;
        let [y, u, scratch] = parts(scratch, self.sizes(streams.len()));
        self.norm.apply(x, y);
        self.input.apply(crew, pages, y, u, Epilogue::Replace);
        let (heads, channels) = (self.row.heads, self.row.channels());
        for (row, (u, y)) in u.chunks_exact(channels).zip(y.chunks_exact_mut(channels)).enumerate() {
            let start = streams.position(row);
            let at = start.min(self.offsets.len() / heads - 1) * heads;
            let offsets = &self.offsets[at..at + heads];
            let inputs = TssaInputs { u, temperature: &self.temperature, offsets };
            if let [energy, numerator, mass] = streams.buffers_mut(row) {
                let sums = [energy, numerator, mass].map(|sum| sum.row_mut(0));
                Tssa { start, ..self.row }.step(&inputs, sums, scratch, y);
            }
        }
        self.output.apply(crew, pages, y, x, Epilogue::Add);
    }
}
