//! RWKV-7's time mix: a matrix per head that forgets, removes and writes ("RWKV-7 Goose with Expressive Dynamic State Evolution",
//! arXiv 2503.14456).
//!
//! Of the normalised rows x and the rows before them x', zeros before the first: x + mu (x' - x) with weights of its own for each of r, w, k, v,
//! alpha and g (mu weighs the row *before*, unlike in RWKV-4). r, k, v are linear. The log decay is -e^-0.5 sigmoid(d) with d of a
//! low-rank map through tanh; the rate alpha = sigmoid of one; the gate g = one through a sigmoid. In every layer but the first of its
//! kind v moves to the first one's v by sigmoid of another ([`Carry`]). With kappa = k k_k of length 1 per head, and then k (1 + (alpha - 1)
//! k_a) for k: the recurrence of r, w, k, v, -kappa and `removal_scale` kappa alpha; normalised per head; plus the bonus (sum r k r_k) v;
//! times g (all that is [`percept_kernels::TimeMix`]); through W_o. Layer 0 normalises the embedding before all that, as the authors' `ln0`.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per token 4 d^2 + 2 d (sum of ranks), and O(d e) for the recurrence, e = d / heads. State: the
//! last normalised row, and `[heads, e, e]`. Reach: everything since the start of the stream. It knows no positions.

mod names;
mod rules;
mod step;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use percept_kernels::TimeMix;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channel::ChannelKind;
use crate::config::{LayerSpec, ModelConfig};
use crate::cost::{Call, LinearCall};
use crate::decoder::BuildStep;
use crate::init::Initial;
use crate::layer::{
    Activations, Carry, Facts, LayerContext, LayerState, Options, Reach, Rows, Shapes, StateTensor, Sublayer,
};
use crate::layers::{Bias, Linear, Norm};
use crate::ops;
use crate::role::{Role, Training};
use crate::rwkv::{EPSILON, Shifted, published, shift_state, size};

/// The keys of `[model.rwkv7]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rwkv7Options {
    /// Width of the low-rank map of the decays; 0 takes the authors' formula, as for the others.
    pub decay_rank: usize,
    /// Of the rates.
    pub rate_rank: usize,
    /// Of the shares of the first layer's values.
    pub value_rank: usize,
    /// Of the gates.
    pub gate_rank: usize,
    /// 1 as published; 2 lets a removal turn the sign of what is there.
    pub removal_scale: usize,
}

impl Default for Rwkv7Options {
    fn default() -> Self {
        Self { decay_rank: 0, rate_rank: 0, value_rank: 0, gate_rank: 0, removal_scale: 1 }
    }
}

impl Options for Rwkv7Options {}

/// A low-rank map: `second(f(first(x)))`, the second with a bias where it is in a sigmoid.
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[d, rank]`.
    pub first: Linear,
    /// `[rank, d]`.
    pub second: Linear,
}

impl LowRank {
    fn new(dim: usize, rank: usize, bias: Bias, device: &Device) -> Self {
        Self { first: Linear::new(dim, rank, Bias::Without, device), second: Linear::new(rank, dim, bias, device) }
    }

    fn forward(&self, x: Tensor<3>, between: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
        self.second.forward(between(self.first.forward(x)))
    }
}

/// Widths of the low-rank maps.
struct Ranks {
    decay: usize,
    rate: usize,
    value: usize,
    gate: usize,
}

impl Ranks {
    fn of(config: &ModelConfig, layer: &LayerSpec) -> Self {
        // 32 c sqrt(d) / 32, to a multiple of 32, half to even.
        let formula = |factor: f64| {
            let rank = (factor * (config.dim as f64).sqrt() / 32.0).round_ties_even() * 32.0;
            (rank as usize).max(32)
        };
        let or = |rank: usize, factor: f64| if rank == 0 { formula(factor) } else { rank };
        let own = &layer.options.rwkv7;
        Self {
            decay: or(own.decay_rank, 2.5),
            rate: or(own.rate_rank, 2.5),
            value: or(own.value_rank, 1.7),
            gate: or(own.gate_rank, 5.0),
        }
    }

    /// Of the maps that a layer has.
    fn all(&self, layer: &LayerSpec) -> Vec<usize> {
        let value = (!layer.first_of_kind).then_some(self.value);
        [self.decay, self.rate, self.gate].into_iter().chain(value).collect()
    }
}

/// What a mix with the row before is for, in the order of the fields.
const MIXES: usize = 6;

/// The time mix.
#[derive(Module, Debug)]
pub struct Rwkv7 {
    /// Of the embedding, in layer 0.
    pub embedding_norm: Option<Norm>,
    /// Shares of the row before, `[d]`: of the receptances.
    pub mix_receptance: Param<Tensor<1>>,
    /// Of the decays.
    pub mix_decay: Param<Tensor<1>>,
    /// Of the keys.
    pub mix_key: Param<Tensor<1>>,
    /// Of the values.
    pub mix_value: Param<Tensor<1>>,
    /// Of the rates.
    pub mix_rate: Param<Tensor<1>>,
    /// Of the gates.
    pub mix_gate: Param<Tensor<1>>,
    /// `[d, d]`.
    pub receptance: Linear,
    /// `[d, d]`.
    pub key: Linear,
    /// `[d, d]`.
    pub value: Linear,
    /// `[d, d]`.
    pub output: Linear,
    /// Into the log decays.
    pub decay: LowRank,
    /// Into the rates alpha.
    pub rate: LowRank,
    /// Into the gates.
    pub gate: LowRank,
    /// Into the shares of the first layer's values; not in the first.
    pub first_value: Option<LowRank>,
    /// k_k, `[d]`.
    pub removal_key: Param<Tensor<1>>,
    /// k_a, `[d]`.
    pub rate_key: Param<Tensor<1>>,
    /// r_k, `[heads, e]`.
    pub bonus: Param<Tensor<2>>,
    /// Of the normalisation per head, `[d]`.
    pub head_gamma: Param<Tensor<1>>,
    /// Of it too, `[d]`.
    pub head_beta: Param<Tensor<1>>,
    #[module(skip)]
    removal_scale: f32,
}

/// Name of the state.
const STATE: &str = "state";
/// Name of the first layer's values.
const VALUE: &str = "rwkv7.value";
/// Of the normalisation per head.
const HEAD_EPS: f32 = 64e-5;

impl Rwkv7 {
    /// v of the mixed rows, which in the first layer becomes the others' too.
    fn value(&self, mixed: Tensor<3>, carry: &mut Carry) -> Tensor<3> {
        let value = self.value.forward(mixed.clone());
        match (&self.first_value, carry.get(VALUE)) {
            (Some(map), Some(first)) => ops::blend(map.forward(mixed, |x| x), value, first.clone()),
            _ => {
                carry.set(VALUE, value.clone());
                value
            }
        }
    }

    /// r, d, k, v, alpha and g, `[B, T, d]` each.
    fn rows(&self, x: Tensor<3>, state: Option<&mut LayerState>, carry: &mut Carry) -> [Tensor<3>; 6] {
        let x = Shifted::new(x, state);
        let decay = self.decay.forward(x.mixed(&self.mix_decay), ops::tanh);
        let rate = self.rate.forward(x.mixed(&self.mix_rate), |x| x);
        let gate = self.gate.forward(x.mixed(&self.mix_gate), ops::sigmoid);
        let value = self.value(x.mixed(&self.mix_value), carry);
        let key = self.key.forward(x.mixed(&self.mix_key));
        [self.receptance.forward(x.mixed(&self.mix_receptance)), decay, key, value, rate, gate]
    }

    /// k_k, k_a, r_k, gamma and beta, `[5, d]`.
    fn vectors(&self) -> Tensor<2> {
        let bonus = self.bonus.val().reshape([self.bonus.val().shape().num_elements()]);
        let [removal_key, rate_key, gamma, beta] =
            [&self.removal_key, &self.rate_key, &self.head_gamma, &self.head_beta].map(Param::val);
        Tensor::stack(vec![removal_key, rate_key, bonus, gamma, beta], 0)
    }
}

/// What is between the maps of `[batch, rows, d]`, by heads and their width.
fn time_mix([batch, rows]: [usize; 2], [heads, width]: [usize; 2], removal_scale: f32) -> TimeMix {
    TimeMix { batch, rows, heads, width, removal_scale, eps: HEAD_EPS }
}

impl Sublayer for Rwkv7 {
    type Options = Rwkv7Options;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let (dim, heads, ranks) = (config.dim, config.heads, Ranks::of(config, layer));
        let vector = || Param::from_tensor(Tensor::zeros([dim], device));
        let matrix = || Linear::new(dim, dim, Bias::Without, device);
        let low = |rank: usize, bias: Bias| LowRank::new(dim, rank, bias, device);
        Self {
            embedding_norm: (layer.index == 0).then(|| Norm::new(config.norm, dim, config.norm_eps, device)),
            mix_receptance: vector(),
            mix_decay: vector(),
            mix_key: vector(),
            mix_value: vector(),
            mix_rate: vector(),
            mix_gate: vector(),
            receptance: matrix(),
            key: matrix(),
            value: matrix(),
            output: matrix(),
            decay: low(ranks.decay, Bias::With),
            rate: low(ranks.rate, Bias::With),
            gate: low(ranks.gate, Bias::Without),
            first_value: (!layer.first_of_kind).then(|| low(ranks.value, Bias::With)),
            removal_key: vector(),
            rate_key: vector(),
            bonus: Param::from_tensor(Tensor::zeros([heads, dim / heads], device)),
            head_gamma: Param::from_tensor(Tensor::ones([dim], device)),
            head_beta: vector(),
            removal_scale: layer.options.rwkv7.removal_scale as f32,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        let scale = layer.options.rwkv7.removal_scale;
        if !matches!(scale, 1 | 2) {
            return Err(Fault::usage(format!("model.rwkv7.removal_scale = {scale} is not 1 or 2"))
                .hint("1 is RWKV-7 as published; 2 lets a removal turn the sign of what is there"));
        }
        let layers = config.layer_specs()?;
        let mut between = layers.iter().take(layer.index).skip_while(|other| other.kind != layer.kind);
        match between.find(|other| other.latents(config).is_some()) {
            Some(other) => Err(Fault::usage(format!(
                "model.layers: `{}` stands between two layers of rwkv7, and changes the rows",
                other.kind.name()
            ))
            .hint("later layers of rwkv7 read the values of the first one, row by row: put them side by side")),
            None => Ok(()),
        }
    }

    /// Training keeps 17 rows: what is normalised, and that; six mixes, and what they become; shares and change of the values; and what the
    /// output map reads.
    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, dim, heads) = (rows.len(), config.dim, config.heads);
        let width = dim / heads;
        let ranks = Ranks::of(config, layer).all(layer);
        let norm = if layer.index == 0 { Norm::parameters(config.norm, dim) } else { 0 };
        // w0, a0, k_k, k_a, r_k, the norm of the heads, v0; and the mixes.
        let vectors = MIXES + 7 + usize::from(!layer.first_of_kind);
        let low: usize = ranks.iter().sum();
        let call = |input: usize, output: usize| Call::from(LinearCall { rows: count, input, output });
        let of_ranks = ranks.iter().flat_map(|rank| [call(dim, *rank), call(*rank, dim)]);
        let mix = time_mix([1, count], [heads, width], layer.options.rwkv7.removal_scale as f32);
        let row = (count * dim) as u64;
        Facts {
            parameters: (vectors * dim + 4 * dim * dim + 2 * dim * low) as u64 + norm,
            work: std::iter::repeat_n(call(dim, dim), 4)
                .chain(of_ranks)
                .chain([Call::Other { forward: mix.cost(), backward: mix.backward_cost() }])
                .collect(),
            activations: Activations {
                kept: 17 * row + (2 * count * low) as u64 + mix.saved_len() as u64,
                unfused: row * width as u64,
                flow: 12 * row,
            },
            state: vec![shift_state(dim), StateTensor::fixed(STATE, [heads, width, width])],
            reach: Reach::Stream,
            ..Facts::of(rows)
        }
    }

    fn initial(config: &ModelConfig, layer: &LayerSpec, path: &str, shape: &[usize]) -> Option<Initial> {
        rules::initial(config, layer, path, shape)
    }

    /// The decay's bias learns twice as fast; decay is for the large matrices.
    fn training(_config: &ModelConfig, path: &str, _shape: &[usize]) -> Training {
        let large = matches!(path, "receptance.weight" | "key.weight" | "value.weight" | "output.weight");
        Training {
            role: if large { Role::Decayed } else { Role::Undecayed },
            rate: if path == "decay.second.bias" { 2.0 } else { 1.0 },
            epsilon: Some(EPSILON),
        }
    }

    fn published(shapes: &Shapes<'_>) -> Result<Option<ModelConfig>> {
        if !shapes.contains_key("blocks.0.att.r_k") {
            return Ok(None);
        }
        let mut config = ModelConfig {
            layers: "rwkv7".into(),
            feed_forward: ChannelKind::Rwkv7,
            heads: size(shapes, "blocks.0.att.r_k", 0)?,
            ..published(shapes)?
        };
        // Layer 0 reads no first values, and published files have none of its maps.
        let of_value = (1..config.depth).find_map(|layer| size(shapes, &format!("blocks.{layer}.att.v1"), 1).ok());
        config.mixers.rwkv7 = Rwkv7Options {
            decay_rank: size(shapes, "blocks.0.att.w1", 1)?,
            rate_rank: size(shapes, "blocks.0.att.a1", 1)?,
            value_rank: of_value.unwrap_or(0),
            gate_rank: size(shapes, "blocks.0.att.g1", 1)?,
            ..Rwkv7Options::default()
        };
        Ok(Some(config))
    }

    fn paper_names(parameter: &str) -> &'static [&'static str] {
        names::of(parameter)
    }

    fn mix(
        &self,
        x: Tensor<3>,
        mut state: Option<&mut LayerState>,
        carry: &mut Carry,
        _context: &LayerContext,
    ) -> Tensor<3> {
        let [batch, rows, _] = x.dims();
        let mix = time_mix([batch, rows], self.bonus.val().dims(), self.removal_scale);
        let (rows, vectors) = (self.rows(x, state.as_deref_mut(), carry), self.vectors());
        let y = match state {
            None => ops::time_mix(rows, vectors, &mix),
            Some(state) => {
                let (device, dtype) = (rows[0].device(), rows[0].dtype());
                let empty = || Tensor::zeros([batch, mix.heads, mix.width, mix.width], (&device, dtype));
                let (y, after) = ops::time_mix_from(rows, vectors, &mix, state.get::<4>(STATE).unwrap_or_else(empty));
                state.set(STATE, after);
                y
            }
        };
        self.output.forward(y)
    }

    fn forward(
        &self,
        x: Tensor<3>,
        norm: &Norm,
        state: Option<&mut LayerState>,
        carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let x = match &self.embedding_norm {
            Some(embedding_norm) => embedding_norm.forward(x),
            None => x,
        };
        ops::add(self.mix(norm.forward(x.clone()), state, carry, context), x)
    }
    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(Box::new(move |packer, _| Box::new(step::Rwkv7Step::new(self, norm, packer))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(layers: &str) -> ModelConfig {
        ModelConfig { layers: layers.into(), vocab: 9, depth: 3, ..ModelConfig::default() }
    }

    #[test]
    fn low_rank_widths_are_the_authors() {
        // Half to even: 2.5 sqrt(1024) / 32 is 2.5, and 1.7 sqrt(1024) / 32 is 1.7.
        let ranks = |dim: usize| {
            let config = ModelConfig { dim, ..config("rwkv7") };
            Ranks::of(&config, &config.layer_specs().unwrap()[1]).all(&config.layer_specs().unwrap()[1])
        };
        assert_eq!(ranks(1024), [64, 64, 160, 64]);
        assert_eq!(ranks(2048), [128, 128, 224, 64]);
        assert_eq!(ranks(256), [32, 32, 64, 32]);
        let first = &config("rwkv7").layer_specs().unwrap()[0];
        assert_eq!(Ranks::of(&config("rwkv7(value_rank=7)"), first).all(first).len(), 3);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        config("llp, rwkv7*2").validate().unwrap();
        config("rwkv7*2, perceiver-ar").validate().unwrap();
        let fault = |layers: &str| config(layers).validate().unwrap_err().to_string();
        let between = "model.layers: `perceiver-ar` stands between two layers of rwkv7, and changes the rows";
        assert_eq!(fault("rwkv7, perceiver-ar, rwkv7"), between);
        assert_eq!(fault("rwkv7(removal_scale=3)"), "model.rwkv7.removal_scale = 3 is not 1 or 2");
    }

    #[test]
    fn decay_is_for_large_matrices() {
        let of = |path: &str| Rwkv7::training(&config("rwkv7"), path, &[8, 8]);
        assert_eq!(of("key.weight"), Training { role: Role::Decayed, rate: 1.0, epsilon: Some(1e-18) });
        assert_eq!(of("decay.first.weight").role, Role::Undecayed);
        assert_eq!(of("bonus").role, Role::Undecayed);
        assert_eq!(of("decay.second.bias").rate, 2.0);
    }
}
